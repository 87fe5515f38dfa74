"""From which users a user's presence is hidden, because one of the two blocks the other (`blocks`)."""

import asyncio
from dataclasses import dataclass
from typing import Final

from holdfast.domain.ids import UserId
from holdfast.ports import BlockStore

MAX_BLOCKERS: Final = 1_000  # more are not listed; the presence of a user whom so many block is shown to no other user


@dataclass(frozen=True, slots=True)
class Hidden:
    """From which users a user's presence is hidden, and theirs from that user: `users`, or all (`is_all`)."""

    users: frozenset[UserId] = frozenset()
    is_all: bool = False

    def __contains__(self, user_id: object) -> bool:
        return self.is_all or user_id in self.users


HIDDEN_FROM_ALL: Final = Hidden(is_all=True)


async def hidden_from(store: BlockStore, user_id: UserId) -> Hidden:
    """As the store has it now.

    Raises:
        StoreError: it cannot be read.
    """
    blocked, blockers = await asyncio.gather(store.blocks_of(user_id), store.blockers_of(user_id, MAX_BLOCKERS + 1))
    return Hidden(frozenset((*blocked, *blockers)), is_all=len(blockers) > MAX_BLOCKERS)
