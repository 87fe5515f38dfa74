"""I6: what each device showed of each conversation, from the position at which its user's membership began.

A device shows one run of consecutive messages for each membership. A run begins at the latest with the first message that was
sent after the membership was acknowledged; where the client was told a position, it begins right after that. With a new
membership a new run may begin, and shows nothing again that was acknowledged before that membership was asked for.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable

from holdfast.drills.checker.run import Device, Run, Sent
from holdfast.drills.checker.verdict import Verdict
from holdfast.drills.history import Event


def check(run: Run, verdict: Verdict) -> None:
    """Judge every device."""
    dues = {conversation: _Dues(placed) for conversation, placed in run.placed.items()}
    for name, device in run.devices.items():
        for conversation, stream in device.stream.items():
            _Stream(run, verdict, name, device, conversation).check(stream)
        for conversation, notices in device.notices.items():
            _check_notices(run, verdict, name, device, notices, dues.get(conversation, _Dues({})))


class _Stream:
    """One device and one conversation."""

    def __init__(self, run: Run, verdict: Verdict, name: str, device: Device, conversation: str) -> None:
        self._run = run
        self._verdict = verdict
        self._device = device
        self._conversation = conversation
        self._memberships = run.memberships.of(conversation, device.user)
        self._at: int | None = None
        self._shown: set[int] = set()
        self._restarts = 0
        self._restarted_at = math.inf
        self._name = f"{name} in {conversation}"

    def check(self, stream: Iterable[Event]) -> None:
        """The messages that were shown, in order."""
        for event in stream:
            if event.event == "start":
                self._at = event.seq
            elif event.event == "reset":
                self._at = event.head
                self._shown = {seq for seq in self._shown if seq <= event.head}
            elif event.event == "skipped":
                self._at = max(self._at or 0, event.last)
                self._shown.update(range(event.first, event.last + 1))
            else:
                self._check_next(event)
                self._check_stored(event)
                self._at = event.seq
                self._shown.add(event.seq)

    def _check_next(self, event: Event) -> None:
        if self._at is None or event.seq != self._at + 1:
            is_allowed = self._at is None or self._may_restart(event)
            self._expect(event, is_allowed, f"was at {self._at} and showed {event.seq}")
            if is_allowed:
                self._check_beginning(event)
        else:
            self._expect(event, True, "")
        if event.seq in self._shown:
            acked_at = self._run.acked_at.get((self._conversation, event.seq), math.inf)
            self._expect(event, acked_at >= self._restarted_at, f"showed {event.seq} again")

    def _may_restart(self, event: Event) -> bool:
        """Once for each new membership."""
        renewed = [each.asked_at for each in self._memberships[1:] if each.asked_at <= event.t]
        if len(renewed) <= self._restarts:
            return False
        self._restarts += 1
        self._restarted_at = renewed[-1]
        return True

    def _check_beginning(self, event: Event) -> None:
        """The first message of a run."""
        current = next((each for each in self._memberships if each.covers(event.t, event.t)), None)
        if current is not None:
            missed = self._missed(event.seq, max(current.since, self._device.hears_from))
            self._expect(event, missed is None, f"showed {event.seq} and not {missed}, sent after the membership began")
        told = self._positions_told(event.t)
        if told:
            self._expect(event, event.seq - 1 in told, f"was told to begin after {sorted(told)} and showed {event.seq}")

    def _missed(self, before: int, since: float) -> int | None:
        """The first message that had to be shown earlier."""
        placed = self._run.placed[self._conversation]
        for seq in range(self._device.starts.get(self._conversation, 0) + 1, before):
            if seq not in self._shown and seq in placed and placed[seq].invoked_at > since:
                return seq
        return None

    def _positions_told(self, t: float) -> set[int]:
        """By the notices of this connection; a client that has connected since may have another position."""
        connected_at = max((line.synced_at for line in self._device.lines.values() if line.synced_at <= t), default=-math.inf)
        notices = self._device.notices.get(self._conversation, ())
        return {each.seq for each in notices if connected_at < each.t <= t and self._device.is_beginning(each)}

    def _check_stored(self, event: Event) -> None:
        if self._run.has_store:
            stored = self._run.stored[self._conversation].get(event.seq)
            is_it = stored is not None and (stored.sender, stored.key, stored.digest) == (event.sender, event.key, event.digest)
            self._expect(event, is_it, f"showed {event.seq} otherwise than it is stored")

    def _expect(self, event: Event, is_kept: bool, message: str) -> None:
        self._verdict.check("I6", is_kept, event.t, f"{self._name} {message}")


class _Dues:
    """Of one conversation: the first message that was sent after a moment."""

    def __init__(self, placed: dict[int, Sent]) -> None:
        ordered = sorted((sent.invoked_at, seq) for seq, sent in placed.items())
        self._times = [t for t, _ in ordered]
        self._lowest = [seq for _, seq in ordered]
        for index in range(len(ordered) - 2, -1, -1):
            self._lowest[index] = min(self._lowest[index], self._lowest[index + 1])

    def after(self, t: float) -> float:
        """The smallest seq that was sent after `t`, infinite where none was."""
        index = bisect_right(self._times, t)
        return self._lowest[index] if index < len(self._lowest) else math.inf


def _check_notices(run: Run, verdict: Verdict, name: str, device: Device, notices: list[Event], dues: _Dues) -> None:
    """A position that the client was told lies before everything that was sent after its membership began."""
    for notice in notices:
        membership = run.memberships.latest(notice.conversation, device.user, notice.t)
        if membership is None or math.isinf(membership.since) or notice.t >= membership.leaving_at:
            continue
        is_unnoticed = run.restores.is_unnoticed(notice.conversation, notice.t, device.generation_at(notice.t))
        if notice.conversation in run.restores.at and (notice.t <= run.restores.renewed_at or is_unnoticed):
            continue  # a position in what the restore took away
        told = [] if notice.joined is None else [notice.joined]
        if device.is_beginning(notice) and not device.has_received(notice.conversation, membership.asked_at, notice.t):
            told.append(notice.seq)
        due = dues.after(membership.since)
        for position in told:
            message = f"{name} was told to begin after {position} of {notice.conversation}, and {due} was sent after it joined"
            verdict.check("I6", position < due, notice.t, message)
