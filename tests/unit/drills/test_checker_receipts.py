"""The checker judges read receipts: one that goes back, is never told or is told of what is not stored is found."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast.drills.history import READ_SEQ, digest
from support.histories import Line, change, drop, more, verdict_of

C, ANN, BEN, CYD, DAN = "c1", "ann", "ben", "cyd", "dan"
END, BEN_ANSWERS_AT = 100.0, 30.0


def good() -> list[Line]:
    """Ann writes 20 messages. Ben reads the fifth, and answers at 30 s, which counts as reading them all. Cyd reads on
    another device.

    Dan comes at 35 s: dan is told of no cursor that moved before, and of those that move later where the message is new.
    """
    lines: list[Line] = []

    def add(t: float, event: str, **fields: Any) -> None:
        lines.append({"event": event, "t": t, **fields})

    def connect(t: float, device: str) -> None:
        user = device.partition("-")[0]
        add(t, "opened", device=device, user=user, connection=device, instance="one", resumed=True)
        add(t + 0.1, "synced", device=device, user=user, connection=device)

    def send(t: float, user: str, seq: int) -> None:
        what = {"conversation": C, "key": f"k{seq}", "digest": digest(f"{seq}")}
        add(t, "send", device=f"{user}-1", user=user, **what)
        add(t + 0.05, "ack", device=f"{user}-1", user=user, conversation=C, key=what["key"], seq=seq)
        for device in ("ann-1", "ben-1", "cyd-1", "cyd-2", "dan-1"):
            for event in ("received", "shown"):
                shown_at = max(t + 0.06, 35.11) if device == "dan-1" else t + 0.06
                add(shown_at, event, device=device, user=device.partition("-")[0], seq=seq, sender=user, **what)
        add(END, "stored", seq=seq, sender=user, **what)

    def receipt(t: float, about: str, seq: int, *devices: str) -> None:
        for device in devices:
            add(t, "cursor", device=device, user=device.partition("-")[0], about=about, conversation=C, seq=seq)

    for user in (ANN, BEN, CYD, DAN):
        add(0.0, "member", conversation=C, user=user, present=True)
        add(0.0, "start", device=f"{user}-1", user=user, conversation=C, seq=0)
    for device in ("ann-1", "ben-1", "cyd-1", "cyd-2"):
        connect(0.1, device)
    connect(35.0, "dan-1")
    for seq in range(1, 21):
        send(float(seq), ANN, seq)
    add(10.0, "read", device="ben-1", user=BEN, conversation=C, seq=5)
    receipt(10.1, BEN, 5, "ann-1", "cyd-1", "cyd-2")
    send(BEN_ANSWERS_AT, BEN, 21)
    receipt(30.2, BEN, 21, "ann-1", "cyd-1", "cyd-2")
    add(40.0, "read", device="cyd-2", user=CYD, conversation=C, seq=21)
    receipt(40.1, CYD, 21, "ann-1", "ben-1", "cyd-1", "dan-1")
    for user in (BEN, CYD):
        add(END, "stored_cursor", user=user, conversation=C, seq=21)
    add(END, "end")
    return sorted(lines, key=lambda line: line["t"])


def without(device: str, about: str, seq: int) -> Callable[[list[Line]], list[Line]]:
    """The device never hears of that cursor."""
    return lambda lines: drop(lines, "cursor", device=device, about=about, seq=seq)


MUTATIONS: dict[str, Callable[[list[Line]], list[Line]]] = {
    "a receipt goes back at a device": lambda x: more(
        x, 50.0, "cursor", device="ann-1", user=ANN, about=BEN, conversation=C, seq=5
    ),
    "a receipt goes back at a device that came later": lambda x: more(
        x, 50.0, "cursor", device="dan-1", user=DAN, about=CYD, conversation=C, seq=20
    ),
    "no receipt of a user ever comes to one member": lambda x: without("cyd-1", BEN, 21)(without("cyd-1", BEN, 5)(x)),
    "the advance by an answer is never told": without("ann-1", BEN, 21),
    "a read on another device is never told": without("ben-1", CYD, 21),
    "a receipt names more than is stored": lambda x: change(x, "stored_cursor", {"user": CYD}, seq=20),
    "an acknowledged read is not stored": lambda x: change(x, "stored_cursor", {"user": BEN}, seq=4),
}


def test_legal_history_holds_and_counts_receipts(tmp_path: Path) -> None:
    """Each advance, for each device of another member that was connected all that time."""
    verdict = verdict_of(tmp_path, good())
    assert verdict.violations == []
    assert verdict.judged["receipts"] == {"told": 3 + 3 + 2}


@pytest.mark.parametrize("what", MUTATIONS)
def test_receipt_that_goes_back_or_is_not_told_is_found(tmp_path: Path, what: str) -> None:
    """By I9 alone."""
    verdict = verdict_of(tmp_path, MUTATIONS[what](good()))
    assert verdict.counts["I9"] > 0, verdict.violations
    assert sum(verdict.counts.values()) == verdict.counts["I9"]
    assert not verdict.is_only_late


def test_receipt_of_a_later_cursor_covers_an_earlier_one(tmp_path: Path) -> None:
    """Reads between two writes of the store are one receipt; it may also come late, as long as the connection lasts."""
    lines = without("ann-1", BEN, 5)(good())
    assert verdict_of(tmp_path, lines).holds
    late = change(lines, "cursor", {"device": "ann-1", "about": BEN}, t=70.0)
    assert verdict_of(tmp_path, late).holds


def test_advance_over_own_messages_needs_no_receipt(tmp_path: Path) -> None:
    """A user who has read everything has also read their own next message."""
    lines = change(good(), "cursor", {"about": BEN, "seq": 21}, seq=20)
    assert verdict_of(tmp_path, lines).holds


def test_device_whose_connection_ended_meanwhile_need_not_be_told(tmp_path: Path) -> None:
    """A receipt is sent to connected users; the margin is the delivery bound after the acknowledgement."""
    lines = without("ben-1", CYD, 21)(good())
    left = more(lines, 44.9, "closed", device="ben-1", user=BEN, connection="ben-1", code=1000, clean=True)
    assert verdict_of(tmp_path, left).holds
    stayed = more(lines, 45.1, "closed", device="ben-1", user=BEN, connection="ben-1", code=1000, clean=True)
    assert verdict_of(tmp_path, stayed).counts["I9"] == 1


@pytest.mark.parametrize(("t", "is_open"), [(43.9, True), (44.1, False)])
def test_advance_that_a_dying_instance_acknowledged_is_open(tmp_path: Path, t: float, is_open: bool) -> None:
    """It may have had no time to tell the others; seconds later it had."""
    lines = without("ben-1", CYD, 21)(good())
    lines = more(lines, t, "fault", name="pod-kill", target="one", on=True)
    lines = more(lines, t + 1, "fault", name="pod-kill", target="one", on=False)
    verdict = verdict_of(tmp_path, lines)
    assert verdict.counts["I9"] == (not is_open)
    assert verdict.judged["receipts"].get("open", 0) == is_open


def test_advance_by_sending_is_open_beside_a_version_that_does_not_tell_it(tmp_path: Path) -> None:
    """It tells explicit reads only. Those are judged as ever, unless the user's own message had moved the cursor."""
    lines = without("ann-1", BEN, 21)(good())
    verdict = verdict_of(tmp_path, lines, lacks=(READ_SEQ,))
    assert verdict.holds
    assert verdict.judged["receipts"]["open"] == 1
    assert verdict_of(tmp_path, without("ben-1", CYD, 21)(lines), lacks=(READ_SEQ,)).counts["I9"] == 1
    read = more(lines, 32.0, "read", device="ben-1", user=BEN, conversation=C, seq=21)
    assert verdict_of(tmp_path, read, lacks=(READ_SEQ,)).holds
    assert not verdict_of(tmp_path, read).holds


def test_message_that_reads_less_than_what_is_before_it_is_told_when_it_is_sent(tmp_path: Path) -> None:
    """Written before the answer at 30 s was shown, and sent later: it moves the cursor to 21, the answer before it did not."""
    lines = drop(good(), "cursor", about=BEN, seq=21)
    what: Line = {"device": "ben-1", "user": BEN, "conversation": C, "key": "k22"}
    lines = more(lines, 60.0, "send", **what, digest=digest("22"))
    lines = more(lines, 60.05, "ack", **what, seq=22)
    lines = more(lines, END, "stored", user=BEN, sender=BEN, conversation=C, key="k22", seq=22, digest=digest("22"))
    for device in ("ann-1", "ben-1", "cyd-1", "cyd-2", "dan-1"):
        shown: Line = {
            **what,
            "device": device,
            "user": device.partition("-")[0],
            "sender": BEN,
            "digest": digest("22"),
            "seq": 22,
        }
        lines = more(more(lines, 60.06, "received", **shown), 60.06, "shown", **shown)
    assert verdict_of(tmp_path, lines).counts["I9"], "it is told at no time"
    for device in ("ann-1", "cyd-1", "cyd-2", "dan-1"):
        lines = more(lines, 60.2, "cursor", device=device, user=device.partition("-")[0], about=BEN, conversation=C, seq=21)
    verdict = verdict_of(tmp_path, lines)
    assert verdict.holds, verdict.violations


def test_message_that_was_sent_by_rest_is_no_sign_of_an_advance(tmp_path: Path) -> None:
    """It marks nothing as read: the cursor came to it later, by a read whose answer was lost."""
    lines = drop(drop(good(), "cursor", about=BEN, seq=21), "read", device="cyd-2")
    assert verdict_of(tmp_path, lines).counts["I9"], "ben's answer on a socket reads what came before it"
    verdict = verdict_of(tmp_path, change(lines, "send", {"user": BEN}, name="rest"))
    assert verdict.counts["I9"] == 0, verdict.violations


def test_stored_cursor_without_a_sign_of_its_advance_is_open(tmp_path: Path) -> None:
    """The read was never acknowledged, and the user sent nothing later."""
    lines = drop(drop(good(), "read", user=CYD), "cursor", about=CYD)
    verdict = verdict_of(tmp_path, lines)
    assert verdict.holds
    assert verdict.judged["receipts"] == {"told": 6, "open": 1}


@pytest.mark.parametrize(("joins_at", "is_due"), [(1.0, True), (29.0, False)], ids=["long before", "just before the advance"])
def test_member_who_has_just_been_added_need_not_be_told(tmp_path: Path, joins_at: float, is_due: bool) -> None:
    """Until the connection has entered, the notice of the membership is still to come, and the cursors are fetched with it."""
    lines = [line for line in good() if not (line["event"] == "member" and line["user"] == CYD)]
    lines = [
        line for line in lines if not (line["event"] == "cursor" and line.get("device") == "cyd-1" and line.get("seq") == 21)
    ]
    lines.append({"event": "member", "t": joins_at, "conversation": C, "user": CYD, "present": True})
    verdict = verdict_of(tmp_path, sorted(lines, key=lambda line: line["t"]))
    assert bool([each for each in verdict.violations if "cyd-1" in each.message and "ben" in each.message]) is is_due


@pytest.mark.parametrize(
    ("begins_at", "is_due"), [(0.2, True), (32.0, False), (50.0, True)], ids=["before", "meanwhile", "later than the bound"]
)
def test_member_for_whom_the_conversation_begins_late_need_not_be_told(tmp_path: Path, begins_at: float, is_due: bool) -> None:
    """A store that is away delays the `conversation` frame for longer than a change of members takes otherwise."""
    lines = drop(without("cyd-2", BEN, 21)(good()), "cursor", device="cyd-2", about=BEN)
    lines = [each for each in lines if each.get("device") != "cyd-2" or each["event"] not in ("received", "shown", "start")]
    lines = more(lines, begins_at, "notice", device="cyd-2", user=CYD, conversation=C, name="created", seq=0)
    missed = [each.message for each in verdict_of(tmp_path, lines).violations if each.invariant == "I9" and each.t > 30.0]
    assert missed == (["cyd-2 was not told that ben has read c1 up to 20, but 0"] if is_due else [])


def test_frame_of_a_conversation_that_a_device_has_excuses_no_missing_receipt(tmp_path: Path) -> None:
    """The device has received messages of it: it may get the frame again, and entered long before."""
    lines = without("ann-1", BEN, 21)(good())
    lines = more(lines, 30.1, "notice", device="ann-1", user=ANN, conversation=C, name="created", seq=0)
    assert verdict_of(tmp_path, lines).counts["I9"] == 1
