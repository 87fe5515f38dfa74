"""Records of offline notifications: what they rest on is fresh when they are written, or nothing is."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

from holdfast.domain.ids import ConversationId, UserId
from holdfast.domain.messages import Message
from holdfast.domain.notifications import Notification
from holdfast.domain.presence import Presence
from holdfast.node.append import Commit
from holdfast.node.conversations import Conversations
from holdfast.node.hub import Hub
from holdfast.node.notifications import MAX_RECORDS, RESTED_SECONDS, Notifications
from holdfast.node.store_clock import StoreClock
from holdfast.node.tasks import Tasks
from holdfast.ports import MessageStore
from holdfast.telemetry import Telemetry
from support.eventually import eventually
from support.fake_cluster import FakeBus, FakeRegistry
from support.fakes import ManualClock, conversation


class Scene:
    """A store that takes `seconds` for each write."""

    def __init__(self, seconds: float) -> None:
        self.clock, self.written, telemetry = ManualClock(), list[str](), Telemetry("test")

        async def create_notifications(records: Sequence[Notification]) -> list[str]:
            await asyncio.sleep(0)
            self.clock.now += seconds
            self.written += [record.notification_id for record in records]
            return [record.notification_id for record in records]

        self.notifications = Notifications(
            cast("MessageStore", SimpleNamespace(create_notifications=create_notifications)),
            FakeBus(),
            FakeRegistry(),
            Hub(telemetry),
            cast("Conversations", None),
            self.clock,
            StoreClock(self.clock),
            telemetry,
            Tasks(),
            on_created=lambda: None,
        )


def _records(count: int) -> list[Notification]:
    return [
        Notification(f"c:{number}:u", UserId("u"), ConversationId("c"), number, UserId("s"), "", 1)
        for number in range(1, count + 1)
    ]


async def test_records_are_written_in_groups() -> None:
    """A large conversation has a thousand."""
    scene = Scene(0.1)
    assert await scene.notifications.create(_records(3 * MAX_RECORDS), scene.clock.now)
    assert len(scene.written) == 3 * MAX_RECORDS


async def test_an_instance_that_stood_still_between_two_groups_decides_again() -> None:
    """Whom the second group would notify may have come, read and left meanwhile."""
    scene = Scene(RESTED_SECONDS)
    assert not await scene.notifications.create(_records(2 * MAX_RECORDS), scene.clock.now)
    assert len(scene.written) == MAX_RECORDS


async def test_an_instance_that_stood_still_before_writes_nothing() -> None:
    """What it knows is of before the thaw."""
    scene = Scene(0)
    assert not await scene.notifications.create(_records(1), scene.clock.now - RESTED_SECONDS)
    assert scene.written == []


async def test_message_from_before_a_membership_makes_no_record() -> None:
    """The members are read after the commit, so a user who was added in between is among them."""
    talk = conversation("c", "ann", "ben", "new", joined={"new": 5})
    written: list[str] = []

    async def as_of(_: ConversationId, since: float) -> object:
        return talk

    async def read_presence(user_ids: Sequence[UserId]) -> dict[UserId, Presence]:
        return {user_id: Presence(user_id, online=False, on=(), last_seen_at_ms=None) for user_id in user_ids}

    async def create_notifications(records: Sequence[Notification]) -> list[str]:
        written.extend(record.notification_id for record in records)
        return written

    telemetry, clock = Telemetry("test"), ManualClock()
    notifications = Notifications(
        cast("MessageStore", SimpleNamespace(read_presence=read_presence, create_notifications=create_notifications)),
        FakeBus(),
        FakeRegistry(),
        Hub(telemetry),
        cast("Conversations", SimpleNamespace(as_of=as_of)),
        clock,
        StoreClock(clock),
        telemetry,
        Tasks(),
        on_created=lambda: None,
    )
    own = [Message(ConversationId("c"), seq, UserId("ann"), f"k{seq}", "text", None, 1) for seq in (5, 6)]
    notifications.note(Commit(ConversationId("c"), own, 0.0, None, own))
    await eventually(lambda: len(written) >= 3, within=2.0)
    assert sorted(written) == ["c:000000000005:ben", "c:000000000006:ben", "c:000000000006:new"]
