"""The checker judges a device from the position at which its user's membership began; violations of this are caught."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast.drills.history import digest
from support.histories import Line, change, drop, more, only, verdict_of

C, ANN, BEN, CYD, DAN, EVE, FAY, GUS = "c1", "ann", "ben", "cyd", "dan", "eve", "fay", "gus"
END = 60.0
CREATED, ADDED, REMOVED, ADDED_AGAIN = (10.0, 10.1), (20.0, 20.2), (30.0, 30.2), (35.0, 35.2)  # asked for, acknowledged
LAST = 40


def sent_at(seq: int) -> float:
    """The first one right after the creation; 11, 21 and 26 while members change."""
    return 9.11 + seq


def message(seq: int) -> Line:
    """What all events of a message say."""
    return {"conversation": C, "key": f"k{seq}", "digest": digest(f"text {seq}")}


def good() -> list[Line]:
    """Ann creates a conversation with ben and cyd and writes once a second, the first time at once.

    Dan is added at 20 s. Eve is added then, too, and connects at 40 s for the first time; fay is added and never connects;
    whether gus was added is not known. Cyd is removed at 30 s and added again at 35 s. Ben has a second device from 15 s on
    that asks for no replay.
    """
    lines: list[Line] = []

    def add(t: float, event: str, **fields: Any) -> None:
        lines.append({"event": event, "t": t, **fields})

    def members(when: tuple[float, float], *users: str, present: bool = True) -> None:
        for user in users:
            add(when[0], "asking", conversation=C, user=user, present=present)
            add(when[1], "member", conversation=C, user=user, present=present)

    def connect(t: float, device: str, *, resumed: bool = True) -> None:
        user = device.partition("-")[0]
        add(t, "opened", device=device, user=user, connection=device, instance="one", resumed=resumed)
        add(t + 0.1, "synced", device=device, user=user, connection=device)

    def told(t: float, user: str, name: str, position: int) -> None:
        add(t, "notice", device=f"{user}-1", user=user, conversation=C, name=name, about=user, seq=position, joined=position)

    def shown(device: str, *seqs: int, since: float = 0.0) -> None:
        user = device.partition("-")[0]
        for seq in seqs:
            for event in ("received", "shown"):
                add(max(since, sent_at(seq) + 0.2), event, device=device, user=user, seq=seq, sender=ANN, **message(seq))

    for user in (ANN, BEN, CYD, DAN, GUS):
        connect(1.0, f"{user}-1")
    connect(15.0, "ben-2", resumed=False)
    connect(40.0, "eve-1")
    members(CREATED, ANN, BEN, CYD)
    members(ADDED, DAN, EVE, FAY)
    members(REMOVED, CYD, present=False)
    members(ADDED_AGAIN, CYD)
    add(ADDED[0], "asking", conversation=C, user=GUS, present=True)
    for user in (ANN, BEN, CYD):
        told(10.12, user, "created", 0)
    told(20.21, DAN, "member_added", 10)
    told(35.21, CYD, "member_added", 25)
    for seq in range(1, LAST + 1):
        add(sent_at(seq), "send", device="ann-1", user=ANN, **message(seq))
        add(sent_at(seq) + 0.05, "ack", device="ann-1", user=ANN, conversation=C, key=f"k{seq}", seq=seq, duplicate=False)
        add(END, "stored", seq=seq, sender=ANN, **message(seq))
    shown("ann-1", *range(1, LAST + 1))
    shown("ben-1", *range(1, LAST + 1))
    shown("ben-2", *range(6, LAST + 1))
    shown("cyd-1", *range(1, 22), *range(26, LAST + 1))
    shown("dan-1", *range(11, LAST + 1))
    shown("eve-1", *range(11, LAST + 1), since=40.2)
    return sorted(lines, key=lambda line: line["t"])


def unshown(lines: list[Line], device: str, *seqs: int) -> list[Line]:
    """The device received and showed none of these."""
    gone = {id(line) for line in lines if line["event"] in ("received", "shown") and line["device"] == device}
    return [line for line in lines if id(line) not in gone or line["seq"] not in seqs]


def shown_at(lines: list[Line], t: float, device: str, *seqs: int) -> list[Line]:
    """The device shows these, too, one right after the other."""
    for number, seq in enumerate(seqs):
        user = device.partition("-")[0]
        lines = more(lines, t + number / 10_000, "shown", device=device, user=user, seq=seq, sender=ANN, **message(seq))
    return lines


def until(lines: list[Line], seq: int) -> list[Line]:
    """Nothing was written after this message."""
    return [line for line in lines if line.get("key", "") not in {f"k{later}" for later in range(seq + 1, LAST + 1)}]


def refused(lines: list[Line], user: str, t: float, code: str = "conversation_not_found") -> list[Line]:
    """A send of the user is answered like this."""
    what = {"device": f"{user}-1", "user": user, "conversation": C, "key": "mine"}
    return more(more(lines, t, "send", digest="x", **what), t + 0.05, "refused", code=code, **what)


def accepted(lines: list[Line], user: str, t: float) -> list[Line]:
    """A send of the user is stored as the next one."""
    what = {"device": f"{user}-1", "user": user, "conversation": C, "key": "mine"}
    sent = more(more(lines, t, "send", digest="x", **what), t + 0.05, "ack", seq=LAST + 1, duplicate=False, **what)
    return more(sent, END, "stored", conversation=C, key="mine", digest="x", seq=LAST + 1, sender=user)


def untold(lines: list[Line]) -> list[Line]:
    """As of a service that tells no positions."""
    return drop(lines, "notice")


EVERYTHING = range(1, LAST + 1)

MUTATIONS: dict[str, tuple[str, Callable[[list[Line]], list[Line]]]] = {
    "a member since the creation never shows the first message": ("I6", lambda x: unshown(untold(x), "ben-1", 1)),
    "a member since the creation shows nothing": ("I7", lambda x: unshown(untold(x), "ben-1", *EVERYTHING)),
    "the only message of a conversation is not shown": ("I7", lambda x: until(unshown(untold(x), "ben-1", 1), 1)),
    "a member since the creation is told to begin after the first message": (
        "I6",
        lambda x: change(x, "notice", {"device": "ben-1"}, seq=1, joined=1),
    ),
    "a new member does not show what was sent after the addition": ("I6", lambda x: unshown(untold(x), "dan-1", 11, 12)),
    "a new member shows nothing": ("I7", lambda x: unshown(untold(x), "dan-1", *EVERYTHING)),
    "a new member is told to begin after a message that was sent after the addition": (
        "I6",
        lambda x: change(x, "notice", {"device": "dan-1"}, seq=12, joined=None),
    ),
    "a position of the membership lies after such a message": (
        "I6",
        lambda x: more(x, 45.0, "notice", device="dan-1", user=DAN, conversation=C, name="updated", seq=30, joined=12),
    ),
    "a new member begins later than after the position that was told": ("I6", lambda x: unshown(x, "dan-1", 11)),
    "a new member begins earlier than after the position that was told": (
        "I6",
        lambda x: shown_at(x, 20.3, "dan-1", 9, 10),
    ),
    "a message after the position that was told is never shown, and is the last one": (
        "I7",
        lambda x: until(unshown(change(x, "ack", {"key": "k11"}, t=20.25), "dan-1", 11), 11),
    ),
    "a new member skips a message": ("I6", lambda x: unshown(x, "dan-1", 15)),
    "a new member who connects for the first time shows nothing": ("I7", lambda x: unshown(x, "eve-1", *EVERYTHING)),
    "a new member who connects for the first time misses a message": ("I6", lambda x: unshown(x, "eve-1", 11, 12)),
    "a user who was added again misses a message": ("I6", lambda x: unshown(untold(x), "cyd-1", 26, 27)),
    "a user who was added again shows nothing": ("I7", lambda x: unshown(untold(x), "cyd-1", *range(22, LAST + 1))),
    "a user who was added again shows everything again": (
        "I6",
        lambda x: shown_at(unshown(untold(x), "cyd-1", 26), 35.3, "cyd-1", *range(1, 27)),
    ),
    "a user who was added again skips twice": ("I6", lambda x: unshown(untold(x), "cyd-1", 30)),
    "a device without a replay misses what was sent after it was connected": ("I6", lambda x: unshown(x, "ben-2", 6)),
    "a device without a replay shows nothing": ("I7", lambda x: unshown(x, "ben-2", *EVERYTHING)),
    "an acknowledged message has no predecessor in the store": (
        "I4",
        lambda x: more(
            more(x, 50.0, "send", device="ann-1", user=ANN, conversation="c2", key="k", digest="x"),
            50.1,
            "ack",
            device="ann-1",
            user=ANN,
            conversation="c2",
            key="k",
            seq=51,
        ),
    ),
    "a removed user receives what was sent long after": ("I8", lambda x: received(x, CYD, 34.3, 25)),
    "a user who never was a member receives a message": ("I8", lambda x: received(x, "ivy", 34.3, 25)),
    "what a removed user sends is accepted": ("I8", lambda x: accepted(x, CYD, 34.0)),
    "what a user sends who never was a member is accepted": ("I8", lambda x: accepted(x, "ivy", 34.0)),
    "a new member's message is refused as a non-member's": ("I12", lambda x: refused(x, DAN, 20.21)),
    "a message of a member since the creation is refused so": ("I12", lambda x: refused(x, BEN, 10.2)),
}


def received(lines: list[Line], user: str, t: float, seq: int) -> list[Line]:
    """The user's device is sent this message."""
    return more(lines, t, "received", device=f"{user}-1", user=user, seq=seq, sender=ANN, **message(seq))


GOOD: dict[str, Callable[[list[Line]], list[Line]]] = {
    "as it is": lambda x: x,
    "a service that tells no positions": untold,
    "the whole history is shown on the first connection": lambda x: shown_at(x, 40.15, "eve-1", *range(1, 11)),
    "a new member is told an earlier position, and begins there": lambda x: change(
        shown_at(x, 20.3, "dan-1", 9, 10), "notice", {"device": "dan-1"}, seq=8, joined=8
    ),
    "a new member's position lies after a message that was sent during the addition": lambda x: change(
        unshown(x, "dan-1", 11), "notice", {"device": "dan-1"}, seq=11, joined=11
    ),
    "a user whose addition was not acknowledged shows what comes": lambda x: shown_at(x, 50.0, "gus-1", *range(11, LAST + 1)),
    "a user whose addition was not acknowledged is refused": lambda x: refused(x, GUS, 45.0),
    "a user is refused while being added": lambda x: refused(x, DAN, 20.1),
    "a user is refused while being removed": lambda x: refused(x, CYD, 29.99),
    "a removed user is refused": lambda x: refused(x, CYD, 34.0),
    "a member is refused for another reason": lambda x: refused(x, DAN, 22.0, "idempotency_conflict"),
    "a removed user still receives what was sent within the bound": lambda x: received(x, CYD, 32.0, 22),
    "a removal without an acknowledgement, and the user still receives everything": lambda x: shown_at(
        [
            line
            for line in unshown(x, "cyd-1", *range(22, LAST + 1))
            if line.get("user") != CYD or line["t"] not in (REMOVED[1], *ADDED_AGAIN)
        ],
        50.0,
        "cyd-1",
        *range(22, LAST + 1),
    ),
    "a removal without an acknowledgement, and the user receives nothing": lambda x: [
        line
        for line in unshown(x, "cyd-1", *range(22, LAST + 1))
        if line.get("user") != CYD or line["t"] not in (REMOVED[1], *ADDED_AGAIN)
    ],
    "a removed user's device was away and goes on where it was": lambda x: shown_at(
        unshown(drop(x, "notice", device="cyd-1", t=35.21), "cyd-1", 26), 35.3, "cyd-1", *range(22, 27)
    ),
    "a message that was sent while the user was added again is shown a second time": lambda x: shown_at(
        unshown(change(x, "ack", {"key": "k26"}, t=35.3), "cyd-1", 26, 27), 36.2, "cyd-1", *range(22, 27), 26, 27
    ),
    "the device of a new member was closed at once": lambda x: more(
        unshown(x, "dan-1", *EVERYTHING), 22.0, "closed", device="dan-1", user=DAN, connection="dan-1", code=1000
    ),
    "two changes of one membership at the same time": lambda x: unshown(
        more(x, 20.1, "asking", conversation=C, user=DAN, present=False), "dan-1", *range(20, LAST + 1)
    ),
}


@pytest.mark.parametrize("what", GOOD)
def test_a_good_history_holds(tmp_path: Path, what: str) -> None:
    """A checker that cries wolf is switched off."""
    verdict = verdict_of(tmp_path, GOOD[what](good()))
    assert verdict.violations == []
    assert verdict.holds


@pytest.mark.parametrize("what", MUTATIONS)
def test_each_mutation_is_caught(tmp_path: Path, what: str) -> None:
    """By the invariant that forbids it, as a thing that no busy machine explains."""
    invariant, mutate = MUTATIONS[what]
    verdict = verdict_of(tmp_path, mutate(good()))
    assert verdict.counts[invariant] > 0, verdict.violations
    assert not verdict.is_only_late


def test_the_first_message_of_a_run_is_judged_once(tmp_path: Path) -> None:
    """One lost message is one violation of I6, however long the run is."""
    verdict = verdict_of(tmp_path, unshown(untold(good()), "ben-1", 1))
    assert verdict.counts["I6"] == 1


def test_the_good_history_has_what_the_mutations_change() -> None:
    """Otherwise a mutation would prove nothing."""
    assert len(only(good(), "notice")) == 5
    assert all(mutate(good()) != good() for _, mutate in MUTATIONS.values())


def test_notice_of_an_addition_obliges_a_device_without_replay_to_nothing_earlier(tmp_path: Path) -> None:
    """Its summary says where the membership of the device's own user begins, which may be long before the device connected."""
    what = {"conversation": C, "name": "member_added", "about": DAN, "seq": 10, "joined": 0}
    assert verdict_of(tmp_path, more(good(), 20.3, "notice", device="ben-2", user=BEN, **what)).violations == []
