"""Waiting for an event with a time-out."""

import asyncio

from holdfast.waiting import is_set_within
from support.virtual_time import in_virtual_time, passed


@in_virtual_time
async def test_event_ends_the_wait_and_so_does_its_time() -> None:
    """A loop that sleeps until it is woken must look by itself, too: a lost wake-up costs one pause, and no more."""
    event = asyncio.Event()
    waiting = asyncio.create_task(is_set_within(event, 10))
    await passed(9)
    assert not waiting.done()
    await passed(2)
    assert await waiting is False
    waiting = asyncio.create_task(is_set_within(event, 10))
    await passed(1)
    event.set()
    await passed(1)
    assert waiting.done()
    assert await waiting is True
