"""A record is pushed until it is taken, given up after a bound, and never waits for one slow receiver alone."""

import asyncio
from collections.abc import Sequence

import pytest

from holdfast.domain.ids import ConversationId, UserId
from holdfast.domain.notifications import Notification, PushOutcome
from holdfast.errors import PushFailed, StoreUnavailable
from holdfast.loops import Loops
from holdfast.node.notifications.pushing import MAX_ATTEMPTS, Pushing, back_off
from holdfast.node.tasks import Tasks
from holdfast.telemetry import Telemetry
from support.supervised import supervised
from support.virtual_time import LoopClock, in_virtual_time, passed


class Records:
    """The part of a store that is used: records that are due at a time."""

    def __init__(self, count: int) -> None:
        self.due = {f"n{number}": 0.0 for number in range(count)}
        self.attempts = dict.fromkeys(self.due, 0)
        self.states: dict[str, str] = {}
        self.marked: list[int] = []
        self.lost_marks = 0  # so many of the next ones
        self.lost_by: Exception = StoreUnavailable("away")
        self.is_away = False

    async def claim_notifications(self, limit: int, hold_seconds: float) -> list[Notification]:
        if self.is_away:
            raise StoreUnavailable("away")
        now = asyncio.get_running_loop().time()
        claimed = [name for name, at in self.due.items() if at <= now][:limit]
        for name in claimed:
            self.due[name] = now + hold_seconds
            self.attempts[name] += 1
        return [
            Notification(name, UserId("bob"), ConversationId("c"), 1, UserId("ann"), "", 0, self.attempts[name])
            for name in claimed
        ]

    async def mark_notifications(self, outcomes: Sequence[PushOutcome]) -> None:
        if self.lost_marks:
            self.lost_marks -= 1
            raise self.lost_by
        self.marked.append(len(outcomes))
        for each in outcomes:
            self.states[each.notification_id] = each.state
            if each.state == "pending":
                self.due[each.notification_id] = asyncio.get_running_loop().time() + each.retry_in_seconds
            else:
                del self.due[each.notification_id]


class Receiver:
    """Takes notifications, or fails as told."""

    def __init__(self, *failures: PushFailed | None) -> None:
        self.failures = list(failures)
        self.pushed: list[str] = []
        self.at_once = self.most_at_once = 0

    async def push(self, notification: Notification) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await passed(0.1)
        self.at_once -= 1
        self.pushed.append(notification.notification_id)
        if self.failures and (failure := self.failures.pop(0)) is not None:
            raise failure

    async def close(self) -> None:
        return


async def run(records: Records, receiver: Receiver, seconds: float) -> None:
    """Let it push for a while."""
    pushing = supervised(Pushing(records, receiver, LoopClock(), Tasks(), Telemetry("test")).loop)  # type: ignore[arg-type]  # the part it uses
    await passed(seconds)
    pushing.cancel()


@in_virtual_time
async def test_everything_due_is_pushed_eight_at_once() -> None:
    records, receiver = Records(30), Receiver()
    await run(records, receiver, 10)
    assert sorted(receiver.pushed) == sorted(f"n{number}" for number in range(30))
    assert receiver.most_at_once == 8
    assert set(records.states.values()) == {"sent"}
    assert records.marked == [8, 8, 8, 6], "those that were pushed together are one write"


@in_virtual_time
async def test_outcomes_that_the_store_did_not_take_are_told_again() -> None:
    """Else all that were pushed together would be pushed once more when their claims are over."""
    records, receiver = Records(8), Receiver()
    records.lost_marks = 3
    await run(records, receiver, 100)
    assert sorted(receiver.pushed) == sorted(records.states)
    assert records.marked == [8]


@in_virtual_time
async def test_mistake_while_outcomes_are_told_is_counted_as_one_of_pushing() -> None:
    """The outcomes are told again, so nothing else would show it."""
    records, receiver, telemetry = Records(8), Receiver(), Telemetry("test")
    records.lost_marks, records.lost_by = 1, ValueError("a mistake")
    tasks = Tasks(Loops(asyncio.get_running_loop().time, telemetry).note_failure)
    pushing = supervised(Pushing(records, receiver, LoopClock(), tasks, telemetry).loop)  # type: ignore[arg-type]  # the part it uses
    await passed(100)
    pushing.cancel()
    assert records.marked == [8]
    assert telemetry.registry.get_sample_value("holdfast_loop_failures_total", {"loop": "pushing"}) == 1


@in_virtual_time
async def test_who_refuses_for_now_is_asked_again_later() -> None:
    records, receiver = Records(1), Receiver(PushFailed("busy", is_final=False), PushFailed("busy", is_final=False))
    await run(records, receiver, 30)
    assert receiver.pushed == ["n0"] * 3
    assert records.states == {"n0": "sent"}


@in_virtual_time
async def test_who_refuses_for_good_is_not_asked_again() -> None:
    records, receiver = Records(1), Receiver(PushFailed("gone", is_final=True))
    await run(records, receiver, 60)
    assert receiver.pushed == ["n0"]
    assert records.states == {"n0": "dead"}


@in_virtual_time
async def test_nobody_is_asked_for_ever() -> None:
    records, receiver = Records(1), Receiver(*[PushFailed("busy", is_final=False)] * 100)
    await run(records, receiver, 24 * 3600)
    assert len(receiver.pushed) == MAX_ATTEMPTS
    assert records.states == {"n0": "dead"}


@in_virtual_time
async def test_a_store_that_is_away_is_asked_again() -> None:
    records, receiver = Records(1), Receiver()
    records.is_away = True
    running = asyncio.create_task(run(records, receiver, 60))
    await passed(20)
    records.is_away = False
    await running
    assert records.states == {"n0": "sent"}


def test_pauses_double_up_to_ten_minutes() -> None:
    pauses = [back_off(attempts) for attempts in range(1, 20)]
    assert 0.75 <= pauses[0] <= 1.25
    assert all(0.6 * 2**n <= pause <= 1.3 * 2**n for n, pause in enumerate(pauses[:9]))
    assert max(pauses) <= 750


@in_virtual_time
async def test_records_that_come_one_by_one_share_a_look() -> None:
    """Each look is a query: thirty messages a second to a user who is away must not be thirty queries a second."""
    records, receiver = Records(0), Receiver()
    looks = 0
    claim = records.claim_notifications

    async def counted(limit: int, hold_seconds: float) -> list[Notification]:
        nonlocal looks
        looks += 1
        return await claim(limit, hold_seconds)

    records.claim_notifications = counted  # type: ignore[method-assign]  # it counts its calls
    pushing = Pushing(records, receiver, LoopClock(), Tasks(), Telemetry("test"))  # type: ignore[arg-type]  # the part it uses
    running = supervised(pushing.loop)
    for number in range(100):
        records.due[f"n{number}"], records.attempts[f"n{number}"] = 0.0, 0
        pushing.look_soon()
        await passed(0.1)
    await passed(5)
    running.cancel()
    assert sorted(receiver.pushed) == sorted(f"n{number}" for number in range(100))
    assert looks <= 25


@in_virtual_time
async def test_age_of_the_oldest_that_is_due_is_shown() -> None:
    """It grows while more is recorded than can be pushed."""
    records, receiver, clock, telemetry = Records(1), Receiver(), LoopClock(), Telemetry("test")
    pushing = Pushing(records, receiver, clock, Tasks(), telemetry)  # type: ignore[arg-type]  # the part it uses
    running = supervised(pushing.loop)
    pushing.look_soon()
    await passed(0.5)
    value = telemetry.registry.get_sample_value
    assert value("holdfast_notifications_oldest_due_seconds") == pytest.approx(clock.now_ms() / 1000, abs=1), "made at 0"
    await passed(60)
    assert value("holdfast_notifications_oldest_due_seconds") == 0
    running.cancel()
