"""The simulated loop: virtual time, processes, and what the seed decides."""

import asyncio
import gc
import os
import random
import secrets
import time
import uuid

import pytest

from simulation.loop import SimulatedLoop, Stalled, current_process
from simulation.patching import simulated


def test_an_hour_of_waiting_costs_no_real_time() -> None:
    """A night of faults has to fit into minutes."""
    began = time.monotonic()
    with simulated(1) as loop:
        before = loop.now
        loop.run(asyncio.sleep(3_000))
        assert 3_000 <= loop.now - before < 3_001
    assert time.monotonic() - began < 60


def test_callbacks_of_one_process_keep_their_order() -> None:
    """Code that relies on asyncio's order must not fail here for a reason that does not exist."""
    with simulated(1) as loop:
        seen: list[int] = []
        process = loop.process("a")
        loop.process("b").spawn(_busy(50))
        for number in range(100):
            process.call_soon(seen.append, number)
        loop.run_for(1)
        assert seen == list(range(100))


async def _busy(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


def _order(seed: int) -> str:
    with simulated(seed) as loop:
        seen: list[str] = []

        async def speak(name: str) -> None:
            for _ in range(10):
                seen.append(name)
                await asyncio.sleep(0)

        for name in "abc":
            loop.process(name).spawn(speak(name))
        loop.run_for(1)
        return "".join(seen)


def test_seed_decides_the_order_between_processes() -> None:
    """The same seed shows the same fault again; another one looks elsewhere."""
    assert _order(1) == _order(1)
    assert len({_order(seed) for seed in range(5)}) > 1


def test_killed_process_runs_nothing_more_not_even_its_finally() -> None:
    """A crash does not tidy up. A simulation that did would hide the remains of a crash."""
    with simulated(1) as loop:
        seen: list[str] = []

        async def work() -> None:
            try:
                seen.append("began")
                await asyncio.sleep(10)
            finally:
                seen.append("tidied")

        process = loop.process("a")
        process.spawn(work())
        process.call_later(5, seen.append, "timer")
        loop.run_for(1)
        process.kill()
        loop.run_for(20)
        gc.collect()
        assert seen == ["began"]
    gc.collect()
    assert seen == ["began"]


@pytest.mark.parametrize("callbacks", [0, 1, 7])
def test_process_dies_after_so_many_callbacks(callbacks: int) -> None:
    """A crash may come between any two steps."""
    with simulated(1) as loop:
        seen: list[int] = []
        process = loop.process("a")
        for number in range(20):
            process.call_soon(seen.append, number)
        process.kill_after(callbacks)
        loop.run_for(1)
        assert seen == list(range(callbacks))
        assert process.is_dead


def test_death_is_told() -> None:
    """The cluster follows its instances."""
    with simulated(1) as loop:
        process, dead = loop.process("a"), []
        process.on_death.append(lambda: dead.append(process.name))
        process.kill()
        process.kill()
        assert dead == ["a"]


def test_frozen_process_goes_on_where_it_was() -> None:
    """A paused container finds all its timers due at once."""
    with simulated(1) as loop:
        seen: list[float] = []

        async def tick() -> None:
            while True:
                await asyncio.sleep(1)
                seen.append(loop.now)

        process = loop.process("a")
        process.spawn(tick())
        loop.run_for(2.5)
        process.freeze()
        loop.run_for(10)
        assert len(seen) == 2
        process.thaw()
        loop.run_for(2.2)
        assert len(seen) == 5
        assert seen[2] - seen[1] > 10


def test_exception_of_an_old_task_that_no_code_took_is_a_failure() -> None:
    """Garbage that has grown old is collected at the end of a run: a failed task may have been referred to for long."""
    with simulated(1) as loop:

        async def fail() -> None:
            raise ValueError("no code takes this")

        kept: list[object] = [loop.root.spawn(fail())]
        kept.append(kept)
        loop.run_for(30)
        del kept
        loop.collect()
        assert [failure.message for failure in loop.failures] == ["SimulatedTask exception was never retrieved"]


def test_wall_clock_of_one_process_is_wrong() -> None:
    """Clocks of machines differ, and step."""
    with simulated(1) as loop:

        async def wall() -> float:
            return time.time()

        process = loop.process("a")
        right = loop.run(wall())
        process.clock_offset_seconds = -20
        wrong = loop.run(_awaited(process.spawn(wall())))
        assert wrong - right == pytest.approx(-20, abs=1)


async def _awaited(task: "asyncio.Task[float]") -> float:
    return await task


def test_exception_that_no_code_takes_is_recorded() -> None:
    """A task that fails unseen is a defect, whatever the clients saw."""
    with simulated(1) as loop:

        async def fail() -> None:
            raise ValueError("lost")

        process = loop.process("a")
        process.spawn(fail())
        process.call_soon(lambda: 1 // 0)
        loop.run_for(600)
        assert {failure.process for failure in loop.failures} == {"a"}
        assert any("ZeroDivisionError" in failure.error for failure in loop.failures)
        assert process.is_dead is False


def test_failures_of_the_dead_do_not_count() -> None:
    """A process that crashed reports no errors of its remaining work."""
    with simulated(1) as loop:

        async def fail() -> None:
            raise ValueError("lost")

        process = loop.process("a")
        task = process.spawn(fail())
        loop.run_for(0.1)
        process.kill()
        del task
        loop.run_for(20)
        gc.collect()
        assert loop.failures == []


def _drawn(seed: int) -> list[object]:
    with simulated(seed):
        return [os.urandom(4), secrets.token_hex(4), secrets.randbelow(10**9), uuid.uuid4(), random.random(), time.time()]


def test_library_gives_the_same_chance_and_time_for_a_seed() -> None:
    """Keys, pauses and stamps are part of what happens."""
    assert _drawn(1) == _drawn(1)
    assert _drawn(1) != _drawn(2)


def test_library_is_as_before_after_a_run() -> None:
    """Other tests run in the same interpreter."""
    before = (time.time, time.monotonic, os.urandom, random.getstate(), gc.isenabled())
    with simulated(1):
        random.random()
    assert before == (time.time, time.monotonic, os.urandom, random.getstate(), gc.isenabled())


def test_work_of_threads_runs_at_once() -> None:
    """A thread would run at a moment that no seed decides."""
    with simulated(1) as loop:

        async def elsewhere() -> str:
            return await asyncio.to_thread(lambda: current_process().name)

        assert loop.run(elsewhere()) == "root"


def test_sets_of_tasks_have_one_order() -> None:
    """`asyncio.wait` answers with sets: an order by address would differ from run to run."""
    with simulated(1) as loop:

        async def names() -> list[str]:
            tasks = [loop.create_task(asyncio.sleep(0), name=str(number)) for number in range(50)]
            done, _ = await asyncio.wait(tasks)
            ordered = [int(task.get_name()) for task in done]
            first = ordered.index(0)
            return [str(number) for number in ordered[first:] + ordered[:first]]

        assert loop.run(names()) == [str(number) for number in range(50)]


def test_wait_that_nothing_ends_is_an_error() -> None:
    """A simulation that hangs has to say so at once."""
    loop = SimulatedLoop(1)
    try:
        with pytest.raises(Stalled):
            loop.run_until_complete(loop.create_future())
        with pytest.raises(TimeoutError):
            loop.run(asyncio.Event().wait(), within_seconds=5)
    finally:
        loop.close()
