"""The offline notifications, as the node asks the store for them."""

from collections.abc import Sequence
from typing import Protocol

from holdfast.domain.notifications import CatchUp, Notification, PushOutcome


class NotificationStore(Protocol):
    """Notifications of absent users, and the users whose absence is still to be looked at.

    What every method promises and raises: see `Store`.
    """

    async def catch_ups(self, limit: int) -> list[CatchUp]:
        """Up to `limit` users whose `catchup` flag is still set."""
        ...

    async def finish_catch_up(self, done: CatchUp) -> None:
        """Clear the flag, unless the user went offline again since (`since_ms` differs). Idempotent."""
        ...

    async def create_notifications(self, records: Sequence[Notification]) -> list[Notification]:
        """Create each record unless its id exists (≤ 200, distinct ids); those that this call created. Idempotent."""
        ...

    async def recorded(self, notification_ids: Sequence[str]) -> set[str]:
        """Which of these records exist, whatever became of them: for drills and tests.

        The ids of one conversation should be those of neighbouring messages: what lies between the first and the last is read.
        """
        ...

    async def claim_notifications(self, limit: int, hold_seconds: float) -> list[Notification]:
        """Up to `limit` records that are due to be pushed, oldest first; no other instance gets them for `hold_seconds`.

        `attempts` is counted by the claim, so that a process which dies while pushing has used one up.
        """
        ...

    async def mark_notifications(self, outcomes: Sequence[PushOutcome]) -> None:
        """What became of claimed records (≤ 200, distinct ids). One whose claim is over stays as it is. Idempotent."""
        ...

    async def clear_notification(self, notification_id: str) -> None:
        """Forget a record, so that a later message makes a new one (large conversations, once the user has read). Idempotent."""
        ...
