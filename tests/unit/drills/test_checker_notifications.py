"""The checker judges notifications for every message and user: a missing, false or doubled one is found, margins are counted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast.drills.history import LATEST_HEARD, digest
from support.histories import Line, change, drop, more, only, verdict_of

C, LARGE, ANN, BEN, CYD, DAN, EVE, FAY = "c1", "large", "ann", "ben", "cyd", "dan", "eve", "fay"
END, LAST = 200.0, 100
SILENT = [f"silent-{number}" for number in range(1, 101)]
LARGE_AT = {1: 10.5, 2: 45.5, 3: 70.5}
LINES = {  # device -> its connections: asked for, replayed, closed, and whether there was a word
    "ann-1": [(0.1, 0.2, None, True)],
    "ben-1": [(0.1, 0.2, 20.0, True), (60.0, 60.2, None, True)],
    "cyd-1": [(0.1, 0.2, 30.0, True), (90.0, 90.2, None, True)],
    "cyd-2": [(25.0, 25.2, 50.0, True)],
    "dan-1": [(0.1, 0.2, 40.0, True), (51.0, 51.2, None, True)],
    "eve-1": [(0.1, 0.2, 70.0, False)],
}
DUE = {  # the grace period is 15 s, a notification is decided 5 s later
    BEN: range(21, 55),
    CYD: range(51, 85),
    EVE: range(71, LAST + 1),
    FAY: range(51, LAST + 1),
}


def good() -> list[Line]:
    """Ann writes once a second and three times in a large conversation, in which 100 members never connect.

    Ben is away from 20 s to 60 s and reads then. Cyd has a second device from 25 s on; the first leaves at 30 s, the second at
    50 s, and the first comes back at 90 s. Dan is away for 11 s, less than the grace period. Eve's connection ends at 70 s
    without a word. Fay is added at 50 s and never connects.
    """
    lines: list[Line] = []

    def add(t: float, event: str, **fields: Any) -> None:
        lines.append({"event": event, "t": t, **fields})

    def send(conversation: str, seq: int, t: float) -> None:
        what = {"conversation": conversation, "key": f"{conversation}-{seq}", "digest": digest(f"{seq}")}
        add(t, "send", device="ann-1", user=ANN, **what)
        add(t + 0.05, "ack", device="ann-1", user=ANN, conversation=conversation, key=what["key"], seq=seq)
        for device, connections in LINES.items():
            user = device.partition("-")[0]
            if conversation == LARGE and user == EVE:
                continue
            shown_at = next((max(t + 0.06, synced + 0.01) for _, synced, closed, _ in connections if t < (closed or END)), None)
            if shown_at is not None and not (device == "cyd-2" and t < 25.2):
                for event in ("received", "shown"):
                    add(shown_at, event, device=device, user=user, seq=seq, sender=ANN, **what)
        add(END, "stored", seq=seq, sender=ANN, **what)

    for user in (ANN, BEN, CYD, DAN, EVE):
        add(0.0, "member", conversation=C, user=user, present=True)
        add(0.0, "start", device=f"{user}-1", user=user, conversation=C, seq=0)
    for user in (ANN, BEN, CYD, DAN, *SILENT):
        add(0.0, "member", conversation=LARGE, user=user, present=True)
    add(50.0, "asking", conversation=C, user=FAY, present=True)
    add(50.2, "member", conversation=C, user=FAY, present=True)
    for device, connections in LINES.items():
        user = device.partition("-")[0]
        for asked, synced, closed, clean in connections:
            connection = f"{device}-{asked}"
            add(asked, "opening", device=device, user=user)
            add(synced - 0.05, "opened", device=device, user=user, connection=connection, resumed=device != "cyd-2")
            add(synced, "synced", device=device, user=user, connection=connection)
            if closed is not None:
                code = 1000 if clean else 1006
                add(closed, "closed", device=device, user=user, connection=connection, code=code, clean=clean)
    for seq in range(1, LAST + 1):
        send(C, seq, float(seq))
    for seq, t in LARGE_AT.items():
        send(LARGE, seq, t)
    for user, seqs in DUE.items():
        for seq in seqs:
            add(END, "stored_notification", conversation=C, seq=seq, user=user)
    for user in (CYD, *SILENT):
        add(END, "stored_notification", conversation=LARGE, seq=0, user=user)
    add(62.0, "read", device="ben-1", user=BEN, conversation=LARGE, seq=2)
    add(END, "stored_cursor", user=BEN, conversation=LARGE, seq=2)
    add(END, "reading")
    add(END, "end")
    return sorted(lines, key=lambda line: line["t"])


def notified(lines: list[Line], user: str, seq: int, conversation: str = C) -> list[Line]:
    """With one more record."""
    return more(lines, END, "stored_notification", conversation=conversation, seq=seq, user=user)


def unnotified(lines: list[Line], user: str, seq: int, conversation: str = C) -> list[Line]:
    """Without a record."""
    return drop(lines, "stored_notification", conversation=conversation, seq=seq, user=user)


MUTATIONS: dict[str, Callable[[list[Line]], list[Line]]] = {
    "no record of the first message of an absence": lambda x: unnotified(x, BEN, 21),
    "no record of a message at the end of the grace period": lambda x: unnotified(x, BEN, 35),
    "no record of the last message that was decided before the user came back": lambda x: unnotified(x, BEN, 54),
    "no record of what came after the second of two devices had left": lambda x: unnotified(x, CYD, 51),
    "no record for a user whose connection ended without a word": lambda x: unnotified(x, EVE, 71),
    "no record for a new member who never connected": lambda x: unnotified(x, FAY, 51),
    "no record in a large conversation since the user read": lambda x: unnotified(x, CYD, 0, LARGE),
    "no record in a large conversation for a user who never read": lambda x: unnotified(x, SILENT[50], 0, LARGE),
    "a record of what was shown before the user left": lambda x: notified(x, BEN, 18),
    "a record of what was shown on the second device alone": lambda x: notified(x, CYD, 40),
    "a record of what was shown on the second device right before it left": lambda x: notified(x, CYD, 48),
    "a record for a user who came back within the grace period": lambda x: notified(x, DAN, 45),
    "a record of what was shown long before a connection ended without a word": lambda x: notified(x, EVE, 43),
    "a record of the user's own message": lambda x: notified(x, ANN, 30),
    "a record of a message from before the user was a member": lambda x: notified(x, FAY, 49),
    "a record in a large conversation of which everything was shown": lambda x: notified(x, DAN, 0, LARGE),
    "two records of one message": lambda x: notified(x, BEN, 30),
    "two records in a large conversation": lambda x: notified(x, CYD, 0, LARGE),
}

MARGINS = {  # (conversation, user) -> where a record and no record are both right
    (C, BEN): (19, 20, 55, 60),
    (C, CYD): (49, 50, 85, 89),
    (C, EVE): (44, 46, 69),
    (C, FAY): (50,),
    (LARGE, BEN): (0,),
}


def test_legal_history_holds_and_counts_what_was_judged(tmp_path: Path) -> None:
    """A rule that judges nothing must be visible, and so must a margin that takes everything in."""
    verdict = verdict_of(tmp_path, good())
    assert verdict.violations == []
    counts = verdict.judged["notifications"]
    assert counts["due to users who had left"] == sum(len(DUE[user]) for user in (BEN, CYD, EVE))
    assert counts["due to users who never connected"] == len(DUE[FAY])
    assert counts["due in large conversations"] == 101
    assert counts["not due in large conversations"] == 1
    assert counts["not due"] == (18 + 40) + (48 + 10) + LAST + 43, "ben, cyd, dan, eve"
    assert counts["open"] == (2 + 6) + (2 + 6) + 27 + 1, "ben, cyd, eve, fay"


@pytest.mark.parametrize("what", MUTATIONS)
def test_missing_false_or_doubled_record_is_found(tmp_path: Path, what: str) -> None:
    """By I11 alone, and never as something that only took too long."""
    verdict = verdict_of(tmp_path, MUTATIONS[what](good()))
    assert verdict.counts["I11"] == 1, verdict.violations
    assert sum(verdict.counts.values()) == 1
    assert not verdict.is_only_late


@pytest.mark.parametrize(("conversation", "user", "seq"), [(*which, seq) for which, seqs in MARGINS.items() for seq in seqs])
def test_record_within_a_margin_is_accepted(tmp_path: Path, conversation: str, user: str, seq: int) -> None:
    """What the instance knew at that moment cannot be told from what clients saw."""
    assert verdict_of(tmp_path, notified(good(), user, seq, conversation)).holds


def test_message_on_its_way_when_the_connection_ends_may_be_notified(tmp_path: Path) -> None:
    """It was committed while the user was connected, and never shown; five seconds earlier it had to be shown."""
    unshown = drop(drop(good(), "shown", device="cyd-2", seq=47), "received", device="cyd-2", seq=47)
    unshown = drop(drop(unshown, "shown", device="cyd-1", seq=47), "received", device="cyd-1", seq=47)
    assert verdict_of(tmp_path, notified(unshown, CYD, 47)).counts["I11"] == 0
    assert verdict_of(tmp_path, unshown).counts["I11"] == 0


def test_message_that_was_not_shown_within_the_delivery_bound_is_not_notified(tmp_path: Path) -> None:
    """The user was connected all that time."""
    unshown = drop(drop(good(), "shown", device="cyd-2", seq=43), "received", device="cyd-2", seq=43)
    unshown = drop(drop(unshown, "shown", device="cyd-1", seq=43), "received", device="cyd-1", seq=43)
    assert verdict_of(tmp_path, notified(unshown, CYD, 43)).counts["I11"] == 1


@pytest.mark.parametrize(("name", "is_found"), [("pod-kill", False), ("flushall", True)])
def test_record_may_take_longer_after_the_death_of_an_instance(tmp_path: Path, name: str, is_found: bool) -> None:
    """A failure that kills nothing leaves 20 s, and ben came back later; a dead instance has to be found first."""
    broken = more(more(good(), 36.5, "fault", name=name, on=True), 38.0, "fault", name=name, on=False)
    assert verdict_of(tmp_path, unnotified(broken, BEN, 36)).counts["I11"] == is_found


@pytest.mark.parametrize(("instance", "is_found"), [("one", False), ("two", True)])
def test_user_who_left_just_before_the_death_of_the_instance_may_be_notified_of_what_was_shown(
    tmp_path: Path, instance: str, is_found: bool
) -> None:
    """No other instance knows that the user left later than at the last beat: an uncertain case gets a record."""
    lines = change(good(), "opened", {"device": "ben-1"}, instance="one")
    lines = more(
        more(lines, 20.5, "fault", name="pod-kill", target=instance, on=True),
        23.0,
        "fault",
        name="pod-kill",
        target=instance,
        on=False,
    )
    assert verdict_of(tmp_path, notified(lines, BEN, 18)).counts["I11"] == is_found
    assert verdict_of(tmp_path, notified(lines, BEN, 10)).counts["I11"] == 1, "the beat before told of it"


@pytest.mark.parametrize(
    ("instance", "began", "ended", "is_found"),
    [("one", 22.0, 42.0, False), ("two", 22.0, 42.0, True), ("one", 25.0, 45.0, True), ("one", 22.0, 27.0, True)],
    ids=["just before", "another instance", "long before", "not taken for dead"],
)
def test_user_who_left_just_before_the_instance_stood_still_may_be_notified_of_what_was_shown(
    tmp_path: Path, instance: str, began: float, ended: float, is_found: bool
) -> None:
    """Ben left at 20 s. Taken for dead, the instance is as one that was killed: its last bulletin did not tell of him yet."""
    lines = change(good(), "opened", {"device": "ben-1"}, instance="one")
    lines = more(lines, began, "fault", name="freeze", target=instance, on=True)
    lines = more(lines, ended, "fault", name="freeze", target=instance, on=False)
    assert verdict_of(tmp_path, lines).holds
    assert verdict_of(tmp_path, notified(lines, BEN, 18)).counts["I11"] == is_found
    assert verdict_of(tmp_path, notified(lines, BEN, 10)).counts["I11"] == 1, "the bulletin before told of him"


def test_record_that_is_due_long_before_the_end_is_missed_through_many_failures(tmp_path: Path) -> None:
    """In a soak one failure follows another: seconds between them count, else nothing would ever be judged."""
    lines = good()
    for n in range(8):
        begin = 101.0 + 12 * n
        lines = more(lines, begin, "fault", name="pod-kill", target="one", on=True)
        lines = more(lines, begin + 3, "fault", name="pod-kill", target="one", on=False)
    assert verdict_of(tmp_path, lines).holds
    assert verdict_of(tmp_path, unnotified(lines, EVE, LAST)).counts["I11"] == 1


@pytest.mark.parametrize("is_broken", [True, False])
def test_user_who_is_back_is_not_notified(tmp_path: Path, is_broken: bool) -> None:
    """Neither where Redis is away and no other instance is told: the store is asked about each message."""
    lines = good()
    if is_broken:
        lines = more(more(lines, 60.5, "fault", name="redis-cut", on=True), 63.5, "fault", name="redis-cut", on=False)
    for seq in (62, 63):
        assert verdict_of(tmp_path, notified(lines, BEN, seq)).counts["I11"] == 1


@pytest.mark.parametrize(("is_broken", "is_found"), [(True, False), (False, True)])
def test_new_member_is_notified_at_once_in_calm(tmp_path: Path, is_broken: bool, is_found: bool) -> None:
    """An instance that has not noticed yet that Redis is gone learns of the addition within 3 s."""
    lines = good()
    if is_broken:
        lines = more(more(lines, 49.9, "fault", name="redis-hang", on=True), 50.9, "fault", name="redis-hang", on=False)
    assert verdict_of(tmp_path, unnotified(lines, FAY, 51)).counts["I11"] == is_found


@pytest.mark.parametrize(
    ("seq", "back_at", "is_found"),
    [(51, 57.0, False), (51, 64.0, True), (54, 60.0, True)],
    ids=["back before", "back after", "known"],
)
def test_new_member_who_is_back_before_the_second_look_need_not_be_notified(
    tmp_path: Path, seq: int, back_at: float, is_found: bool
) -> None:
    """Another instance may commit before it hears of the addition; 7 s later the store is asked what the new member missed."""
    lines = [line for line in good() if not (line["event"] == "stored_notification" and line["user"] == FAY and line["seq"] > 56)]
    lines = more(lines, back_at, "opening", device="fay-1", user=FAY)
    lines = more(lines, back_at + 0.1, "opened", device="fay-1", user=FAY, connection="fay-a", resumed=False)
    lines = more(lines, back_at + 0.2, "synced", device="fay-1", user=FAY, connection="fay-a")
    before = verdict_of(tmp_path, lines).counts["I11"]

    assert verdict_of(tmp_path, unnotified(lines, FAY, seq)).counts["I11"] - before == is_found


@pytest.mark.parametrize(("until", "is_found"), [(55.0, False), (45.0, True)])
def test_instance_that_stood_still_from_the_commit_until_the_user_had_left_may_notify(
    tmp_path: Path, until: float, is_found: bool
) -> None:
    """It takes the message for new when it goes on; others have shown it meanwhile, which it does not know."""
    lines = more(good(), 39.5, "fault", name="freeze", target="three", on=True)
    lines = more(lines, until, "fault", name="freeze", target="three", on=False)
    notified = more(lines, END, "stored_notification", conversation=C, seq=40, user=CYD)

    assert (verdict_of(tmp_path, notified).counts["I11"] > 0) is is_found


def test_late_acknowledgement_does_not_widen_the_margin_where_another_device_received_the_message(tmp_path: Path) -> None:
    """The commit was before the first delivery, and ben was away then."""
    late = change(good(), "ack", {"key": f"{C}-30"}, t=61.0)
    assert verdict_of(tmp_path, unnotified(late, BEN, 30)).counts["I11"] == 1
    assert only(late, "stored_notification", user=BEN, seq=30)
    unseen = drop(late, "received", seq=30, device="dan-1")
    assert verdict_of(tmp_path, unnotified(unseen, BEN, 30)).counts["I11"] == 1, "its successors were received, too"


def test_what_a_user_was_shown_before_leaving_is_open_beside_a_version_that_notifies_of_it(tmp_path: Path) -> None:
    """Only of what came in the last 40 s before that: a user who stays is told of nothing, as ever."""
    for user, seq, is_excused in ((CYD, 40, True), (CYD, 11, True), (CYD, 9, False), (ANN, 40, False), (DAN, 60, False)):
        lines = notified(good(), user, seq)
        assert verdict_of(tmp_path, lines).counts["I11"] == 1
        verdict = verdict_of(tmp_path, lines, lacks=(LATEST_HEARD,))
        assert verdict.counts["I11"] == (not is_excused), (user, seq)
