"""Loops as a node runs them, for units that look at one part alone."""

import asyncio
from collections.abc import Sequence

from holdfast.loops import Loop, Loops
from holdfast.telemetry import Telemetry


def supervised(*loops: Loop | Sequence[Loop]) -> "asyncio.Task[None]":
    """Run these in one task; cancel it at the end."""
    every = [loop for one in loops for loop in ([one] if isinstance(one, Loop) else one)]
    return asyncio.create_task(_run(every))


async def _run(every: Sequence[Loop]) -> None:
    running = Loops(asyncio.get_running_loop().time, Telemetry("test"))
    await asyncio.gather(*(running.run(loop) for loop in every))
