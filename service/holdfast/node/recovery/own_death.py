"""The end of a run that was declared dead while it lived.

The other instances take its users offline when their grace is over, and then remove its bulletin. Users whom the run added after
that are looked for by no other instance. So the run takes them out itself, before it ends.
"""

import asyncio
import logging
from functools import partial
from typing import Final

from holdfast.node.cluster.parts import ClusterParts
from holdfast.node.foundation import Foundation
from holdfast.node.recovery.deaths import LIVED_SECONDS
from holdfast.node.users.presence import Presence

_WRITE_SECONDS: Final = 2.0
_SECONDS: Final = 5.0

_log = logging.getLogger(__name__)


async def take_out_users(on: Foundation, cluster: ClusterParts, presence: Presence) -> None:
    """Of the presence of this run, which was declared dead; within 5 s.

    Nothing is done while users are within their grace. Then the others have not taken them offline yet, and will find all.
    """
    alive_ms = cluster.own_bulletin.written_at_ms
    await presence.written(_WRITE_SECONDS)
    if cluster.store_clock.now() < alive_ms + (LIVED_SECONDS + on.settings.presence.grace_seconds) * 1000:
        return
    try:
        async with asyncio.timeout(_SECONDS - _WRITE_SECONDS):
            await on.tasks.until_store_answers(partial(presence.reap, on.identity.run, alive_ms, presence.leaving()))
    except TimeoutError:
        _log.warning("users whom this run added after it was declared dead may stay online")
