"""Records of offline notifications: what they rest on is fresh when they are written, or nothing is."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from holdfast.domain.conversations import Conversation
from holdfast.domain.ids import ConversationId, UserId
from holdfast.domain.messages import Message
from holdfast.domain.notifications import Notification
from holdfast.domain.presence import Presence
from holdfast.node.cluster.store_clock import StoreClock
from holdfast.node.connections.hub import Hub
from holdfast.node.conversations.cache import Conversations
from holdfast.node.notifications import decision
from holdfast.node.notifications.decision import MAX_RECORDS, RESTED_SECONDS, TRIES_AT_ONCE, Notifications
from holdfast.node.notifications.pushing import Pushing
from holdfast.node.sending.append import Commit
from holdfast.node.tasks import Tasks
from holdfast.ports import MessageStore
from holdfast.telemetry import Telemetry
from support.eventually import eventually
from support.fake_cluster import FakeBus, FakeRegistry
from support.fakes import ManualClock, connection, conversation
from support.notifications_scene import notifications_over
from support.own_marks import own_marks_of


class Scene:
    """A store that takes `seconds` for each write."""

    def __init__(self, seconds: float) -> None:
        self.clock, self.written = ManualClock(), list[str]()

        async def create_notifications(records: Sequence[Notification]) -> list[str]:
            await asyncio.sleep(0)
            self.clock.now += seconds
            self.written += [record.notification_id for record in records]
            return [record.notification_id for record in records]

        store = SimpleNamespace(create_notifications=create_notifications)
        self.notifications = notifications_over(store, self.clock, grace_seconds=3.0)


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
    """Its data is from before the thaw."""
    scene = Scene(0)
    assert not await scene.notifications.create(_records(1), scene.clock.now - RESTED_SECONDS)
    assert scene.written == []


class Counted(Tasks):
    """Background tasks. `started`: how many there were."""

    def __init__(self) -> None:
        super().__init__()
        self.started = 0

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """See `Tasks.start`."""
        self.started += 1
        return super().start(work)


class Members:
    """Conversation `c` of ann, ben and new; none of them is connected.

    Attributes:
        presence: of all of them, as the store has it.
        seconds: how long the store takes for each call.
        asked: whose presence was read.
        written: ids of the records.
        heard: the conversation, where each of its changes is heard.
    """

    def __init__(self, **joined: int) -> None:
        self.presence = Presence(UserId(""), online=False, on=(), last_seen_at_ms=None)
        self.seconds = 0.0
        self.asked: list[UserId] = []
        self.written: list[str] = []
        self.clock, telemetry = ManualClock(), Telemetry("test")
        self.bus = FakeBus()
        self.own_marks = own_marks_of(self.bus)
        self.store_clock = StoreClock(self.clock)
        self.talk = conversation("c", "ann", "ben", "new", joined=joined)
        self.heard: Conversation | None = None
        self.hub, self.tasks = Hub(telemetry), Counted()

        async def as_of(_: ConversationId, since: float) -> object:
            return self.talk

        async def read_presence(user_ids: Sequence[UserId]) -> dict[UserId, Presence]:
            await asyncio.sleep(0)
            self.asked += user_ids
            self.clock.now += self.seconds
            return dict.fromkeys(user_ids, self.presence)

        async def create_notifications(records: Sequence[Notification]) -> list[str]:
            self.written.extend(record.notification_id for record in records)
            self.clock.now += self.seconds
            return self.written

        self.notifications = Notifications(
            cast("MessageStore", SimpleNamespace(read_presence=read_presence, create_notifications=create_notifications)),
            self.own_marks,
            FakeRegistry(),
            self.hub,
            cast("Conversations", SimpleNamespace(as_of=as_of, cached_as_of=lambda _, since: self.heard)),
            self.clock,
            self.store_clock,
            telemetry,
            self.tasks,
            cast("Pushing", SimpleNamespace(look_soon=lambda: None)),
            grace_seconds=3.0,
        )

    def commit(self, *seqs: int, accepted_at: float) -> None:
        """Of ann's."""
        own = [Message(ConversationId("c"), seq, UserId("ann"), f"k{seq}", "text", None, 1) for seq in seqs]
        self.notifications.note(Commit(ConversationId("c"), own, accepted_at, None, own))


async def test_user_who_was_shown_a_message_and_left_before_it_was_decided_is_not_notified() -> None:
    """A store that was away for longer than a grace: the decision comes when the user is offline. Absent users are notified."""
    for left_after, is_notified in ((10.0, False), (-1.0, True)):
        scene = Members()
        scene.store_clock.note(1_000_000, scene.clock.now)
        scene.presence = replace(scene.presence, last_seen_at_ms=1_000_000 + int(left_after * 1000))
        scene.commit(1, accepted_at=scene.clock.now)
        scene.clock.now += 30.0
        await passed()
        assert bool(scene.written) == is_notified


async def test_user_who_came_and_left_since_the_last_message_is_not_notified() -> None:
    """Redis does not tell of a visit that is over, nor of one that began at another server: within the grace the store does."""
    scene = Members()
    scene.commit(1, accepted_at=scene.clock.now)
    await passed()
    assert sorted(scene.written) == ["c:000000000001:ben", "c:000000000001:new"]
    scene.presence = replace(scene.presence, online=True)
    scene.commit(2, accepted_at=scene.clock.now)
    await passed()
    assert len(scene.written) == 2


async def test_presence_is_read_of_those_alone_who_may_get_a_record() -> None:
    """Not of the sender, nor of members of a large conversation who have a record of it that they have not read."""
    scene = Members()
    scene.talk = conversation("c", "ann", *(f"u{number}" for number in range(150)))
    scene.commit(1, accepted_at=scene.clock.now)
    await passed()
    assert (len(scene.asked), len(scene.written)) == (150, 150)
    scene.commit(2, accepted_at=scene.clock.now)
    await passed()
    assert len(scene.asked) == 150


async def test_large_conversation_is_worked_off_over_a_slow_store() -> None:
    """Each group of users rests on an answer of its own: all of them together would take longer than an answer is believed."""
    scene = Members()
    scene.talk = conversation("c", "ann", *(f"u{number}" for number in range(5 * MAX_RECORDS)))
    scene.seconds = 0.5 * RESTED_SECONDS
    scene.commit(1, accepted_at=scene.clock.now)
    await eventually(lambda: not scene.notifications._workers)
    assert len(scene.asked) == len(scene.written) == 5 * MAX_RECORDS


async def test_records_that_are_written_are_not_written_again_when_others_have_to_wait() -> None:
    """The instance stood still in the middle: what is left is decided anew, and nothing is asked twice for what is there."""
    scene = Members()
    scene.talk = conversation("c", "ann", *(f"u{number}" for number in range(90)))
    scene.seconds = 0.3 * RESTED_SECONDS
    scene.commit(*range(1, 10), accepted_at=scene.clock.now)  # 810 records: five writes
    await eventually(lambda: not scene.notifications._workers)
    assert len(scene.written) == len(set(scene.written)) == 810


async def test_decision_pauses_while_the_answers_of_the_store_are_too_old_when_they_come() -> None:
    """A store that needs longer for an answer than it is believed was read again and again without a pause."""
    scene = Members()
    scene.seconds = RESTED_SECONDS
    scene.commit(1, accepted_at=scene.clock.now)
    await passed()
    assert (len(scene.asked), scene.written) == (2 * TRIES_AT_ONCE, [])
    scene.seconds = 0.0
    await eventually(lambda: len(scene.written) == 2)


async def test_message_from_before_a_membership_makes_no_record() -> None:
    """The members are read after the commit, so a user who was added in between is among them."""
    scene = Members(new=5)
    scene.commit(5, 6, accepted_at=scene.clock.now)
    await eventually(lambda: len(scene.written) >= 3)
    assert sorted(scene.written) == ["c:000000000005:ben", "c:000000000006:ben", "c:000000000006:new"]


@pytest.mark.parametrize(
    ("answered_after_seconds", "left_before_seconds", "is_recorded"),
    [(2.0, 1.0, True), (2.0, -1.0, False), (0.1, 0.05, False)],
    ids=["left before it was handed on", "was shown it", "is found by the look through the absence"],
)
async def test_user_who_leaves_while_the_store_answers_slowly_is_notified(
    answered_after_seconds: float, left_before_seconds: float, *, is_recorded: bool
) -> None:
    """By the time of its commit the message was there before the user left, and within the grace when it was decided."""
    scene = Members()
    scene.store_clock.note(1_000_000, scene.clock.now)
    scene.presence = Presence(UserId(""), online=True, on=("one",), last_seen_at_ms=None)
    accepted_at = scene.clock.now
    scene.clock.now += answered_after_seconds
    left_at_ms = scene.store_clock.at(scene.clock.now - left_before_seconds)
    scene.commit(7, accepted_at=accepted_at)
    await passed()
    scene.presence = Presence(UserId(""), online=False, on=(), last_seen_at_ms=left_at_ms)
    scene.clock.now += 60.0
    scene.notifications.tick()
    await passed()
    assert sorted(scene.written) == (["c:000000000007:ben", "c:000000000007:new"] if is_recorded else [])


async def test_user_who_is_offline_late_is_notified_of_what_the_store_answered_slowly() -> None:
    """A store that is slow to commit is slow to say who is offline, too: it is asked again for a minute."""
    scene = Members()
    scene.store_clock.note(1_000_000, scene.clock.now)
    scene.presence = Presence(UserId(""), online=True, on=("one",), last_seen_at_ms=None)
    scene.clock.now += 2.0
    scene.commit(7, accepted_at=scene.clock.now - 2.0)
    left_at_ms = scene.store_clock.now() - 1_000
    for _ in range(4):
        scene.clock.now += 10.0
        scene.notifications.tick()
        await passed()
    scene.presence = Presence(UserId(""), online=False, on=(), last_seen_at_ms=left_at_ms)
    scene.clock.now += 10.0
    scene.notifications.tick()
    await passed()
    assert sorted(scene.written) == ["c:000000000007:ben", "c:000000000007:new"]


async def passed() -> None:
    """All waiting messages are decided."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_mark_of_a_commit_that_is_not_decided_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many wait: the instance finishes it later, like those of the dead."""
    monkeypatch.setattr(decision, "MAX_WAITING", 0)
    scene = Members()
    marking = await scene.own_marks.set_for_commit(ConversationId("c"), 7, 0.0)
    scene.notifications.note(Commit(ConversationId("c"), [], 0.0, marking))
    assert scene.own_marks.to_finish(0.0, 9) == list(marking.entries)


async def test_presence_that_two_decisions_ask_for_at_once_is_one_read() -> None:
    """A user who is away is in many conversations; each of them has its records all the same."""
    scene = Members()
    for c in ("c", "d"):
        own = [Message(ConversationId(c), 7, UserId("ann"), "k7", "text", None, 1)]
        scene.notifications.note(Commit(ConversationId(c), own, scene.clock.now, None, own))
    await passed()
    assert sorted(scene.asked) == ["ben", "new"]
    assert sorted(set(scene.written)) == [f"{c}:000000000007:{user}" for c in ("c", "d") for user in ("ben", "new")]


@pytest.mark.parametrize(
    ("connected", "is_heard", "started"),
    [(("ann", "ben", "new"), True, 0), (("ann", "ben"), True, 1), (("ann", "ben", "new"), False, 1)],
)
async def test_message_whose_recipients_are_all_connected_here_is_decided_without_a_task(
    connected: tuple[str, ...], is_heard: bool, started: int
) -> None:
    """The most frequent case: nothing is asked, and the mark goes with the next tick. Members who may have changed are read."""
    scene = Members()
    scene.heard = scene.talk if is_heard else None
    for user in connected:
        scene.hub.add(connection(user))
    marking = await scene.own_marks.set_for_commit(ConversationId("c"), 7, 0.0)
    own = [Message(ConversationId("c"), 7, UserId("ann"), "k7", "text", None, 1)]
    scene.notifications.note(Commit(ConversationId("c"), own, scene.clock.now, marking, own))
    scene.own_marks.flush()
    assert scene.tasks.started == started
    assert scene.bus.cleared == ([] if started else list(marking.entries))
    await passed()
    assert scene.written == ([] if "new" in connected else ["c:000000000007:new"])
