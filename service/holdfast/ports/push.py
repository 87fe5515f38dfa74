"""The way to a user who is not connected."""

from typing import Protocol

from holdfast.domain.notifications import Notification


class Notifier(Protocol):
    """The way out of offline notifications: a push service, or the log."""

    async def push(self, notification: Notification) -> None:
        """Hand one over, at least once; `notification_id` lets the receiver drop a repetition. Bounded by its own deadline.

        Raises:
            PushFailed: it was not taken; `is_final` says whether trying again is useless.
        """
        ...

    async def close(self) -> None:
        """Release what is held."""
        ...
