"""The presence of users, as the node asks the store for it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from holdfast.domain.ids import UserId
from holdfast.domain.presence import Presence, PresenceChange


class PresenceStore(Protocol):
    """Which users are online, by the instances that hold their connections.

    What every method promises and raises: see `Store`.
    """

    async def add_presence(self, entry: str, seen_at_ms: Mapping[UserId, int]) -> list[PresenceChange]:
        """Put `entry` into `on` of each user (≤ 200) and set `online`; return the users who came online by it.

        `seen_at_ms`: since when each is here, by the store's clock as far as it is known here (Unix milliseconds); 0 if that is
        not known. `lastSeen` of a user who was offline becomes the larger of that and what is stored. It stays where the user
        was online, or `catchup` is set: the connection has not shown yet what was missed since.

        Under a precondition on what was read, retried inside: a concurrent removal by another instance is never lost.
        Idempotent; a change whose reply was lost is still returned by the call that made it.
        """
        ...

    async def remove_presence(self, entry: str, seen_at_ms: Mapping[UserId, int]) -> list[PresenceChange]:
        """Take `entry` out of `on` of each user (≤ 200); return those whose `on` became empty: they are offline now.

        `lastSeen` becomes the larger of what is stored and `seen_at_ms`. The same write sets `catchup`, from that `lastSeen` on,
        for users who went offline: no instance can die between the two. Same conditions as `add_presence`.
        """
        ...

    async def read_presence(self, user_ids: Sequence[UserId]) -> dict[UserId, Presence]:
        """Presence of each user asked for; a user who was never seen is offline."""
        ...

    async def users_on(self, entry: str, limit: int, after: UserId | None = None) -> list[UserId]:
        """Up to `limit` users whose `on` holds `entry`, by id, strictly after `after`."""
        ...
