"""Health as a state machine: bad news at once, good news when it lasts, and what probes make of it."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.loops import Loops
from holdfast.node.cluster.store_clock import StoreClock
from holdfast.node.connections.hub import Hub
from holdfast.node.health.dependencies import RECOVERY_SECONDS, Dependency
from holdfast.node.health.evaluator import Health
from holdfast.node.health.saturation import Saturation
from holdfast.telemetry import Telemetry
from support.fake_cluster import FakeBus
from support.fake_redis_trust import FakeRedisTrust
from support.fakes import FakeMemory, ManualClock, connection
from support.identities import identity_of


class Scene:
    """The health of one instance."""

    def __init__(self) -> None:
        self.clock, self.bus = ManualClock(), FakeBus()
        self.telemetry = telemetry = Telemetry("test")
        self.store, self.redis = Dependency("sqlite", self.clock, telemetry), Dependency("redis", self.clock, telemetry)
        self.hub = Hub(telemetry)
        self.told: list[Any] = []
        self.store_clock = StoreClock(self.clock)
        self.hub.tell_all = self.told.append  # type: ignore[method-assign]  # what clients hear
        self.identity = identity_of()
        self.peers = SimpleNamespace(is_split=False, is_trusted=True, cut=())
        self.redis_trust = FakeRedisTrust(self.bus, self.clock, link=self.redis)
        self.redis_trust.peers = self.peers  # type: ignore[assignment]  # all that is looked at
        self.store_contact: Any = SimpleNamespace(replaced=asyncio.Event(), is_open=True)
        self.memory = FakeMemory()
        saturation = Saturation(self.hub, self.memory, telemetry, max_connections=20)
        self.health = Health(
            self.identity, "1", self.store, self.redis, self.hub, saturation, self.clock, telemetry,
            redis_trust=self.redis_trust,
            loops=Loops(self.clock.monotonic, telemetry), store_contact=self.store_contact,
            store_clock=self.store_clock,
        )  # fmt: skip

    def well(self) -> "Scene":
        """Everything was reached."""
        self.store.succeeded(0.001)
        self.redis.succeeded(0.001)
        return self.pass_(1)

    def pass_(self, seconds: float) -> "Scene":
        """Time passes; it looks once a second."""
        for _ in range(int(seconds)):
            self.clock.now += 1
            self.health.evaluate()
        return self

    def condition(self, name: str) -> bool:
        """Of `/api/health`."""
        return self.health.conditions[name].status


def test_it_starts_with_the_first_contact() -> None:
    """The store is waited for without a bound, Redis for ten seconds."""
    scene = Scene().pass_(60)
    assert (scene.health.state, scene.health.is_ready, scene.health.is_ok, scene.health.is_live) == (
        "starting",
        False,
        False,
        True,
    )
    scene.store.succeeded(0.001)
    assert scene.pass_(1).health.state == "degraded"
    late = Scene()
    late.store.succeeded(0.001)
    assert late.pass_(9).health.state == "starting"
    assert late.pass_(2).health.state == "degraded"
    assert late.health.is_ready
    assert Scene().well().health.state == "healthy"


def test_instance_without_the_keys_of_its_identity_provider_is_starting() -> None:
    """It would refuse every token, and a rollout would go on as if it served."""
    scene = Scene()
    are_known = False
    scene.health.has_keys = lambda: are_known
    assert scene.well().pass_(60).health.state == "starting"
    assert not scene.health.is_ready
    assert scene.health.is_live
    are_known = True
    assert scene.pass_(1).health.state == "healthy"
    are_known = False
    assert scene.pass_(1).health.is_ready, "only the start waits for them"


def test_a_refusal_is_known_at_the_next_look_and_one_timeout_is_weather() -> None:
    """Two timeouts are an outage."""
    scene = Scene().well()
    scene.redis.failed("timed out", is_timeout=True)
    assert scene.pass_(1).health.state == "healthy"
    scene.redis.failed("timed out", is_timeout=True)
    assert scene.pass_(1).health.state == "degraded"
    other = Scene().well()
    other.store.failed("connection refused", is_timeout=False)
    assert other.pass_(1).health.degraded == ("store",)
    assert other.health.body()["services"]["sqlite"] == {
        "status": "disconnected",
        "latency_ms": 0.2,
        "error": "connection refused",
    }
    assert other.health.is_ready, "a shared dependency's loss never makes pods unready"


def test_a_recovery_is_believed_when_it_has_lasted() -> None:
    """A dependency that flaps stays degraded."""
    scene = Scene().well()
    scene.redis.failed("refused", is_timeout=False)
    scene.pass_(1)
    for _ in range(3):
        scene.redis.succeeded(0.001)
        scene.pass_(RECOVERY_SECONDS - 1)
        scene.redis.failed("refused", is_timeout=False)
        scene.pass_(1)
    assert scene.health.state == "degraded"
    scene.redis.succeeded(0.001)
    scene.pass_(RECOVERY_SECONDS + 1)
    assert scene.health.state == "healthy"


def test_a_deaf_bus_is_a_lost_redis() -> None:
    """Commands work and nothing is heard: just as bad."""
    scene = Scene().well()
    scene.bus.is_live = False
    scene.pass_(1)
    assert scene.health.state == "degraded"
    assert (scene.condition("RedisConnected"), scene.condition("BusLive")) == (True, False)
    assert scene.health.body()["services"]["redis"]["status"] == "disconnected"


def test_clients_hear_each_change_once() -> None:
    """The dependencies that fail, and those that work again; empty before the start."""
    scene = Scene().pass_(3).well()
    assert scene.told == []
    scene.redis.failed("refused", is_timeout=False)
    scene.pass_(3)
    scene.store.failed("refused", is_timeout=False)
    scene.pass_(3)
    scene.redis.succeeded(0.001)
    scene.pass_(RECOVERY_SECONDS + 2)
    said = [(type(frame).__name__, frame.dependencies) for frame in scene.told]
    assert said == [("Degraded", ("redis",)), ("Degraded", ("store",)), ("Restored", ("redis",))]


def test_a_transition_keeps_its_time_until_the_next() -> None:
    """As in metav1."""
    scene = Scene().well()
    since = scene.health.conditions["StoreReachable"].since_ms
    assert scene.pass_(10).health.conditions["StoreReachable"].since_ms == since
    scene.store.failed("refused", is_timeout=False)
    assert scene.pass_(1).health.conditions["StoreReachable"].since_ms > since


def test_saturation_has_a_hysteresis_and_leaves_while_others_have_room() -> None:
    """Else all leave at once."""
    scene = Scene().well()
    sockets = [connection(f"user-{number}") for number in range(20)]
    for each in sockets[:19]:
        scene.hub.add(each)
    assert scene.pass_(1).health.state == "saturated"
    assert scene.health.is_ok
    scene.health.fleet = ("saturated", "healthy")
    assert not scene.health.is_ready
    scene.health.fleet = ("saturated", "saturated", "healthy")
    assert scene.health.is_ready
    scene.hub.remove(sockets[0])
    assert scene.pass_(1).health.state == "saturated"
    for each in sockets[1:3]:
        scene.hub.remove(each)
    assert scene.pass_(1).health.state == "healthy"


def test_little_memory_left_is_saturation_and_refuses_new_sockets() -> None:
    """One that runs out of memory takes everybody's connection with it; the sockets that are there stay."""
    scene = Scene().well()
    scene.memory.limit_bytes = 1000
    scene.memory.resident_bytes = 849
    assert (scene.pass_(1).health.state, scene.health.may_accept) == ("healthy", True)
    scene.memory.resident_bytes = 850
    assert (scene.pass_(1).health.state, scene.health.may_accept) == ("saturated", False)
    assert scene.condition("Saturated")
    assert "MiB of memory" in scene.health.conditions["Saturated"].message
    scene.health.fleet = ("saturated", "healthy")
    assert not scene.health.is_ready
    scene.health.fleet = ("saturated", "saturated", "draining", "healthy")
    assert scene.health.is_ready
    assert not scene.health.may_accept
    scene.memory.resident_bytes = 800
    assert scene.pass_(1).health.state == "saturated"
    scene.memory.resident_bytes = 799
    assert (scene.pass_(1).health.state, scene.health.may_accept) == ("healthy", True)


def test_without_a_limit_no_amount_of_memory_is_too_much() -> None:
    """The developer's machine."""
    scene = Scene().well()
    scene.memory.resident_bytes = 1 << 50
    assert scene.pass_(1).health.state == "healthy"


@pytest.mark.parametrize("is_healthy", [True, False])
def test_draining_is_alive_not_ready_and_not_ok(is_healthy: bool) -> None:
    """Whatever else is."""
    scene = Scene().well() if is_healthy else Scene()
    scene.health.is_draining = True
    scene.pass_(1)
    health = scene.health
    assert (health.state, health.is_live, health.is_ready, health.is_ok, health.may_accept) == (
        "draining", True, False, False, False,
    )  # fmt: skip


def test_a_name_that_another_process_has_is_said() -> None:
    """`InstanceIdUnique`."""
    scene = Scene().well()
    scene.identity.is_unique = False
    assert not scene.pass_(1).condition("InstanceIdUnique")


def test_others_at_another_redis_are_a_degradation() -> None:
    """Ours answers, and no other instance receives us there; clients are served all the same."""
    scene = Scene().well()
    scene.peers.is_split = True
    scene.pass_(1)
    assert (scene.health.state, scene.health.is_ready, scene.health.has_lost_redis) == ("degraded", True, False)
    condition = scene.health.conditions["BusLive"]
    assert (condition.status, condition.reason) == (False, "Split")
    service = scene.health.body()["services"]["redis"]
    assert (service["status"], service["error"]) == ("connected", "other instances meet at another Redis")
    scene.peers.is_split = False
    assert scene.pass_(1).health.state == "healthy"


def test_other_instances_without_redis_are_named_and_do_not_degrade() -> None:
    """`PeerApart`: they are reached by the store. At most five are named."""
    scene = Scene().well().pass_(1)
    assert not scene.condition("PeerApart")
    scene.peers.cut = ("two", "three")
    assert scene.pass_(1).health.state == "healthy"
    assert scene.health.conditions["PeerApart"].message == "without Redis, and reached by the store: two, three"
    scene.peers.cut = tuple("abcdefg")
    assert scene.pass_(1).health.conditions["PeerApart"].message.endswith("a, b, c, d, e …")


def test_wrong_wall_clock_is_a_condition_and_does_not_degrade() -> None:
    """`ClockSkewed`: tokens are judged by the store's clock, so the instance serves on; it recovers with the next stamp."""
    scene = Scene().well()
    assert not scene.condition("ClockSkewed")
    scene.store_clock.note(scene.clock.now_ms() + 15_000, scene.clock.monotonic())
    scene.pass_(1)
    assert scene.condition("ClockSkewed")
    assert scene.health.conditions["ClockSkewed"].message == "the wall clock of this instance is 15.0 s behind the store's"
    assert (scene.health.state, scene.health.is_ready) == ("healthy", True)
    scene.store_clock.note(scene.clock.now_ms(), scene.clock.monotonic())
    assert not scene.pass_(1).condition("ClockSkewed")
    assert not scene.health.conditions["ClockSkewed"].message


def test_a_drain_says_how_many_connections_it_began_with() -> None:
    """How far it is, is what is left of them; the number stays while they go."""
    scene = Scene().well()
    value = scene.telemetry.registry.get_sample_value
    for user in ("ann", "ben", "cid"):
        scene.hub.add(connection(user))
    assert value("holdfast_drain_connections") == 0
    scene.health.is_draining = True
    scene.health.evaluate()
    scene.hub.remove(next(iter(scene.hub.connections.values())))
    scene.pass_(3)
    assert value("holdfast_drain_connections") == 3
