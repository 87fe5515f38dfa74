"""Which user is connected to which instance."""

from collections.abc import Sequence
from typing import Protocol

from holdfast.domain.ids import ConnectionId, Epoch, InstanceId, UserId
from holdfast.domain.registry import ConnectionRecord, InstanceLease


class Registry(Protocol):
    """Which user is connected to which instance, in Redis.

    An index: the instances can rebuild all of it. It raises `RedisUnavailable` (or `RedisTimeout`) within the deadline,
    `LeaseLost` when this instance's lease is missing or foreign, `WorldChanged` when Redis is not the one it was. After either:
    `acquire` again, then register everything.
    """

    @property
    def server(self) -> str:
        """Which start of which Redis took the last `acquire` or `renew`; empty before, and where that may not be asked."""
        ...

    async def acquire(self, epoch: Epoch, state: str) -> None:
        """Take the lease, and remember the world (creating it when there is none, or when another server made it).

        The first time whatever was there is taken over: a start follows its predecessor. Nothing that was registered before
        under this name counts any more, and it is removed.

        Args:
            epoch: of this run; always the same.

        Raises:
            NameTaken: we had it before, and a process that started later has it now; nothing was changed.
        """
        ...

    def rename(self, instance_id: InstanceId) -> None:
        """From the next `acquire` on, everything is done under this name."""
        ...

    async def renew(self, state: str, connections: int) -> None:
        """Prolong the lease by 12 s and publish state and count."""
        ...

    async def release(self) -> None:
        """Remove the lease and what is left under it, if it is still ours. Idempotent."""
        ...

    async def register(self, records: Sequence[ConnectionRecord]) -> dict[UserId, int]:
        """Add connections (scripts of 500); how many connections each user has now, everywhere. Idempotent."""
        ...

    async def unregister(self, connections: Sequence[tuple[UserId, ConnectionId]]) -> None:
        """Remove connections, and `user:{id}` from the subscriptions where it was this instance's last of that user.

        Idempotent.
        """
        ...

    async def set_registered(self) -> None:
        """All local connections are in: others may believe our silence about a user."""
        ...

    async def refresh(self, user_ids: Sequence[UserId]) -> None:
        """Renew the hour-long TTL of `connections:` and `subscriptions:`."""
        ...

    async def connections_of(self, user_id: UserId) -> list[ConnectionRecord]:
        """The user's connections that count: the lease under which each was written lives."""
        ...

    async def instances(self) -> list[InstanceLease]:
        """Every instance that has, or had, a lease."""
        ...

    async def connected(self, user_ids: Sequence[UserId]) -> set[UserId]:
        """Which of them (≤ 1,000) have a connection at some instance whose lease lives."""
        ...

    async def reap(self, instance_id: InstanceId) -> list[UserId] | None:
        """Remove what a gone instance left, field by field, only if it has no lease.

        Returns the users who lost a connection by it; None where it has a lease.
        """
        ...
