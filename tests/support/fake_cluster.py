"""The other instances in memory: a bus that can be away, a registry whose calls can be held back and fail.

A call gives the others a turn, as a round trip would: that is what `asyncio.sleep(0)` stands for.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from holdfast.domain.ids import ConnectionId, ConversationId, Epoch, InstanceId, Seq, UserId
from holdfast.domain.registry import ConnectionRecord, InstanceLease
from holdfast.ports import PublishedChange, PublishedCommit
from support.fakes import Faulty


class FakeBus:
    """A bus that remembers; `is_live` is the test's to set."""

    def __init__(self) -> None:
        self.is_live = True
        self.wanted: set[str] = set()
        self.confirmations = 1  # the number of every subscription that is in force
        self.published: list[tuple[str, bytes]] = []
        self.commits: list[tuple[Seq, list[bytes], bytes]] = []
        self.marks: list[str] = []
        self.cleared: list[str] = []
        self.losses = 0
        self.connection = 1
        self.kept: list[tuple[Seq, bytes]] = []
        self.recorded = 0
        self.names: list[str] = []

    @property
    def is_lost(self) -> bool:
        return not self.is_live

    def subscription(self, channel: str) -> int:
        return self.confirmations if self.is_live and channel in self.wanted else 0

    async def start(self, *_: Any) -> None:
        return

    async def close(self) -> None:
        return

    async def subscribe(self, channels: Iterable[str]) -> bool:
        self.wanted.update(channels)
        await asyncio.sleep(0)
        return self.is_live

    def unsubscribe(self, channels: Iterable[str]) -> None:
        self.wanted.difference_update(channels)

    def rename(self, instance_id: InstanceId) -> None:
        self.names.append(instance_id)

    def record_channels(self) -> None:
        self.recorded += 1

    def publish(self, channel: str, envelope: bytes) -> None:
        self.published.append((channel, envelope))

    async def mark_dirty(self, *entries: str, within_seconds: float = 0.1) -> bool:
        self.marks += entries
        await asyncio.sleep(0)
        return self.is_live

    def publish_commit(self, commit: PublishedCommit) -> None:
        self.commits.append((commit.first_seq, list(commit.messages), commit.envelope))

    def publish_change(self, change: PublishedChange) -> None:
        channels = (f"conversation:{change.conversation_id}", *(f"user:{user_id}" for user_id in change.affected))
        self.published += [(channel, change.envelope) for channel in channels]

    def clear_dirty(self, *entries: str) -> None:
        self.cleared += entries

    async def claim_dirty(self, older_than_seconds: float, hold_seconds: float, limit: int) -> list[str]:
        await asyncio.sleep(0)
        return [entry for entry in self.marks if entry not in self.cleared][:limit]

    async def recent(self, conversation_id: ConversationId, after_seq: Seq, generation: str) -> list[tuple[Seq, bytes]]:
        await asyncio.sleep(0)
        return [(seq, text) for seq, text in self.kept if seq > after_seq]


class FakeRegistry(Faulty):
    """A registry of one Redis; `leases` are the test's to set."""

    def __init__(self) -> None:
        super().__init__()
        self.acquired: list[Epoch] = []
        self.registered: dict[str, ConnectionRecord] = {}
        self.is_complete = False
        self.leases: dict[InstanceId, InstanceLease] = {}
        self.reaped: list[InstanceId] = []
        self.back: set[InstanceId] = set()  # those that have a lease again when they are to be reaped
        self.names: list[str] = []
        self.place, self.server = "redis-1", ""

    def lease(
        self, name: str, epoch: str | None, state: str = "healthy", *, ended: str | None = None, removed: str | None = None
    ) -> None:
        """The entry of an instance in Redis; `ended`, `removed`: the epochs that Kubernetes reported so."""
        ended_epoch, removed_epoch = (None if each is None else Epoch(each) for each in (ended, removed))
        own = None if epoch is None else Epoch(epoch)
        self.leases[InstanceId(name)] = InstanceLease(InstanceId(name), own, True, state, 0, ended_epoch, removed_epoch)

    async def acquire(self, epoch: Epoch, state: str) -> None:
        await self._enter("acquire")
        self.server = self.place
        self.acquired.append(epoch)
        self.registered.clear()
        self.is_complete = False

    def rename(self, instance_id: InstanceId) -> None:
        self.names.append(instance_id)

    async def renew(self, state: str, connections: int) -> None:
        await self._enter("renew")
        self.server = self.place

    async def release(self) -> None:
        await self._enter("release")

    async def register(self, records: Sequence[ConnectionRecord]) -> dict[UserId, int]:
        await self._enter("register")
        self.registered.update({record.connection_id: record for record in records})
        users = [record.user_id for record in self.registered.values()]
        return {record.user_id: users.count(record.user_id) for record in records}

    async def unregister(self, connections: Sequence[tuple[UserId, ConnectionId]]) -> None:
        await self._enter("unregister")
        for _, connection_id in connections:
            self.registered.pop(connection_id, None)

    async def set_registered(self) -> None:
        await self._enter("set_registered")
        self.is_complete = True

    async def refresh(self, user_ids: Sequence[UserId]) -> None:
        await self._enter("refresh")

    async def connections_of(self, user_id: UserId) -> list[ConnectionRecord]:
        return [record for record in self.registered.values() if record.user_id == user_id]

    async def connected(self, user_ids: Sequence[UserId]) -> set[UserId]:
        await self._enter("connected")
        return {record.user_id for record in self.registered.values()} & set(user_ids)

    async def instances(self) -> list[InstanceLease]:
        await self._enter("instances")
        return list(self.leases.values())

    async def reap(self, instance_id: InstanceId) -> list[UserId] | None:
        await self._enter("reap")
        self.reaped.append(instance_id)
        if instance_id in self.back:
            return None
        self.leases.pop(instance_id, None)
        return []
