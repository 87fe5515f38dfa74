"""An instance that gets the CPU for less than half of the time, as by a limit that is too low."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

from support.instances import Serving

_STILL_SECONDS = 0.6
_GOES_ON_SECONDS = 0.4


@contextlib.asynccontextmanager
async def throttled(instance: Serving) -> AsyncIterator[None]:
    """Inside it stands still for most of each second."""

    async def throttle() -> None:
        while True:
            instance.signal(signal.SIGSTOP)
            await asyncio.sleep(_STILL_SECONDS)  # the pace of the throttling
            instance.signal(signal.SIGCONT)
            await asyncio.sleep(_GOES_ON_SECONDS)  # the same

    throttling = asyncio.create_task(throttle())
    try:
        yield
    finally:
        throttling.cancel()
        await asyncio.gather(throttling, return_exceptions=True)
        instance.signal(signal.SIGCONT)
