"""I7 and I8: whether devices showed the tail, and what they received after a removal."""

import math
from collections import defaultdict
from collections.abc import Sequence

from holdfast.drills.checker.memberships import Membership
from holdfast.drills.checker.run import Device, Run, Sent, Spans
from holdfast.drills.checker.verdict import Verdict
from holdfast.drills.history import Event


def check(run: Run, verdict: Verdict) -> None:
    """Judge every device."""
    acked: dict[str, list[tuple[int, Sent]]] = defaultdict(list)
    for conversation, placed in run.placed.items():
        acked[conversation] = [(seq, sent) for seq, sent in sorted(placed.items()) if sent.acked_at < math.inf]
    for name, device in run.devices.items():
        for conversation in run.memberships.conversations_of(device.user):
            _Tail(run, verdict, name, device, conversation).check(acked[conversation])
        _check_removed(run, verdict, name, device)


class _Tail:
    """I7, of one device and one conversation, whether or not it ever showed anything of it.

    For every stretch of being connected: everything that was acknowledged long enough before its end.
    """

    def __init__(self, run: Run, verdict: Verdict, name: str, device: Device, conversation: str) -> None:
        self._run = run
        self._verdict = verdict
        self._device = device
        self._name = f"{name} showed {conversation}"
        self._memberships = run.memberships.of(conversation, device.user)
        self._shown: dict[int, float] = {}
        for event in device.stream.get(conversation, ()):
            if event.event == "shown":
                self._shown.setdefault(event.seq, event.t)
            elif event.event == "skipped":
                self._shown.update((seq, event.t) for seq in range(event.first, event.last + 1))
            elif event.event == "reset" and event.t >= run.restores.renewed_at:  # the application fetches all of it again
                self._shown = dict.fromkeys(range(1, event.head + 1), event.t) | {
                    seq: t for seq, t in self._shown.items() if seq <= event.head
                }
        self._known_from = [self._position(each, conversation) for each in self._memberships]
        self._stretches = Spans(
            (line.synced_at, min(line.closed_at, run.end)) for line in device.lines.values() if line.synced_at < math.inf
        )

    def check(self, acked: list[tuple[int, Sent]]) -> None:
        """All that was acknowledged, by seq."""
        for seq, sent in acked:
            for membership, known_from in zip(self._memberships, self._known_from, strict=True):
                if membership.since <= sent.acked_at < membership.leaving_at:
                    if seq >= known_from or sent.invoked_at > max(membership.since, self._device.hears_from):
                        self._check_one(seq, sent, membership)
                    break

    def _position(self, membership: Membership, conversation: str) -> float:
        """From which seq on the device shows everything, whenever it was sent, as far as the history tells."""
        notices: Sequence[Event] = self._device.notices.get(conversation, ())
        if membership.since < self._device.hears_from:
            notices = ()  # without a replay it shows nothing of before, wherever the membership begins
        told = [
            notice.joined + 1
            for notice in notices
            if notice.joined is not None and membership.since <= notice.t < membership.leaving_at
        ]
        position = max(told, default=math.inf)
        if membership is not self._memberships[0]:
            return position
        shown = (event for event in self._device.stream.get(conversation, ()) if event.event == "shown")
        first = next((event.seq for event in shown if event.t < membership.leaving_at), math.inf)
        start = self._device.starts.get(conversation)
        return min(position, first, math.inf if start is None else start + 1)

    def _check_one(self, seq: int, sent: Sent, membership: Membership) -> None:
        for begin, end in self._stretches.all:
            deadline = self._run.after_faults(max(sent.acked_at, begin), self._run.bounds.delivery_s)
            if deadline > end or sent.acked_at > end or not membership.covers(sent.acked_at, deadline):
                continue
            at = self._shown.get(seq, math.inf)
            late = f"{at - sent.acked_at:.1f} s after its ack" if at < math.inf else "never"
            self._verdict.check("I7", at <= deadline, deadline, f"{self._name}/{seq} {late}", is_late=at < math.inf)
            return


def _check_removed(run: Run, verdict: Verdict, name: str, device: Device) -> None:
    """I8, of every message that was received in a conversation whose members are known."""
    for event in device.received:
        sent = run.placed[event.conversation].get(event.seq)
        if sent is None or not run.memberships.knows(event.conversation):
            continue
        was_out = run.memberships.has_been_out(event.conversation, device.user, run.bounds.removal_s, sent.invoked_at, event.t)
        verdict.check("I8", not was_out, event.t, f"{name} received {event.conversation}/{event.seq}, sent after a removal")
