"""I9: read cursors never go back, and each advance is told to the members who are connected.

Where a cursor moves over messages of its own user only, no receipt is due. So an advance is named by the last message of another
user that it covers. That a cursor covers a message is known from an acknowledged read, and from the store. It moved between the
commit of that message and the acknowledgement of the read, or of the user's last message. Sending counts as reading, except by
REST: up to what the user had read when writing, so a message far behind it may be the cause. Each device of another member that
was connected from the one until the delivery bound after the other has to be told, unless the conversation began for the device
meanwhile: its client fetches the cursors then.

Both outcomes are right, and counted as `open`, where an instance died around the acknowledgement, with what it had not told yet,
where the store was being restored, and where no acknowledgement shows when the cursor moved. So is an advance by sending where an
instance may run a version without `read_seq`, and a read of messages that the user had answered.
"""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from holdfast.drills.checker.commits import Commit, commits_of
from holdfast.drills.checker.faults import Settling
from holdfast.drills.checker.run import Device, Run
from holdfast.drills.checker.verdict import Verdict
from holdfast.drills.history import READ_SEQ, Event

_INDICATOR_MEMBERS: Final = 100  # in larger conversations the others are not told
_DEATH_S: Final = 4.0  # what an instance acknowledged so shortly before its end it may not have told

_Told = dict[tuple[str, str, str], list[tuple[float, int]]]
"""(device, user, conversation) -> when the device was told of the user's cursor, and where it was."""


@dataclass(frozen=True, slots=True)
class _Advance:
    """A cursor that came to cover the message `seq` of another user. `latest`: infinite where no acknowledgement shows it."""

    user: str
    seq: int
    earliest: float
    latest: float


def check(run: Run, verdict: Verdict) -> None:
    """Judge what devices heard of cursors, what readers were told, and what is stored."""
    _check_forward(run, verdict)
    _check_stored(run, verdict)
    if run.final_cursors:
        _check_told(run, verdict)


def _check_forward(run: Run, verdict: Verdict) -> None:
    seen: dict[tuple[str, str, str], int] = {}
    for event in run.known_cursors:
        key = (event.device, event.about, event.conversation)
        before = seen.get(key, 0)
        message = f"{event.device} saw {event.about}'s cursor in {event.conversation} go from {before} to {event.seq}"
        verdict.check("I9", event.seq >= before, event.t, message)
        seen[key] = max(before, event.seq)


def _check_stored(run: Run, verdict: Verdict) -> None:
    """Acknowledged reads are stored; receipts that others got are stored, too."""
    known: dict[tuple[str, str], int] = {}
    for event in run.reads:
        known[event.user, event.conversation] = max(event.seq, known.get((event.user, event.conversation), 0))
    restored = run.restores  # a device that left before its `reset` was told of cursors that are not stored any more
    for event in (each for each in run.known_cursors if each.conversation not in restored.at or each.t >= restored.renewed_at):
        known[event.about, event.conversation] = max(event.seq, known.get((event.about, event.conversation), 0))
    for (user, conversation), seq in known.items():
        if (user, conversation) in run.final_cursors:
            stored = run.final_cursors[user, conversation]
            message = f"{user} read up to {seq} of {conversation}, and the store says {stored}"
            verdict.check("I9", stored >= seq, run.end, message)


def _check_told(run: Run, verdict: Verdict) -> None:
    told, still_told = _told(run.cursors), _told(run.known_cursors)
    settling, is_told = Settling(run), READ_SEQ not in run.lacks
    reads: dict[tuple[str, str], list[tuple[float, int]]] = defaultdict(list)
    for event in run.reads:
        reads[event.conversation, event.user].append((event.t, event.seq))
    for conversation, commits in commits_of(run).items():
        members = run.memberships.users_of(conversation)
        if not commits or not run.memberships.knows(conversation) or len(members) > _INDICATOR_MEMBERS:
            continue
        devices = [(name, device) for name, device in run.devices.items() if device.user in members]
        for user in members:
            stored = run.final_cursors.get((user, conversation), 0)
            for advance in _advances(commits, user, reads.get((conversation, user), []), stored, is_told=is_told):
                began = min(advance.earliest, advance.latest)  # read before it was sent: of the messages that were taken away
                is_in_restore = run.restores.is_under_way(conversation, began, advance.latest)
                has_death = settling.has_death(advance.latest - _DEATH_S, advance.latest + _DEATH_S)
                if math.isinf(advance.latest) or has_death or is_in_restore:
                    verdict.count("receipts", "open")
                    continue
                deadline = settling.deadline(advance.latest, advance.latest)
                was_before = advance.latest < run.restores.at.get(conversation, math.inf)
                _check_advance(run, verdict, conversation, advance, deadline, devices, told if was_before else still_told)


def _told(cursors: Iterable[Event]) -> _Told:
    told: _Told = defaultdict(list)
    for event in cursors:
        told[event.device, event.about, event.conversation].append((event.t, event.seq))
    return told


def _advances(
    commits: list[Commit], user: str, reads: list[tuple[float, int]], stored: int, *, is_told: bool
) -> Iterator[_Advance]:
    """Each that the cursor made, as far as it is known. `is_told`: also where a message of the user's own moved it."""
    others = [commit for commit in commits if commit.sender != user]
    own = [commit for commit in commits if commit.sender == user and commit.is_reading]
    seqs = [commit.seq for commit in others]
    covered = 0
    for t, seq in reads:
        index = bisect_right(seqs, seq) - 1
        if index >= 0 and others[index].seq > covered:
            covered = others[index].seq
            was_moved = any(each.seq >= seq and each.earliest <= t for each in own)
            yield _Advance(user, covered, others[index].earliest, t if is_told or not was_moved else math.inf)
    index = bisect_right(seqs, stored) - 1
    if index >= 0 and others[index].seq > covered:
        last = others[index]
        by = [each.latest for each in own if is_told and each.seq > last.seq]
        yield _Advance(user, last.seq, last.earliest, max(by, default=math.inf))


def _check_advance(
    run: Run,
    verdict: Verdict,
    conversation: str,
    advance: _Advance,
    deadline: float,
    devices: list[tuple[str, Device]],
    told: _Told,
) -> None:
    if deadline > run.read_at or not run.memberships.is_member(conversation, advance.user, advance.earliest, deadline):
        return
    entered_by = advance.earliest - run.bounds.removal_s  # the notice of a membership shows the cursors of before it
    for name, device in devices:
        if device.user == advance.user or not run.memberships.is_member(conversation, device.user, entered_by, deadline):
            continue
        closed_at = _connected_until(device, advance.earliest, deadline)
        if closed_at is None or _entered_after(device, conversation, advance.earliest, deadline):
            continue
        heard = [seq for t, seq in told.get((name, advance.user, conversation), ()) if t <= closed_at]
        verdict.count("receipts", "told")
        message = (
            f"{name} was not told that {advance.user} has read {conversation} up to {advance.seq}, but {max(heard, default=0)}"
        )
        verdict.check("I9", max(heard, default=0) >= advance.seq, advance.latest, message)


def _connected_until(device: Device, begin: float, end: float) -> float | None:
    """When the connection ended that was open all that time; None where there was none."""
    return next((line.closed_at for line in device.lines.values() if line.synced_at <= begin and line.closed_at >= end), None)


def _entered_after(device: Device, conversation: str, t: float, by: float) -> bool:
    """Whether the conversation began for the device in that time. A change of members may wait for a store that is away."""
    begun = [each.t for each in device.notices.get(conversation, ()) if t < each.t <= by and device.is_beginning(each)]
    return bool(begun) and not device.has_received(conversation, -math.inf, math.nextafter(begun[0], 0.0))
