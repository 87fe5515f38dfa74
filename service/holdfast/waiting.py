"""Waiting for an event, but not for ever."""

import asyncio


async def is_set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event, at most `seconds`; whether it is set."""
    if event.is_set():
        return True
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
    return event.is_set()
