"""The checker and a restored store: exactly the messages that were taken away are excused."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.drills.checker.run import Run
from holdfast.drills.hindsight import every_cursor_is_reset
from holdfast.drills.history import digest, read_history
from support.histories import Line, change, drop, more, verdict_of

C, ANN, BEN = "c1", "ann", "ben"


def restored() -> list[Line]:
    """Ann writes 1 to 10; 7 to 10 are taken away at 20 s; both come back, are reset, and other messages get 7 to 12."""
    lines: list[Line] = []

    def add(t: float, event: str, **fields: object) -> None:
        lines.append({"event": event, "t": t, **fields})

    def message(t: float, seq: int, key: str, is_stored: bool) -> None:
        what = {"conversation": C, "key": key, "digest": digest(key)}
        add(t, "send", device="ann-1", user=ANN, **what)
        add(t + 0.05, "ack", device="ann-1", user=ANN, conversation=C, key=key, seq=seq)
        for user in (ANN, BEN):
            for event in ("received", "shown"):
                add(t + 0.1, event, device=f"{user}-1", user=user, seq=seq, sender=ANN, **what)
        if is_stored:
            add(80.0, "stored", seq=seq, sender=ANN, **what)

    def line(user: str, t: float, name: str) -> None:
        add(
            t,
            "opened",
            device=f"{user}-1",
            user=user,
            connection=f"{user}-{name}",
            instance="one",
            generation=name,
            resumed=name != "a",
        )
        add(t + 0.1, "synced", device=f"{user}-1", user=user, connection=f"{user}-{name}")

    for user in (ANN, BEN):
        add(0.0, "member", conversation=C, user=user, present=True)
        add(0.0, "start", device=f"{user}-1", user=user, conversation=C, seq=0)
        line(user, 0.1, "a")
    for seq in range(1, 11):
        message(float(seq), seq, f"k{seq}", seq <= 6)
    add(12.0, "cursor", device="ann-1", user=ANN, about=BEN, conversation=C, seq=10)
    add(12.0, "read", device="ben-1", user=BEN, conversation=C, seq=10)
    add(19.0, "fault", name="store-restore", on=True)
    add(20.0, "restored", conversation=C, seq=6)
    for seq in range(7, 11):
        add(20.0, "lost", conversation=C, seq=seq, sender=ANN, key=f"k{seq}")
    add(21.0, "renewed", generation="b")
    for user in (ANN, BEN):
        add(22.0, "closed", device=f"{user}-1", user=user, connection=f"{user}-a", code=1012, clean=True)
        line(user, 23.0, "b")
        add(23.05, "reset", device=f"{user}-1", user=user, conversation=C, head=6)
    add(25.0, "fault", name="store-restore", on=False)
    for seq in range(7, 13):
        message(20.0 + seq, seq, f"other{seq}", True)
    add(40.0, "cursor", device="ann-1", user=ANN, about=BEN, conversation=C, seq=8)
    add(80.0, "stored_cursor", user=BEN, conversation=C, seq=8)
    add(80.0, "reading")
    add(80.0, "end")
    return sorted(lines, key=lambda line: line["t"])


def test_messages_that_the_restore_took_away_are_excused(tmp_path: Path) -> None:
    """Their acks, their deliveries, and the read cursors up to them."""
    verdict = verdict_of(tmp_path, restored())
    assert verdict.holds, verdict.violations
    assert verdict.unknown == 0


Mutation = Callable[[list[Line]], list[Line]]

_MUTATIONS: dict[str, tuple[str, Mutation]] = {
    "acknowledged, not stored, and not named as lost": ("I1", lambda lines: drop(lines, "lost", key="k9")),
    "acknowledged after the restore and not stored": ("I1", lambda lines: drop(lines, "stored", key="other12")),
    "a gap after the restore": ("I4", lambda lines: drop(lines, "stored", key="other9")),
    "lost, and shown after the reset": (
        "I6",
        lambda lines: change(lines, "shown", {"device": "ben-1", "key": "other10"}, key="k10", digest=digest("k10")),
    ),
    "a reset to a wrong position": ("I6", lambda lines: change(lines, "reset", {"device": "ben-1"}, head=10)),
    "shown with a hole after the reset": ("I6", lambda lines: drop(lines, "shown", device="ben-1", key="other8")),
    "not shown after the reset": ("I7", lambda lines: drop(lines, "shown", device="ben-1", key="other12")),
    "a read cursor that goes back after the reset": (
        "I9",
        lambda lines: more(lines, 45.0, "cursor", device="ann-1", user=ANN, about=BEN, conversation=C, seq=7),
    ),
    "a read after the restore that is not stored": (
        "I9",
        lambda lines: more(lines, 45.0, "read", device="ben-1", user=BEN, conversation=C, seq=9),
    ),
}


@pytest.mark.parametrize("name", _MUTATIONS)
def test_nothing_else_is_excused(tmp_path: Path, name: str) -> None:
    """A restore must not hide what it did not do."""
    invariant, mutate = _MUTATIONS[name]
    assert verdict_of(tmp_path, mutate(restored())).counts[invariant] > 0


def test_device_without_a_reset_is_counted(tmp_path: Path) -> None:
    """The messages that it shows may look right by chance."""
    for lines, expected in ((restored(), 0), (drop(restored(), "reset", device="ben-1"), 1)):
        verdict_of(tmp_path, lines)
        assert every_cursor_is_reset(Run(*read_history(tmp_path / "history.jsonl"))).measured == expected
    verdict_of(tmp_path, drop(restored(), "renewed"))
    assert every_cursor_is_reset(Run(*read_history(tmp_path / "history.jsonl"))).measured == math.inf


@pytest.mark.parametrize("removed_at", [19.5, 22.5], ids=["before the restore", "before the reset"])
def test_user_who_is_no_member_when_the_others_are_reset_forgets_the_conversation(tmp_path: Path, removed_at: float) -> None:
    """No `reset` is told to them. Added again, they hear of lower cursors."""
    lines = drop(restored(), "reset", device="ben-1")
    lines = [e for e in lines if e.get("device") != "ben-1" or e["t"] < removed_at or e["event"] not in ("received", "shown")]
    lines = more(lines, 12.0, "cursor", device="ben-1", user=BEN, about=ANN, conversation=C, seq=10)
    assert verdict_of(tmp_path, _told_later(lines)).counts["I9"], "a member is told a reset"
    for t, present in ((removed_at, False), (50.0, True)):
        for event in ("asking", "member"):
            lines = more(lines, t, event, user=BEN, conversation=C, present=present)
    verdict = verdict_of(tmp_path, _told_later(lines))
    assert verdict.violations == []


def _told_later(lines: list[Line]) -> list[Line]:
    return more(lines, 60.0, "cursor", device="ben-1", user=BEN, about=ANN, conversation=C, seq=8)


def test_what_has_the_time_of_the_reset_is_judged_by_its_place(tmp_path: Path) -> None:
    """A client reads several frames at once: what comes after the `reset` is not discarded."""
    lines = restored()
    change(lines, "send", {"key": "other7"}, t=23.0)
    change(lines, "ack", {"key": "other7"}, t=23.0)
    for event in ("received", "shown"):
        change(lines, event, {"key": "other7"}, t=23.05)
    together = sorted(lines, key=lambda line: (line["t"], line.get("seq", 0)))  # 7 comes after the resets

    assert verdict_of(tmp_path, together).violations == []
    told = {"t": 23.05, "device": "ann-1", "user": ANN, "about": BEN, "conversation": C, "seq": 9}
    assert verdict_of(tmp_path, more(together, event="cursor", **told)).counts["I9"], "8 is told later"


def test_receipt_that_was_told_before_the_restore_need_not_be_told_again(tmp_path: Path) -> None:
    """A device forgets with its `reset` what it was told; its application fetches the cursors with everything else."""
    lines = [each for each in restored() if each["event"] not in ("cursor", "read", "stored_cursor")]
    for each in lines:  # ben answers message 5, which reads it
        if each.get("key") == "k6":
            each |= {"user": BEN, "device": "ben-1"} if each["event"] in ("send", "ack") else {"sender": BEN}
    told: list[Line] = [
        {"event": "cursor", "t": 6.2, "device": "ann-1", "user": ANN, "about": BEN, "conversation": C, "seq": 5},
        {"event": "stored_cursor", "t": 80.0, "user": BEN, "conversation": C, "seq": 6},
    ]
    verdict = verdict_of(tmp_path, sorted([*lines, *told], key=lambda each: each["t"]))
    assert verdict.holds, verdict.violations
    assert verdict.judged["receipts"]["told"]
    verdict = verdict_of(tmp_path, sorted([*lines, told[1]], key=lambda each: each["t"]))
    assert verdict.counts["I9"], "it was never told"


def test_read_of_a_message_that_was_taken_away_is_not_taken_for_one_of_its_successor(tmp_path: Path) -> None:
    """A device that has not heard of the restore reads up to 10; the message that gets this position is sent 9 s later."""
    lines = [each | ({"seq": 10} if each["event"] == "stored_cursor" else {}) for each in restored()]
    early: Line = {"event": "read", "t": 21.2, "device": "ben-1", "user": BEN, "conversation": C, "seq": 10}
    verdict = verdict_of(tmp_path, sorted([*lines, early], key=lambda each: each["t"]))
    assert verdict.holds, verdict.violations
    late = early | {"t": 31.0}
    verdict = verdict_of(tmp_path, sorted([*lines, late], key=lambda each: each["t"]))
    assert verdict.counts["I9"], "it was never told"


def test_conversation_that_is_younger_than_the_restore_is_fetched_again_after_a_reset(tmp_path: Path) -> None:
    """Each given cursor is reset when the store has another generation, also of conversations that lost nothing."""
    what = {"conversation": "c2", "key": "young", "digest": digest("young")}
    young: list[Line] = [
        {"event": "member", "t": 20.5, "conversation": "c2", "user": user, "present": True} for user in (ANN, BEN)
    ]
    young += [
        {"event": "notice", "t": 20.6, "device": "ben-1", "user": BEN, "conversation": "c2", "joined": 0, "seq": 0},
        {"event": "send", "t": 21.5, "device": "ann-1", "user": ANN, **what},
        {"event": "ack", "t": 21.6, "device": "ann-1", "user": ANN, "conversation": "c2", "key": "young", "seq": 1},
        *(
            {"event": event, "t": 21.7, "device": "ann-1", "user": ANN, "seq": 1, "sender": ANN, **what}
            for event in ("received", "shown")
        ),
        {"event": "reset", "t": 23.05, "device": "ben-1", "user": BEN, "conversation": "c2", "head": 1},
        {"event": "stored", "t": 80.0, "seq": 1, "sender": ANN, **what},
    ]
    lines = sorted([*restored(), *young], key=lambda each: each["t"])
    verdict = verdict_of(tmp_path, lines)
    assert verdict.holds, verdict.violations
    verdict = verdict_of(tmp_path, [each for each in lines if not (each["event"] == "reset" and each["conversation"] == "c2")])
    assert verdict.counts["I7"], "ben was never shown it"


@pytest.mark.parametrize(("is_reset", "violated"), [(True, 0), (False, 1)])
def test_device_that_is_reset_before_the_renewal_and_leaves_has_forgotten_the_cursors(
    tmp_path: Path, is_reset: bool, violated: int
) -> None:
    """Its instance found that the conversation had become shorter; lower cursors follow on the same connection."""
    guest = {"device": "ann-2", "user": ANN}
    lines = more(restored(), 0.1, "opened", connection="ann-2a", instance="one", generation="a", resumed=False, **guest)
    lines = more(lines, 0.2, "synced", connection="ann-2a", **guest)
    lines = more(lines, 12.0, "cursor", about=BEN, conversation=C, seq=10, **guest)
    if is_reset:
        lines = more(lines, 20.5, "reset", conversation=C, head=6, **guest)
    lines = more(lines, 21.4, "cursor", about=BEN, conversation=C, seq=8, **guest)
    lines = more(lines, 21.7, "closed", connection="ann-2a", code=1012, clean=True, **guest)
    assert verdict_of(tmp_path, lines).counts["I9"] == violated


@pytest.mark.parametrize(
    ("t", "closed_at", "violated"),
    [(21.5, 22.0, False), (24.0, 22.0, True), (26.5, 26.8, True)],
    ids=["not noticed yet", "on a connection of the new generation", "by an instance that never began anew"],
)
def test_position_from_an_instance_that_has_not_noticed_the_renewal_is_excused(
    tmp_path: Path, t: float, closed_at: float, violated: bool
) -> None:
    """It lies in what the restore took away, and its number goes to a later message. The device discards it with its `reset`."""
    lines = restored()
    if closed_at > 22.0:
        lines = [each for each in lines if each["event"] not in ("opened", "synced") or each["connection"] != "ben-b"]
        change(lines, "closed", {"device": "ben-1"}, t=closed_at)
    lines = more(lines, t, "notice", device="ben-1", user=BEN, conversation=C, name="member_added", about=BEN, joined=8, seq=8)
    told = [each for each in verdict_of(tmp_path, lines).violations if "was told to begin after 8" in each.message]
    assert bool(told) == violated


def _never_back(shown_at: float) -> list[Line]:
    """Others get 7 to 11 after the renewal, before an instance notices it. Ben has shown 7 to 10, shows 11, and stays away."""
    lines = [each for each in restored() if each.get("device") != "ben-1" or each["t"] <= 22.0]
    lines = drop(lines, "reading")  # notifications for Ben are no subject here
    for seq in range(7, 12):
        t = 21.1 + (seq - 7) / 10
        change(lines, "send", {"key": f"other{seq}"}, t=t)
        change(lines, "ack", {"key": f"other{seq}"}, t=t + 0.05)
    lines = [each for each in lines if each["event"] not in ("received", "shown") or each["key"] not in _BETWEEN]
    change(lines, "reset", {"device": "ann-1"}, head=11)
    what = {"conversation": C, "seq": 11, "sender": ANN, "key": "other11", "digest": digest("other11")}
    for event in ("received", "shown"):
        lines = more(lines, shown_at, event, device="ben-1", user=BEN, **what)
    return lines


_BETWEEN = tuple(f"other{seq}" for seq in range(7, 12))


def test_device_that_never_comes_back_after_a_restore_need_not_have_shown_what_was_sent_before_its_instance_noticed(
    tmp_path: Path,
) -> None:
    """Its view is of the time before, and would be discarded with the first connection under the new generation."""
    verdict = verdict_of(tmp_path, _never_back(21.6))
    assert verdict.violations == []


def test_device_whose_instance_never_notices_the_restore_is_judged(tmp_path: Path) -> None:
    """All instances have begun anew 5 s after the renewal."""
    lines = change(_never_back(26.5), "closed", {"device": "ben-1"}, t=27.0)
    assert verdict_of(tmp_path, lines).counts["I6"]


def test_device_that_comes_back_after_a_restore_and_is_not_reset_is_judged(tmp_path: Path) -> None:
    """It keeps a view of the time before."""
    line = {"device": "ben-1", "user": BEN, "connection": "ben-b"}
    lines = more(_never_back(21.6), 23.0, "opened", instance="one", generation="b", resumed=True, **line)
    assert verdict_of(tmp_path, lines).counts["I6"] == 0, "it ended before it was told anything"
    assert verdict_of(tmp_path, more(lines, 23.1, "synced", **line)).counts["I6"]


def test_user_who_is_removed_and_added_again_before_coming_back_begins_the_conversation_anew(tmp_path: Path) -> None:
    """The removal was told before the reset could be, so that the device has no cursor left that would be reset."""
    lines = drop(restored(), "reset", device="ben-1")
    lines = more(lines, 12.0, "cursor", device="ben-1", user=BEN, about=ANN, conversation=C, seq=10)
    for t, present in ((21.8, False), (22.5, True)):
        for event in ("asking", "member"):
            lines = more(lines, t, event, user=BEN, conversation=C, present=present)
    assert verdict_of(tmp_path, _told_later(lines)).counts["I9"], "a member with a cursor is told a reset"
    told = {"device": "ben-1", "user": BEN, "conversation": C, "name": "member_added", "about": BEN, "joined": 6, "seq": 6}
    assert verdict_of(tmp_path, _told_later(more(lines, 23.05, "notice", **told))).violations == []
