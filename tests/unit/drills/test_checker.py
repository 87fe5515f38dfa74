"""The checker: a good history holds, and each mutation that an invariant forbids is caught by that invariant."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast.cli import main
from holdfast.drills.checker import INVARIANTS, judge
from holdfast.drills.checker.run import Run
from holdfast.drills.history import HistoryUnreadable, digest, read_history
from holdfast.drills.measure import measure
from support.histories import Line, change, drop, more, only, verdict_of

C, ANN, BEN, CYD, DAN = "c1", "ann", "ben", "cyd", "dan"
END = 200.0


def good() -> list[Line]:
    """Ann, ben and cyd talk for 100 s; ben changes instances at 30 s without a word and cyd in order, dan is away from 40 s on,
    and eve is removed at 50 s. One fault from 30 s to 33 s. The store as it is at 200 s.
    """
    lines: list[Line] = []
    users = (ANN, BEN, CYD, DAN, "eve")

    def add(t: float, event: str, **fields: Any) -> None:
        lines.append({"event": event, "t": t, **fields})

    for user in users:
        device = f"{user}-1"
        add(0.0, "member", conversation=C, user=user, present=True)
        add(0.0, "start", device=device, user=user, conversation=C, seq=0)
        add(0.1, "opened", device=device, user=user, connection=f"{user}-a", instance="one")
        add(0.2, "synced", device=device, user=user, connection=f"{user}-a")
    add(30.0, "fault", name="kill", target="one", on=True)
    add(30.0, "closed", device="ben-1", user=BEN, connection="ben-a", code=1006, clean=False)
    add(30.5, "opened", device="ben-1", user=BEN, connection="ben-b", instance="two", resumed=True)
    add(31.0, "synced", device="ben-1", user=BEN, connection="ben-b")
    add(31.0, "opened", device="cyd-1", user=CYD, connection="cyd-b", instance="two", resumed=True)
    add(31.1, "synced", device="cyd-1", user=CYD, connection="cyd-b")
    add(31.2, "closed", device="cyd-1", user=CYD, connection="cyd-a", code=1012, clean=True)
    add(33.0, "fault", name="kill", target="one", on=False)
    add(40.0, "closed", device="dan-1", user=DAN, connection="dan-a", code=1000, clean=True)
    add(50.0, "member", conversation=C, user="eve", present=False)
    add(56.0, "presence", device="ann-1", user=ANN, about=DAN, online=False)
    for seq in range(1, 101):
        t, sender = float(seq), (ANN, BEN, CYD)[seq % 3]
        what = {"conversation": C, "key": f"k{seq}", "digest": digest(f"text {seq}")}
        add(t, "send", device=f"{sender}-1", user=sender, **what)
        add(t + 0.05, "ack", device=f"{sender}-1", user=sender, conversation=C, key=f"k{seq}", seq=seq, duplicate=False)
        for user in users:
            if (user == DAN and seq >= 40) or (user == "eve" and seq >= 50):
                continue
            shown_at = 31.05 if user == BEN and 30 <= t < 31.05 else t + 0.06
            for event in ("received", "shown"):
                add(shown_at, event, device=f"{user}-1", user=user, seq=seq, sender=sender, **what)
        add(END, "stored", seq=seq, sender=sender, **what)
        if seq >= 40:
            add(END, "stored_notification", conversation=C, seq=seq, user=DAN)
    add(60.0, "read", device="ben-1", user=BEN, conversation=C, seq=50)
    for user in (ANN, CYD):
        add(60.1, "cursor", device=f"{user}-1", user=user, about=BEN, conversation=C, seq=50)
        add(70.1, "cursor", device=f"{user}-1", user=user, about=BEN, conversation=C, seq=60)
    add(END, "stored_cursor", user=BEN, conversation=C, seq=60)
    for user in users:
        add(END, "stored_presence", user=user, online=user != DAN)
    add(END, "reading")
    add(END, "end")
    return sorted(lines, key=lambda line: line["t"])


def swap_shown(lines: list[Line]) -> list[Line]:
    """Ben's device shows 41 before 40."""
    (first,), (second,) = (only(lines, "shown", device="ben-1", seq=seq) for seq in (40, 41))
    first["t"], second["t"] = second["t"], first["t"]
    return sorted(lines, key=lambda line: line["t"])


def swap_stored(lines: list[Line]) -> list[Line]:
    """Everybody agrees that what was said later comes first."""
    for line in lines:
        if line.get("seq") in (70, 71) and line["event"] in ("ack", "stored", "received", "shown"):
            line["seq"] = 141 - line["seq"]
    return sorted(lines, key=lambda line: (line["t"], line.get("seq", 0)))


K40 = {"key": "k40", "digest": digest("text 40")}
MUTATIONS: dict[str, tuple[str, Callable[[list[Line]], list[Line]]]] = {
    "an acknowledged message is not in the store": ("I1", lambda x: drop(x, "stored", seq=100)),
    "an acknowledged message is stored under another seq": ("I1", lambda x: change(x, "ack", {"key": "k100"}, seq=101)),
    "an acknowledged message is stored with another body": ("I1", lambda x: change(x, "stored", {"seq": 9}, digest="other")),
    "the store has a message that no client sent": (
        "I2",
        lambda x: more(x, END, "stored", conversation=C, seq=101, sender=ANN, key="ghost", digest="x"),
    ),
    "what was refused for good is stored": (
        "I2",
        lambda x: more(drop(x, "ack", key="k99"), 99.1, "refused", device="ann-1", user=ANN, conversation=C, key="k99", code="x"),
    ),
    "a send is stored twice": ("I3", lambda x: more(x, END, "stored", conversation=C, seq=101, sender=BEN, **K40)),
    "a send is answered with two seqs": (
        "I3",
        lambda x: more(x, 90, "ack", device="ben-1", user=BEN, conversation=C, key="k40", seq=41),
    ),
    "the store has a gap": ("I4", lambda x: change(x, "stored", {"seq": 100}, seq=102)),
    "a seq is there twice": ("I4", lambda x: more(x, END, "stored", conversation=C, seq=40, sender=BEN, **K40)),
    "what was said later comes first": ("I5", swap_stored),
    "a device shows a message twice": (
        "I6",
        lambda x: more(x, 80.0, "shown", device="ben-1", user=BEN, conversation=C, seq=40, sender=BEN, **K40),
    ),
    "a device skips a message": ("I6", lambda x: drop(x, "shown", device="ben-1", seq=40)),
    "a device shows two messages in the wrong order": ("I6", swap_shown),
    "a device shows another body": ("I6", lambda x: change(x, "shown", {"device": "ben-1", "seq": 40}, digest="other")),
    "a device never shows the tail": ("I7", lambda x: drop(x, "shown", device="ben-1", seq=100)),
    "a device shows the tail too late": ("I7", lambda x: change(x, "shown", {"device": "ben-1", "seq": 100}, t=110.0)),
    "a device is not told what came while it was away": (
        "I7",
        lambda x: change(x, "shown", {"device": "ben-1", "seq": 31}, t=39.9) if only(x, "shown", device="ben-1", seq=31) else x,
    ),
    "a removed user hears more": (
        "I8",
        lambda x: more(
            x,
            60.1,
            "received",
            device="eve-1",
            user="eve",
            conversation=C,
            seq=60,
            sender=ANN,
            key="k60",
            digest=digest("text 60"),
        ),
    ),
    "a read cursor goes back": (
        "I9",
        lambda x: more(x, 71.0, "cursor", device="ann-1", user=ANN, about=BEN, conversation=C, seq=40),
    ),
    "an acknowledged read is not in the store": ("I9", lambda x: change(x, "stored_cursor", {"user": BEN}, seq=49)),
    "a user flickers": ("I10", lambda x: more(x, 32.0, "presence", device="ann-1", user=ANN, about=BEN, online=False)),
    "a user is said to be online long after the end": (
        "I10",
        lambda x: more(x, 150.0, "presence", device="ann-1", user=ANN, about=DAN, online=True),
    ),
    "who is connected is offline in the end": ("I10", lambda x: change(x, "stored_presence", {"user": BEN}, online=False)),
    "who is gone is online in the end": ("I10", lambda x: change(x, "stored_presence", {"user": DAN}, online=True)),
    "who was away is not notified": ("I11", lambda x: drop(x, "stored_notification", seq=70)),
    "who was there is notified": ("I11", lambda x: more(x, END, "stored_notification", conversation=C, seq=70, user=BEN)),
    "a user is notified twice": ("I11", lambda x: more(x, END, "stored_notification", conversation=C, seq=70, user=DAN)),
    "after the fault sends are not acknowledged": (
        "I12",
        lambda x: more(x, 90.0, "send", device="ann-1", user=ANN, conversation=C, key="lost", digest="x"),
    ),
    "after the fault sends take long": ("I12", lambda x: change(x, "ack", {"key": "k95"}, t=101.5)),
}


ONLY_LATE = {
    "a device shows the tail too late",
    "who is connected is offline in the end",
    "who is gone is online in the end",
    "after the fault sends take long",
}


def test_a_good_history_holds_and_exercises_everything(tmp_path: Path) -> None:
    """Otherwise the mutations below would prove nothing."""
    verdict = verdict_of(tmp_path, good())
    assert verdict.violations == []
    assert verdict.holds
    assert all(verdict.checked.values()), verdict.checked


@pytest.mark.parametrize("what", MUTATIONS)
def test_each_mutation_is_caught(tmp_path: Path, what: str) -> None:
    """By the invariant that forbids it (others may notice, too)."""
    invariant, mutate = MUTATIONS[what]
    verdict = verdict_of(tmp_path, mutate(good()))
    assert verdict.counts[invariant] > 0, verdict.violations
    assert not verdict.holds
    assert invariant in {violation.invariant for violation in verdict.violations}
    assert verdict.is_only_late is (what in ONLY_LATE), "only what was too slow may be tried again"


def test_who_is_connected_to_an_instance_that_stands_still_may_be_called_away(tmp_path: Path) -> None:
    """The other end does not answer; but only for users of that instance, and only for that long."""
    frozen = more(
        more(good(), 60.0, "fault", name="freeze", target="one", on=True), 80.0, "fault", name="freeze", target="one", on=False
    )
    called_away = more(frozen, 78.0, "presence", device="ben-1", user=BEN, about=ANN, online=False)
    notified = more(called_away, END, "stored_notification", conversation=C, seq=70, user=ANN)
    assert verdict_of(tmp_path, notified).holds
    other = more(notified, 78.0, "presence", device="ann-1", user=ANN, about=BEN, online=False)
    assert verdict_of(tmp_path, other).counts["I10"] == 1


def test_instance_that_stood_still_may_tell_an_absence_that_is_over(tmp_path: Path) -> None:
    """Its clients hear of it when it goes on; a client of another instance was told in time, or not at all."""
    lines = more(good(), 60.0, "opened", device="dan-1", user=DAN, connection="dan-b", instance="two", resumed=True)
    lines = more(lines, 60.1, "synced", device="dan-1", user=DAN, connection="dan-b")
    lines = change(lines, "stored_presence", {"user": DAN}, online=True)
    told = more(lines, 80.2, "presence", device="ann-1", user=ANN, about=DAN, online=False)
    frozen = more(
        more(told, 50.0, "fault", name="freeze", target="one", on=True), 80.0, "fault", name="freeze", target="one", on=False
    )

    assert verdict_of(tmp_path, told).counts["I10"] == 1
    assert verdict_of(tmp_path, frozen).counts["I10"] == 0
    elsewhere = more(frozen, 80.3, "presence", device="ben-1", user=BEN, about=DAN, online=False)
    assert verdict_of(tmp_path, elsewhere).counts["I10"] == 1


@pytest.mark.parametrize(
    ("synced_at", "fault", "is_found"),
    [(None, "", False), (50.05, "", True), (58.0, "", True), (58.0, "store-frozen", False)],
    ids=["never synced", "synced at once", "synced late in calm", "synced when the store was back"],
)
def test_connection_that_the_store_does_not_know_of_yet_does_not_end_an_absence(
    tmp_path: Path, synced_at: float | None, fault: str, is_found: bool
) -> None:
    """Dan leaves at 40 s, and Ann hears it at 56 s: that is right unless Dan was there again meanwhile."""
    lines = more(good(), 50.0, "opened", device="dan-1", user=DAN, connection="dan-b", instance="two", resumed=True)
    if synced_at is not None:
        lines = more(lines, synced_at, "synced", device="dan-1", user=DAN, connection="dan-b")
    lines = more(lines, 60.0, "closed", device="dan-1", user=DAN, connection="dan-b", code=1000, clean=True)
    if fault:
        lines = more(more(lines, 49.0, "fault", name=fault, on=True), 57.9, "fault", name=fault, on=False)

    assert verdict_of(tmp_path, lines).counts["I10"] == is_found


def test_a_user_who_came_between_a_commit_and_its_late_acknowledgement_may_be_notified(tmp_path: Path) -> None:
    """The first answer was lost, and the retry was acknowledged when the user was connected again; the commit was before that."""
    lines = drop(good(), "closed", device="dan-1")
    lines = more(lines, 40.0, "closed", device="dan-1", user=DAN, connection="dan-a", code=1000, clean=True)
    lines = more(lines, 95.0, "opened", device="dan-1", user=DAN, connection="dan-b", instance="two", resumed=True)
    lines = more(lines, 95.1, "synced", device="dan-1", user=DAN, connection="dan-b")
    lines = change(lines, "stored_presence", {"user": DAN}, online=True)
    late = change(lines, "ack", {"key": "k90"}, t=97.0)
    violations = verdict_of(tmp_path, late).violations
    notified = {each.message.rpartition("/")[2] for each in violations if each.invariant == "I11"}
    assert notified == {str(seq) for seq in range(96, 101)}, "only what was sent while the user was connected"


def test_others_may_hear_of_a_connection_from_when_it_was_asked_for(tmp_path: Path) -> None:
    """Its own client, one of thousands here, may see it open seconds later, or never; before that they may not."""
    heard = more(good(), 140.0, "presence", device="ann-1", user=ANN, about=DAN, online=True)
    asked = more(heard, 139.0, "opening", device="dan-1", user=DAN)
    in_vain = more(asked, 141.0, "opening", device="dan-1", user=DAN)
    long_given_up = more(heard, 80.0, "opening", device="dan-1", user=DAN)
    assert verdict_of(tmp_path, long_given_up).counts["I10"] == 1
    too_early = more(heard, 140.1, "opening", device="dan-1", user=DAN)
    assert [verdict_of(tmp_path, history).counts["I10"] for history in (asked, in_vain, too_early)] == [0, 0, 1]
    opened = more(asked, 144.0, "opened", device="dan-1", user=DAN, connection="dan-b", instance="two")
    opened = change(opened, "stored_presence", {"user": DAN}, online=True)
    assert verdict_of(tmp_path, opened).counts["I10"] == 0


def test_every_invariant_has_a_mutation() -> None:
    assert {invariant for invariant, _ in MUTATIONS.values()} == set(INVARIANTS)


def test_figures(tmp_path: Path) -> None:
    """Of the good history: late messages, users without a connection, close codes."""
    verdict_of(tmp_path, good())
    figures = measure(Run(*read_history(tmp_path / "history.jsonl")))
    assert (figures.sends, figures.acknowledged, figures.lost, figures.doubled, figures.disordered) == (100, 100, 0, 0, 0)
    assert (figures.reconnect.count, figures.reconnect.max, figures.longest_gap) == (1, 1.0, 1.0)
    assert figures.closes == {"1000": 1, "1006": 1, "1012": 1}
    assert figures.ack.p99 == pytest.approx(0.05)


def test_an_absence_that_its_user_wanted_is_no_slow_reconnect(tmp_path: Path) -> None:
    """Ben leaves before the replay is over, and comes back ten seconds later."""
    history = more(
        drop(good(), "synced", connection="ben-b"), 30.9, "closed", device="ben-1", user=BEN, connection="ben-b", code=1000
    )
    history = more(history, 40.5, "opened", device="ben-1", user=BEN, connection="ben-c", instance="two", resumed=True)
    verdict_of(tmp_path, more(history, 41.0, "synced", device="ben-1", user=BEN, connection="ben-c"))
    figures = measure(Run(*read_history(tmp_path / "history.jsonl")))
    assert (figures.reconnect.count, figures.longest_gap) == (0, 0.9)


def test_the_command_judges_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 it holds, 1 it does not, 2 it is no history."""
    verdict_of(tmp_path, good())
    assert main(["drill", "check", str(tmp_path / "history.jsonl")]) == 0
    assert "test: holds" in capsys.readouterr().out
    verdict_of(tmp_path, drop(good(), "stored", seq=100))
    assert main(["drill", "check", str(tmp_path / "history.jsonl"), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["invariants"]["I1"]["violated"] == 1
    assert told["figures"]["lost"] == 1
    (tmp_path / "history.jsonl").write_text("no history\n")
    assert main(["drill", "check", str(tmp_path / "history.jsonl")]) == 2
    assert main(["drill", "check", str(tmp_path / "none")]) == 2


def test_a_broken_line_is_named_and_an_unknown_event_is_counted(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, more(good(), 1.0, "invented-later", colour="blue"))
    assert verdict.holds
    assert verdict.unknown == 1
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write("{\n")
    with pytest.raises(HistoryUnreadable, match=r"line \d+"):
        judge(*read_history(tmp_path / "history.jsonl"))


def test_connection_ends_with_its_instance_whenever_its_client_closes_it(tmp_path: Path) -> None:
    """Packets to a pod that is gone are answered by none: the client notices late, or leaves before it does."""
    lines: list[Line] = [
        {"event": "opened", "t": 1.0, "device": "ann-1", "user": "ann", "connection": "a", "instance": "one"},
        {"event": "synced", "t": 1.1, "device": "ann-1", "user": "ann", "connection": "a"},
        {"event": "fault", "t": 5.0, "name": "pod-kill", "target": "one", "on": True},
        {"event": "closed", "t": 8.0, "device": "ann-1", "user": "ann", "connection": "a", "code": 1000, "clean": True},
        {"event": "fault", "t": 9.0, "name": "pod-kill", "target": "one", "on": False},
        {"event": "presence", "t": 20.0, "device": "ben-1", "user": "ben", "about": "ann", "online": False},
        {"event": "end", "t": 60.0},
    ]
    verdict = verdict_of(tmp_path, lines)
    assert verdict.counts["I10"] == 0, verdict.violations
    verdict = verdict_of(tmp_path, [line for line in lines if line["event"] != "fault"])
    assert verdict.counts["I10"] == 1, "twelve seconds after the end of the connection"
