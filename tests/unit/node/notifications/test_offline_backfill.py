"""The offline backfill records what a user missed, while what it read of the user is fresh."""

import asyncio
import contextlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest

from holdfast.domain.conversations import Membership
from holdfast.domain.ids import ConversationId, UserId
from holdfast.domain.messages import Committed, Message
from holdfast.domain.notifications import CatchUp, Notification
from holdfast.domain.presence import Presence
from holdfast.errors import StoreUnavailable
from holdfast.node.notifications import offline_backfill
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
    scene.backfill.look_soon([BEN])
    await scene.backfill.look()
    assert bool(scene.written) is is_fresh
    assert bool(scene.flags) is not is_fresh
    scene.seconds = 0.0
    await scene.backfill.look()
    assert (scene.written, scene.flags) == (["c:000000000001:ben"], [])


class Fleet:
    """A store with the flags of so many users, whom an instance took offline that has died. Nothing was sent to them.

    Attributes:
        flags: those that are set, in the order in which the store answers.
        looked: the users who were looked through, each time.
        read: how many flags each answer held.
    """

    def __init__(self, users: int) -> None:
        self.clock = ManualClock()
        self.flags = [CatchUp(UserId(f"user-{number:05}"), GONE_MS) for number in range(users)]
        self.looked: list[UserId] = []
        self.read: list[int] = []
        self.refused: set[UserId] = set()

    def backfill(self) -> OfflineBackfill:
        """Of one instance."""
        store = cast(
            "BackfillStore",
            SimpleNamespace(
                catch_ups=self._catch_ups,
                read_presence=self._read_presence,
                memberships_of=self._memberships_of,
                finish_catch_up=self._finish_catch_up,
            ),
        )
        notifications = notifications_over(store, self.clock, grace_seconds=15.0)
        return OfflineBackfill(store, notifications, FakeRegistry(), self.clock, grace_seconds=15.0)

    async def _catch_ups(self, limit: int) -> list[CatchUp]:
        self.read.append(len(self.flags[:limit]))
        return self.flags[:limit]

    async def _read_presence(self, user_ids: Sequence[UserId]) -> dict[UserId, Presence]:
        await asyncio.sleep(0)  # the instances look at the same time
        return {each: Presence(each, online=False, on=(), last_seen_at_ms=GONE_MS) for each in user_ids}

    async def _memberships_of(self, user_id: UserId) -> list[Membership]:
        self.looked.append(user_id)
        if user_id in self.refused:
            raise StoreUnavailable("away")
        return []

    async def _finish_catch_up(self, flag: CatchUp) -> None:
        self.flags = [each for each in self.flags if each != flag]


async def test_flags_that_a_dead_instance_left_are_shared_out() -> None:
    """In one order, all instances would read the conversations of the same users, and be no faster than one."""
    fleet = Fleet(200)
    instances = [fleet.backfill(), fleet.backfill()]
    await asyncio.gather(*(each.look() for each in instances))
    assert fleet.looked == []
    fleet.clock.now += 5.0
    pauses = await asyncio.gather(*(each.look() for each in instances))
    assert pauses == [0.1, 0.1], "others are left"
    assert len(fleet.looked) == 2 * offline_backfill._OTHERS
    assert len(set(fleet.looked)) > offline_backfill._OTHERS, "not the same users"


async def test_flags_that_wait_make_no_instance_look_again_and_again() -> None:
    """Each look reads all of them: a full page is read once more when the first of them are to be taken."""
    fleet = Fleet(300)
    backfill = fleet.backfill()
    assert await backfill.look() == 5.0
    assert fleet.looked == []


async def test_all_flags_that_a_dead_instance_left_are_looked_through_once() -> None:
    """By one instance that is left alone: what it reads of flags stays in proportion to the flags that it takes."""
    fleet = Fleet(2_000)
    backfill = fleet.backfill()
    while fleet.flags:
        fleet.clock.now += await backfill.look()
    assert sorted(set(fleet.looked)) == sorted(fleet.looked)
    assert len(fleet.looked) == 2_000
    assert sum(fleet.read) < 20 * 2_000


async def test_own_user_behind_a_full_page_of_flags_that_wait_is_found_soon() -> None:
    """The store may answer with the flags of others first."""
    fleet = Fleet(300)
    backfill = fleet.backfill()
    last = fleet.flags[-1].user_id
    backfill.look_soon([last])
    assert await backfill.look() == 1.0
    await backfill.look()
    assert fleet.looked == [last]


async def test_flags_that_cannot_be_looked_through_hide_no_others() -> None:
    """The store's answer begins with them, again and again."""
    fleet = Fleet(300)
    fleet.refused = {flag.user_id for flag in fleet.flags[:250]}
    backfill = fleet.backfill()
    for _ in range(100):
        with contextlib.suppress(StoreUnavailable):
            await backfill.look()
        fleet.clock.now += 1.0
    assert {flag.user_id for flag in fleet.flags} == fleet.refused
