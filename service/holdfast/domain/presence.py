"""Presence of users, as the store holds it."""

from dataclasses import dataclass

from holdfast.domain.ids import UserId


@dataclass(frozen=True, slots=True)
class Presence:
    """`online` exactly when `on` is not empty: the runs at which the user has a connection, or had one within the grace.

    `last_seen_at_ms` is None for a user who was never seen."""

    user_id: UserId
    online: bool
    on: tuple[str, ...]
    last_seen_at_ms: int | None


@dataclass(frozen=True, slots=True)
class PresenceChange:
    """A user's `online` turned over.

    Attributes:
        version: rises with every change of that user by any instance; from the store, so comparable everywhere.
    """

    user_id: UserId
    online: bool
    version: int
    last_seen_at_ms: int | None
