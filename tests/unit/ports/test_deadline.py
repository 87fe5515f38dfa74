"""A deadline that does not blame the other side for a busy loop."""

import asyncio
import threading
import time

import pytest

from holdfast.ports import within
from support.virtual_time import in_virtual_time, passed


@in_virtual_time
async def test_on_a_loop_that_is_not_busy_it_is_an_ordinary_deadline() -> None:
    """To the millisecond, and what is done in time is not touched."""
    loop = asyncio.get_running_loop()
    async with within(0.5):
        await passed(0.49)
    began = loop.time()
    with pytest.raises(TimeoutError):
        async with within(0.5):
            await passed(10)
    assert loop.time() - began == pytest.approx(0.5)
    await passed(1)  # nothing fires later


@in_virtual_time
async def test_whoever_cancels_is_heard_as_ever() -> None:
    """A cancelled caller is no timeout."""
    task = asyncio.create_task(_wait_long())
    await passed(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _wait_long() -> None:
    async with within(5.0):
        await passed(10)


async def _answer_that_comes_while_the_loop_is_busy() -> str:
    loop, answer = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
    is_busy = threading.Event()

    def other_side() -> None:
        is_busy.wait()
        loop.call_soon_threadsafe(answer.set_result, "in time")

    def be_busy() -> None:
        is_busy.set()
        time.sleep(0.3)  # as thousands of handshakes at once do to the loop

    thread = threading.Thread(target=other_side)
    thread.start()
    loop.call_soon(be_busy)
    try:
        return str(await answer)
    finally:
        await asyncio.to_thread(thread.join)


async def test_answer_that_came_during_a_busy_turn_of_the_loop_is_read() -> None:
    """The timer is due before the answer is looked at; an ordinary deadline would lose it."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await _answer_that_comes_while_the_loop_is_busy()
    async with within(0.2):
        assert await _answer_that_comes_while_the_loop_is_busy() == "in time"
