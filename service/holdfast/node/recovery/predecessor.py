"""The earlier start of our own name: its users are still present under its epoch, and only its bulletin says under which.

No other instance reaps it while we hold its name. Its bulletin is read before ours replaces it, and its users have their grace
period. Our own bulletin names its epoch until they are removed, because we may be killed before that.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import InstanceId
from holdfast.node.tasks import until_store_answers
from holdfast.node.users.presence import Presence
from holdfast.ports import RunStore

_FOR_EVER: Final = 1_000_000  # tries, half a second apart


async def reap_predecessor(
    store: RunStore,
    presence: Presence,
    instance_id: InstanceId,
    grace_seconds: float,
    on_read: Callable[[Sequence[Bulletin]], object],
) -> None:
    """Take those offline who do not come back within the grace.

    Args:
        on_read: told what was read; our own bulletin may be written from here on.
    """
    earlier: list[Bulletin] = []

    async def read() -> None:
        earlier.extend(b for b in await store.read_bulletins() if b.instance_id == instance_id)

    async def reap() -> None:
        for bulletin in earlier:
            for entry, ms in bulletin.entries.items():
                await presence.reap(entry, ms, bulletin.left)

    await until_store_answers(read, tries=_FOR_EVER)
    for bulletin in earlier:
        presence.inherit(bulletin.entries, bulletin.left)
    on_read(earlier)
    await asyncio.sleep(grace_seconds)
    await until_store_answers(reap, tries=_FOR_EVER)
    presence.settle()
