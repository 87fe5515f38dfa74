"""A loop is repeated whatever its step raises, and judged by its last success."""

import asyncio
import logging

import pytest

from holdfast.errors import RedisUnavailable
from holdfast.loops import FAILING_SECONDS, REDIS, STUCK_SECONDS, Loop, Loops, each_of
from holdfast.telemetry import Telemetry
from support.virtual_time import in_virtual_time, passed


class Scene:
    """One loop; `error`: what its step raises."""

    def __init__(self, period_seconds: float = 1.0, busy_seconds: float = 0.0, *, is_vital: bool = False) -> None:
        self.telemetry = Telemetry("test")
        self.loops = Loops(asyncio.get_running_loop().time, self.telemetry)
        self.error: BaseException | None = None
        self.rounds = 0
        self.is_hanging = False
        loop = Loop("sweep", self._step, period_seconds, (REDIS,), busy_seconds, is_vital)
        self.task = asyncio.create_task(self.loops.run(loop))

    async def _step(self) -> None:
        self.rounds += 1
        if self.is_hanging:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        await asyncio.sleep(1.0)

    @property
    def failures(self) -> float:
        """As counted."""
        return self.telemetry.registry.get_sample_value("holdfast_loop_failures_total", {"loop": "sweep"}) or 0.0

    async def passed(self, seconds: int, *away: str) -> None:
        """Time passes; health looks once a second."""
        for _ in range(seconds):
            await passed(1)
            self.loops.look(away)

    async def close(self) -> None:
        """The end."""
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task


def test_mistakes_are_retried_with_growing_pauses_and_logged_rarely(caplog: pytest.LogCaptureFixture) -> None:
    """At least every five seconds, for ever, without a storm of tracebacks."""
    caplog.set_level(logging.ERROR)

    @in_virtual_time
    async def scenario() -> None:
        scene = Scene()
        scene.error = ValueError("unexpected")
        await scene.passed(1)
        assert scene.failures >= 3
        before = scene.failures
        await scene.passed(100)
        assert 19 <= scene.failures - before <= 40
        assert 3 <= len(caplog.records) <= 5
        scene.error = None
        await scene.passed(10)
        after = scene.failures
        await scene.passed(10)
        assert scene.failures == after
        await scene.close()

    scenario()


@in_virtual_time
async def test_a_call_that_a_library_cancelled_does_not_end_the_loop() -> None:
    """A closed channel cancels its calls; that looks like the end of the task and is not."""
    scene = Scene()
    scene.error = asyncio.CancelledError()
    await scene.passed(2)
    assert not scene.task.done()
    assert scene.failures > 0
    await scene.close()


@in_virtual_time
async def test_what_a_dependency_refuses_is_no_mistake_but_no_success_either() -> None:
    """An outage is counted elsewhere; a refusal by a dependency that otherwise answers is found here."""
    scene = Scene()
    scene.error = RedisUnavailable("refused")
    await scene.passed(60, REDIS)
    assert scene.failures == 0
    assert scene.loops.failing == {}
    await scene.passed(int(FAILING_SECONDS) + 1)
    assert scene.loops.failing == {"sweep": "RedisUnavailable"}
    assert scene.loops.stuck == {}
    await scene.passed(int(STUCK_SECONDS - FAILING_SECONDS))
    assert scene.loops.stuck == {}  # a restart would meet the same refusal
    scene.error = None
    await scene.passed(3)
    assert scene.loops.failing == {}
    await scene.close()


@in_virtual_time
async def test_a_round_that_does_not_end_is_failing_unless_it_may_be_busy() -> None:
    """A loop that waits for ever is as dead as one that raised."""
    scene, busy = Scene(), Scene(busy_seconds=300.0)
    scene.is_hanging = busy.is_hanging = True
    await asyncio.gather(*(each.passed(int(FAILING_SECONDS) + 2) for each in (scene, busy)))
    assert scene.loops.failing == {"sweep": ""}
    assert busy.loops.failing == {}
    await scene.close()
    await busy.close()


@in_virtual_time
async def test_only_a_vital_loop_is_stuck_after_a_minute_of_mistakes_or_hanging() -> None:
    """Liveness rests on it: a bad item that fails a loop beside the path of messages must not restart every instance."""
    vital, other = Scene(is_vital=True), Scene()
    for scene in (vital, other):
        scene.error = ValueError("a bad item")
        await scene.passed(int(STUCK_SECONDS) + 5)
    assert (vital.loops.stuck, other.loops.stuck) == ({"sweep": "ValueError"}, {})
    vital.error = None
    await vital.passed(6)
    assert vital.loops.stuck == {}
    vital.is_hanging = True
    await vital.passed(int(STUCK_SECONDS) + 2)
    assert vital.loops.stuck == {"sweep": ""}
    await vital.close()
    await other.close()


@in_virtual_time
async def test_a_process_that_stood_still_does_not_call_its_loops_dead() -> None:
    """After a thaw every success is old, and none of it is a loop's fault."""
    scene = Scene()
    await scene.passed(5)
    scene.is_hanging = True  # it stands for what does not run while nothing runs
    await passed(100)
    scene.loops.look(())
    assert scene.loops.stuck == {}
    await scene.close()


@in_virtual_time
async def test_work_is_insisted_on_until_nothing_is_left() -> None:
    """A worker's mistake must not leave what it was to do."""
    loops = Loops(asyncio.get_running_loop().time, Telemetry("test"))
    left = [ValueError("1"), None, ValueError("2"), ValueError("3"), None]

    async def work() -> bool:
        if (error := left.pop(0)) is not None:
            raise error
        return bool(left)

    await asyncio.wait_for(loops.insist("presence", work), 10)
    assert left == []


def test_one_part_that_raises_does_not_keep_the_others_from_their_turn() -> None:
    """A tick calls several parts; the mistake is told when all had their turn."""
    called: list[str] = []

    def fail() -> None:
        raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        each_of(fail, lambda: called.append("second"))
    assert called == ["second"]
