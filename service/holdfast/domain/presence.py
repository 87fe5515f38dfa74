"""Presence of users, as the store holds it."""

from dataclasses import dataclass

from holdfast.domain.ids import Epoch, InstanceId, UserId


def presence_entry(instance_id: InstanceId, epoch: Epoch) -> str:
    """One element of `users/{u}.on`: this user has a connection, or had one within the grace, at that start of that instance."""
    return f"{instance_id}:{epoch}"


@dataclass(frozen=True, slots=True)
class Presence:
    """`online` exactly when `on` is not empty. `last_seen_at_ms` is None for a user who was never seen."""

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
