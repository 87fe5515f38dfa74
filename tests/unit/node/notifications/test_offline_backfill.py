"""The offline backfill records what a user missed, while what it read of the user is fresh."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest

from holdfast.domain.conversations import Membership
from holdfast.domain.ids import ConversationId, UserId
from holdfast.domain.messages import Committed, Message
from holdfast.domain.notifications import CatchUp, Notification
from holdfast.domain.presence import Presence
from holdfast.node.notifications.decision import RESTED_SECONDS
from holdfast.node.notifications.offline_backfill import BackfillStore, OfflineBackfill
from support.fake_cluster import FakeRegistry
from support.fakes import ManualClock
from support.notifications_scene import notifications_over

C, BEN, GONE_MS = ConversationId("c"), UserId("ben"), 1_000_000


class Scene:
    """Ben is away, and ann has sent one message since. The store takes `seconds` to say that ben is away."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.clock = ManualClock()
        self.flags = [CatchUp(BEN, GONE_MS)]
        self.written: list[str] = []
        calls = ("catch_ups", "finish_catch_up", "memberships_of", "active_since", "messages_since")
        store = cast(
            "BackfillStore",
            SimpleNamespace(
                read_presence=self._read_presence,
                create_notifications=self._create_notifications,
                **{name: getattr(self, f"_{name}") for name in calls},
            ),
        )
        notifications = notifications_over(store, self.clock, grace_seconds=20.0)
        self.backfill = OfflineBackfill(store, notifications, FakeRegistry(), self.clock, grace_seconds=20.0)

    async def _catch_ups(self, limit: int) -> list[CatchUp]:
        return list(self.flags)

    async def _finish_catch_up(self, flag: CatchUp) -> None:
        self.flags.remove(flag)

    async def _memberships_of(self, user_id: UserId) -> list[Membership]:
        return [Membership(C, 1, 1, 1, GONE_MS, 2)]

    async def _active_since(self, since_ms: int, known: dict[ConversationId, int]) -> dict[ConversationId, int]:
        return dict(known)

    async def _messages_since(
        self, conversation_id: ConversationId, since_ms: int, limit: int, before_seq: int
    ) -> list[Committed]:
        return [Committed(Message(C, 1, UserId("ann"), "k1", "text", None, GONE_MS + 1), GONE_MS + 1)]

    async def _read_presence(self, user_ids: Sequence[UserId]) -> dict[UserId, Presence]:
        self.clock.now += self.seconds
        return dict.fromkeys(user_ids, Presence(BEN, online=False, on=(), last_seen_at_ms=GONE_MS))

    async def _create_notifications(self, records: Sequence[Notification]) -> list[str]:
        self.written += [record.notification_id for record in records]
        return self.written


@pytest.mark.parametrize(
    ("seconds", "is_fresh"), [(0.5 * RESTED_SECONDS, True), (RESTED_SECONDS, False)], ids=["in time", "too late"]
)
async def test_answer_of_the_store_counts_from_when_it_was_asked(seconds: float, is_fresh: bool) -> None:
    """The user may have come back while the answer was under way. The flag stays, so the backfill looks again."""
    scene = Scene(seconds)
    await scene.backfill.look()
    assert bool(scene.written) is is_fresh
    assert bool(scene.flags) is not is_fresh
    scene.seconds = 0.0
    await scene.backfill.look()
    assert (scene.written, scene.flags) == (["c:000000000001:ben"], [])
