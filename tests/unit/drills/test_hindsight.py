"""What a whole history has to show: each figure on a small history that is good, and on one that is not."""

import math
from typing import Any

import pytest

from holdfast.drills import hindsight
from holdfast.drills.checker.run import Run
from holdfast.drills.history import Bounds, Event, Header, digest
from holdfast.drills.local.doomed import LAST_WORDS
from holdfast.drills.stage import Expectation

C, ANN, BEN = "c1", "ann", "ben"
FAULT = (10.0, 20.0)


def event(t: float, kind: str, **fields: Any) -> Event:
    return Event(event=kind, t=t, **fields)


def run(*events: Event) -> Run:
    """Ann and ben are connected and members all the time; one fault from 10 s to 20 s."""
    always = [
        *(event(0.0, "member", conversation=C, user=user, present=True) for user in (ANN, BEN)),
        *(event(0.1, "opened", device=f"{user}-1", user=user, connection=f"{user}-a") for user in (ANN, BEN)),
        *(event(0.2, "synced", device=f"{user}-1", user=user, connection=f"{user}-a") for user in (ANN, BEN)),
        event(FAULT[0], "fault", name="x", on=True),
        event(FAULT[1], "fault", name="x", on=False),
        event(100.0, "end"),
    ]
    header = Header(name="test", bounds=Bounds(grace_s=5.0))
    return Run(header, sorted([*always, *events], key=lambda each: each.t))


def said(t: float, seq: int, *, acked: float | None = 0.1, shown: float | None = 0.1, body: str = "") -> list[Event]:
    """Ann says something at `t`: so much later it is acknowledged, and shown to ben; None is never."""
    what = {"conversation": C, "key": f"k{seq}", "digest": digest(body or f"text {seq}")}
    events = [event(t, "send", device="ann-1", user=ANN, **what)]
    if acked is not None:
        events.append(event(t + acked, "ack", device="ann-1", user=ANN, conversation=C, key=f"k{seq}", seq=seq))
    if shown is not None:
        events.append(event(t + shown, "shown", device="ben-1", user=BEN, seq=seq, sender=ANN, **what))
        events.append(event(t + shown, "shown", device="ann-1", user=ANN, seq=seq, sender=ANN, **what))
    return events


@pytest.mark.parametrize(("acked", "is_met"), [(0.4, True), (1.6, False), (None, False)])
def test_sends_work_in_the_midst_of_a_fault(acked: float | None, is_met: bool) -> None:
    """Sends in calm do not count, and a send without an answer counts as endless."""
    seen = hindsight.acks_in_the_midst(run(*said(5, 1, acked=9.0), *said(12, 2, acked=acked)))
    assert seen.is_met == is_met


def test_nobody_spoke_in_the_midst_of_it() -> None:
    """Then nothing was shown."""
    assert not hindsight.acks_in_the_midst(run(*said(5, 1))).is_met


@pytest.mark.parametrize(("shown", "is_met"), [(0.5, True), (0.9, False)])
def test_others_are_compared_with_their_calm(shown: float, is_met: bool) -> None:
    """Half a second is what a fault of one may cost the others."""
    assert hindsight.others_are_not_slowed(run(*said(5, 1), *said(12, 2, shown=shown), *said(40, 3))).is_met == is_met


@pytest.mark.parametrize(("shown", "is_met"), [(1.8, True), (2.5, False), (None, False)])
def test_last_words_have_two_seconds(shown: float | None, is_met: bool) -> None:
    """Measured on every device that stayed connected; one that never hears them is the worst."""
    assert hindsight.last_words_are_heard(run(*said(15, 1, acked=None, shown=shown, body=LAST_WORDS))).is_met == is_met


def test_last_words_that_were_never_said_show_nothing() -> None:
    """A drill that did not come to its point has not passed."""
    assert math.isinf(hindsight.last_words_are_heard(run(*said(15, 1))).measured)


def test_reconnects_in_the_same_instant_are_a_storm() -> None:
    """Each tenth of a second gets its share."""
    apart = [event(20 + n / 5, "opened", device="ben-1", user=BEN, connection=f"b{n}") for n in range(10)]
    together = [event(20 + n / 1000, "opened", device="ben-1", user=BEN, connection=f"b{n}") for n in range(10)]
    assert hindsight.reconnects_are_jittered(run(*apart)).is_met
    assert not hindsight.reconnects_are_jittered(run(*together)).is_met
    assert not hindsight.reconnects_are_jittered(run()).is_met, "no client came back"


@pytest.mark.parametrize(("back_at", "count"), [(23.0, 1), (29.0, 0)])
def test_who_is_back_in_time_is_not_notified(back_at: float, count: int) -> None:
    """Ben is away from 20 s on, and what is said at 21 s makes a record; inside the grace of 5 s it must not."""
    seen = hindsight.nobody_is_notified_inside_the_grace(
        run(
            event(20.0, "closed", device="ben-1", user=BEN, connection="ben-a", code=1006, clean=False),
            event(back_at, "opened", device="ben-1", user=BEN, connection="ben-b"),
            event(back_at, "synced", device="ben-1", user=BEN, connection="ben-b"),
            *said(21, 1, shown=None),
            event(100.0, "stored_notification", conversation=C, seq=1, user=BEN),
        )
    )
    assert (seen.measured, seen.is_met) == (count, count == 0)


def test_who_left_before_the_replay_was_over_was_not_back() -> None:
    """Ben's connection of 23 s ended before it had shown what he missed: his absence lasts until 29 s."""
    look = [event(23.0, "opened", device="ben-1", user=BEN, connection="ben-b")]
    look.append(event(23.1, "closed", device="ben-1", user=BEN, connection="ben-b", code=1000, clean=True))
    seen = hindsight.nobody_is_notified_inside_the_grace(
        run(
            event(20.0, "closed", device="ben-1", user=BEN, connection="ben-a", code=1006, clean=False),
            *look,
            event(29.0, "opened", device="ben-1", user=BEN, connection="ben-c"),
            event(29.1, "synced", device="ben-1", user=BEN, connection="ben-c"),
            *said(21, 1, shown=None),
            event(100.0, "stored_notification", conversation=C, seq=1, user=BEN),
        )
    )
    assert seen.measured == 0


def test_refused_sends_are_counted() -> None:
    """People who keep to the limits are let through."""
    refused = event(5.1, "refused", device="ann-1", user=ANN, conversation=C, key="k1", code="rate_limited")
    assert hindsight.nobody_is_refused(run(*said(5, 1))).is_met
    assert hindsight.nobody_is_refused(run(*said(5, 1, acked=None, shown=None), refused)).measured == 1


def test_an_expectation_says_what_was_measured_and_what_may_be() -> None:
    """Also when it never came to that: a number would look like a measurement."""
    assert Expectation("reaped", 20.0, 3.25).told == "reaped: 3.25 s (at most 20 s)"
    assert Expectation("exit status", 0, 1, "").told == "exit status: 1 (at most 0)"
    assert Expectation("reaped", 20.0, math.inf).told == "reaped: never (at most 20 s)"
