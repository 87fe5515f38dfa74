"""Notices that a part is gone, or back, whatever ended or started it.

A part is gone when its process ended, or has stopped answering (frozen, or cut off). No action is taken here; each change is
reported once.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from holdfast.cli.front.backends import Health
from holdfast.cli.up.part import Part

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_MISSED_LOOKS = 4  # a running process may be busy for two seconds; an ended one is told at once


@dataclass(slots=True)
class Watched:
    """A part, how to ask for its health, and what was last told about it."""

    part: Part
    ask: Callable[[], Awaitable[Health]]
    is_up: bool = True
    missed: int = 0

    async def look(self) -> bool:
        """Whether the part works now. One that starts, or drains, is what it was: neither lost nor back."""
        health = await self.ask()
        if health is Health.AWAY:
            self.missed += 1
            return self.is_up and self.part.pid is not None and self.missed < _MISSED_LOOKS
        self.missed = 0
        return self.is_up or health is Health.READY


async def watch(parts: Sequence[Watched], lost: Callable[[Part], None], back: Callable[[Part], None]) -> None:
    """Look at all parts for ever and tell each change once; ends by cancellation."""
    while True:
        for watched in parts:
            try:
                is_up = await watched.look()
            except Exception:  # noqa: BLE001 - one part that cannot be looked at must not hide what becomes of the others
                _log.exception("%s cannot be checked", watched.part.name)
                continue
            if is_up != watched.is_up:
                watched.is_up = is_up
                (back if is_up else lost)(watched.part)
        await asyncio.sleep(_LOOK_SECONDS)
