"""The simulated store: what a call meets on its way, there, and on the way back."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from holdfast.adapters.sqlite.store import SqliteStore
from holdfast.domain.buckets import TokenBucket
from holdfast.domain.ids import ConversationId
from holdfast.errors import StoreTimeout, StoreUnavailable
from holdfast.node.health.store_calls import counted
from holdfast.ports import Store, Unwatched
from holdfast.telemetry import Telemetry, otlp
from simulation.loop import SimulatedLoop
from simulation.machine import SimulatedClock
from simulation.patching import simulated
from simulation.process import Process
from simulation.sqlite import SimulatedStore
from support.appending import NOW_MS, begin, draft, drafts

T = TypeVar("T")
C = ConversationId("c1")


class Scene:
    """Two instances' stores over one database, in processes `a` and `b`."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self.loop = loop
        self.store = SimulatedStore(loop, 1)
        self.processes = {name: loop.process(name) for name in "ab"}
        self.stores = {name: self.opened(process) for name, process in self.processes.items()}
        self.run("a", begin(self.stores["a"], C))

    def opened(self, process: Process) -> Store:
        """With names for its calls, as `bootstrap` makes it."""
        clock = SimulatedClock(self.loop, process)
        telemetry = Telemetry("0", "sqlite", otlp.tracing({}, {}, clock, TokenBucket(1, 1, 0)))
        store = counted(SqliteStore(self.store.database(2.0), clock, Unwatched()), telemetry, clock.monotonic)
        self.run(process.name, store.open())
        return store

    def run(self, name: str, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` in one of the processes, to its end."""

        async def result() -> T:
            return await self.processes[name].spawn(work)

        return self.loop.run(result(), within_seconds=60)

    def append(self, name: str, seq: int, body: str) -> None:
        """By one of the stores."""
        self.run(name, self.stores[name].append(C, seq, [draft(body)], NOW_MS))

    def begin_to_append(self, name: str, seq: int, body: str) -> "asyncio.Task[None]":
        """Without waiting for its end."""
        return self.processes[name].spawn(self.stores[name].append(C, seq, [draft(body)], NOW_MS))

    @property
    def bodies(self) -> list[str]:
        """The stored messages."""
        return [row[0] for row in self.store.connection.execute("SELECT client_message_id FROM messages ORDER BY seq")]


@pytest.fixture
def scene() -> Iterator[Scene]:
    with simulated(5) as loop:
        yield Scene(loop)


def test_instances_share_what_is_stored(scene: Scene) -> None:
    """It is one database."""
    scene.append("a", 1, "m1")
    scene.append("b", 2, "m2")
    read = scene.run("b", scene.stores["b"].read_messages(C, limit=10))
    assert [message.client_message_id for message in read] == ["m1", "m2"] == scene.bodies


def test_call_takes_time(scene: Scene) -> None:
    """The simulation looks for mistakes in the events during a call."""
    before = scene.loop.now
    scene.append("a", 1, "m1")
    assert 0.0003 < scene.loop.now - before < 1


def test_calls_of_one_lane_keep_their_order(scene: Scene) -> None:
    """A lane is one connection: no call overtakes another."""

    async def all_at_once() -> None:
        store = scene.stores["a"]
        await asyncio.gather(*(store.append(C, number, [each], NOW_MS) for number, each in enumerate(drafts(30), 1)))

    scene.run("a", all_at_once())
    assert scene.bodies == [f"m{number}" for number in range(1, 31)]


def test_refused_call_is_not_done(scene: Scene) -> None:
    """UNAVAILABLE before the commit."""
    scene.store.faults.lost_before = 1.0
    with pytest.raises(StoreUnavailable):
        scene.append("a", 1, "m1")
    assert scene.bodies == []


def test_call_whose_answer_is_lost_is_done(scene: Scene) -> None:
    """The caller gets an error, or nothing at all, and the message is in."""
    scene.store.faults.lost_after = 1.0
    errors = set()
    for number in range(1, 9):
        with pytest.raises((StoreUnavailable, StoreTimeout)) as caught:
            scene.append("a", number, f"m{number}")
        errors.add(type(caught.value))
    assert scene.bodies == [f"m{number}" for number in range(1, 9)]
    assert errors == {StoreUnavailable, StoreTimeout}


def test_store_behind_a_partition_does_not_answer(scene: Scene) -> None:
    """Its caller waits for its deadline; the call may still be done afterwards."""
    scene.loop.network.cut("a", "store")
    with pytest.raises(StoreTimeout):
        scene.append("a", 1, "m1")
    scene.append("b", 1, "other")
    scene.loop.network.heal()
    scene.loop.run_for(2)
    assert scene.bodies == ["other"]


def test_frozen_store_hangs_and_goes_on(scene: Scene) -> None:
    """A disk that does not answer."""
    scene.store.process.freeze()
    task = scene.begin_to_append("a", 1, "m1")
    scene.loop.run_for(1)
    assert not task.done()
    scene.store.process.thaw()
    scene.loop.run_for(0.2)
    assert scene.bodies == ["m1"]
    assert task.done()


def test_process_dies_after_the_commit_and_before_the_answer(scene: Scene) -> None:
    """The worst moment: the message is in, and its sender was told nothing."""
    scene.store.aim("a", Process.kill, moment="after", calls=2, operations=("append",))
    scene.append("a", 1, "m1")
    task = scene.begin_to_append("a", 2, "m2")
    scene.loop.run_for(5)
    assert scene.bodies == ["m1", "m2"]
    assert scene.processes["a"].is_dead
    assert not task.done()


def test_process_dies_before_the_commit(scene: Scene) -> None:
    """Its call is not done."""
    scene.store.aim("a", Process.kill, moment="before", operations=("append",))
    scene.begin_to_append("a", 1, "m1")
    scene.loop.run_for(5)
    assert scene.bodies == []
    assert scene.processes["a"].is_dead


def test_process_dies_some_callbacks_after_the_answer(scene: Scene) -> None:
    """Between the commit and whatever follows from it."""
    scene.store.aim("a", lambda process: process.kill_after(1), moment="answered", operations=("append",))
    scene.begin_to_append("a", 1, "m1")
    scene.loop.run_for(5)
    assert scene.bodies == ["m1"]
    assert scene.processes["a"].is_dead


def test_aim_can_be_taken_away(scene: Scene) -> None:
    """A fault ends with its scenario."""
    scene.store.aim("a", Process.kill, moment="before")()
    scene.append("a", 1, "m1")
    assert scene.bodies == ["m1"]


def test_backup_is_put_back_under_a_new_generation(scene: Scene) -> None:
    """As an operator restores, and says so."""
    scene.append("a", 1, "m1")
    backup = scene.store.snapshot()
    scene.append("a", 2, "m2")
    scene.store.restore(backup, generation="renewed")
    assert scene.bodies == ["m1"]
    assert scene.run("b", scene.stores["b"].generation()) == "renewed"
    scene.append("b", 2, "m2 again")
    assert scene.bodies == ["m1", "m2 again"]


def test_emptied_store_has_no_generation(scene: Scene) -> None:
    """A volume that was lost."""
    scene.store.empty()
    assert scene.run("a", scene.stores["a"].generation()) == ""
    assert scene.run("b", scene.opened(scene.processes["b"]).generation())
