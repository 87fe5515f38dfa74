"""Three real instances, real clients, one store: served, killed, drained, cut off, in virtual time."""

import contextlib
import json
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any

import httpx
import pytest

from simulation.chatter import Chatter
from simulation.cluster import Cluster, StoreKind, redis_servers
from simulation.logs import Logs, captured
from simulation.patching import simulated
from simulation.process import Process

USERS = ("ada", "bob", "cleo")


class Scene:
    """A cluster that serves, and three users who chat."""

    def __init__(self, cluster: Cluster, logs: Logs) -> None:
        self.loop, self.cluster, self.logs = cluster.loop, cluster, logs
        self.chatter = Chatter(cluster, USERS)

        async def start() -> None:
            await self.cluster.start()
            await self.chatter.start()

        self.run(start())

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """In the root process, to its end."""
        self.loop.run(work, within_seconds=300)

    def settle(self) -> None:
        """No more is written, and everything arrives."""
        self.chatter.is_over = True
        self.loop.run_for(15)

    def is_agreed(self) -> bool:
        """Whether every user was shown every acknowledged message, once and in order."""
        shown = [self.chatter.shown(user) for user in USERS]
        count = len(shown[0])
        return (
            count >= self.chatter.sent
            and all(each == shown[0] for each in shown)
            and [seq for seq, _ in shown[0]] == list(range(1, count + 1))
        )

    def get(self, url: str) -> httpx.Response:
        """By HTTP, from a process of its own."""

        async def asking() -> httpx.Response:
            async with httpx.AsyncClient(trust_env=False) as http:
                return await http.get(url)

        async def result() -> httpx.Response:
            return await self.loop.process("browser").spawn(asking())

        return self.loop.run(result(), within_seconds=30)


on_both_stores = pytest.mark.parametrize("scene", ["sqlite", "firestore"], indirect=True)


@pytest.fixture
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    """With Redis; on SQLite, where a test does not say otherwise."""
    with _played(has_redis=True, store=getattr(request, "param", "sqlite")) as scene:
        yield scene


@contextlib.contextmanager
def _played(*, has_redis: bool, store: StoreKind = "sqlite", settings: Mapping[str, Any] | None = None) -> Iterator[Scene]:
    with simulated(11) as loop, captured(loop) as logs:
        yield Scene(Cluster(loop, redis_servers(loop) if has_redis else None, store=store, settings=settings), logs)
        loop.collect()
        assert loop.failures == []
        assert [line for line in logs.lines if line.error] == []


@on_both_stores
def test_messages_reach_everybody_once_and_in_order(scene: Scene) -> None:
    """The whole stack runs: sockets, REST, delivery, the store."""
    scene.loop.run_for(10)
    scene.settle()
    assert scene.chatter.sent >= 27
    assert len(scene.chatter.shown("ada")) == scene.chatter.sent
    assert scene.is_agreed()
    assert {client.instance_id for client in scene.chatter.clients.values()} == {"i1", "i2", "i3"}


def test_health_is_served_on_both_ports(scene: Scene) -> None:
    """Neighbours and balancers ask by HTTP."""
    instance = scene.cluster.instances["i1"]
    assert scene.get(f"{instance.url}/readyz").status_code == 200
    body = json.loads(scene.get(f"{instance.internal_url}/api/health").content)
    assert body["instance_id"] == "i1"


@on_both_stores
def test_killed_instance_loses_nothing(scene: Scene) -> None:
    """What the drills play in a minute, the simulation plays in a blink."""
    scene.loop.run_for(3)
    scene.run(scene.cluster.restart("i2", after_seconds=4))
    scene.loop.run_for(5)
    scene.settle()
    assert scene.is_agreed()
    assert scene.cluster.instances["i2"].starts == 2


def test_kill_between_commit_and_answer_loses_nothing(scene: Scene) -> None:
    """An aimed fault: the client sends again, and the message is there once."""
    scene.loop.run_for(3)
    scene.cluster.store.aim("i1", Process.kill, moment="after", operations=("append",))
    scene.loop.run_for(5)
    assert not scene.cluster.instances["i1"].is_running
    scene.settle()
    assert scene.is_agreed()


@on_both_stores
def test_drained_instance_hands_its_clients_over(scene: Scene) -> None:
    """A rollout: told, moved, ended."""
    scene.loop.run_for(3)
    instance = scene.cluster.instances["i3"]
    scene.run(instance.drain())
    assert not instance.is_running
    assert any(line.message.startswith("draining") for line in scene.logs.of("i3"))
    scene.loop.run_for(3)
    scene.settle()
    assert scene.is_agreed()


def test_frozen_and_silently_dead_instances_are_left_by_their_clients(scene: Scene) -> None:
    """No packet says that a machine has lost its power: only silence does."""
    scene.loop.run_for(3)
    scene.cluster.instances["i1"].process.freeze()
    scene.cluster.instances["i2"].kill(is_silent=True)
    scene.loop.run_for(90)
    assert {client.instance_id for client in scene.chatter.clients.values()} == {"i3"}
    scene.cluster.instances["i1"].process.thaw()
    scene.cluster.instances["i2"].start()
    scene.settle()
    assert scene.is_agreed()


@on_both_stores
def test_partition_from_the_store_ends_without_a_loss(scene: Scene) -> None:
    """An instance without its store refuses, and goes on afterwards."""
    scene.loop.run_for(3)
    scene.loop.network.cut("i1", "store")
    scene.loop.run_for(6)
    scene.loop.network.heal()
    scene.settle()
    assert scene.is_agreed()


@on_both_stores
def test_emptied_store_begins_a_new_run(scene: Scene) -> None:
    """What an instance remembers of a store that is gone is not written into the next one."""
    scene.loop.run_for(3)
    before = scene.cluster.instances["i1"].gate
    scene.cluster.store.empty()
    scene.loop.run_for(30)
    after = scene.cluster.instances["i1"].gate
    assert after is not before
    assert after is not None
    assert after.node.health.is_ready


def test_wrong_wall_clock_of_an_instance_changes_no_order(scene: Scene) -> None:
    """What happened first is the store's to say."""
    scene.cluster.instances["i2"].process.clock_offset_seconds = -3_600
    scene.loop.run_for(5)
    scene.cluster.instances["i2"].process.clock_offset_seconds = 3_600
    scene.loop.run_for(5)
    scene.settle()
    assert scene.is_agreed()


def test_cluster_without_redis_serves() -> None:
    """Redis costs latency when it is away, and nothing else."""
    with _played(has_redis=False) as scene:
        scene.loop.run_for(5)
        scene.settle()
        assert scene.is_agreed()


@pytest.mark.parametrize("is_silent", [False, True])
def test_redis_that_is_killed_and_started_again_loses_no_message(scene: Scene, is_silent: bool) -> None:
    """With nothing in it: what it knew is made anew."""
    scene.loop.run_for(3)
    scene.cluster.redis["r1"].kill(is_silent=is_silent)
    scene.loop.run_for(5)
    scene.cluster.redis["r1"].start()
    scene.loop.run_for(10)
    states = {instance.gate.node.health.state for instance in scene.cluster.instances.values() if instance.gate is not None}
    assert states == {"healthy"}
    scene.settle()
    assert scene.is_agreed()


def test_instances_follow_the_name_of_redis_to_another_server(scene: Scene) -> None:
    """A failover: the first server dies, the name leads to the second."""
    scene.loop.run_for(3)
    scene.cluster.add_redis("r2")
    scene.cluster.point_to_redis("r2")
    scene.cluster.redis["r1"].kill()
    scene.loop.run_for(10)
    assert scene.cluster.redis["r2"].engine.run("DBSIZE")
    scene.settle()
    assert scene.is_agreed()


def test_instance_that_alone_lost_redis_is_not_ready_until_it_is_back() -> None:
    """It asks its neighbours by name, over HTTP, on their internal ports."""
    with _played(has_redis=True, settings={"readiness": {"on_redis_loss": "isolate"}}) as scene:
        first = scene.cluster.instances["i1"]
        scene.loop.network.cut("i1", "r1")
        scene.loop.run_for(40)
        assert scene.get(f"{first.url}/readyz").status_code == 503
        assert scene.get(f"{scene.cluster.instances['i2'].url}/readyz").status_code == 200
        scene.loop.network.heal()
        scene.loop.run_for(20)
        assert scene.get(f"{first.url}/readyz").status_code == 200
        scene.settle()
        assert scene.is_agreed()
