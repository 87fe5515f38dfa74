"""I6 to I9: what devices showed and heard."""

import math

from holdfast.drills.checker.run import Device, Run, Spans
from holdfast.drills.checker.verdict import Verdict


def check(run: Run, verdict: Verdict) -> None:
    """Judge every device."""
    by_conversation: dict[str, list[tuple[int, float]]] = {}
    for (conversation, seq), acked_at in run.acked_at.items():
        by_conversation.setdefault(conversation, []).append((seq, acked_at))
    for name, device in run.devices.items():
        shown = _check_streams(run, verdict, name, device)
        _check_tails(run, verdict, name, device, shown, by_conversation)
        _check_removed(run, verdict, name, device)
    _check_cursors(run, verdict)


def _check_streams(run: Run, verdict: Verdict, name: str, device: Device) -> dict[tuple[str, int], float]:
    """I6; returns when each message was shown, or excused."""
    shown: dict[tuple[str, int], float] = {}
    for conversation, stream in device.stream.items():
        at: int | None = None
        for event in stream:
            if event.event == "start":
                at = event.seq
            elif event.event == "reset":
                at = event.head
            elif event.event == "skipped":
                at = max(at or 0, event.last)
                shown.update(((conversation, seq), event.t) for seq in range(event.first, event.last + 1))
            else:
                is_next = at is None or event.seq == at + 1
                verdict.check("I6", is_next, event.t, f"{name} was at {at} of {conversation} and showed {event.seq}")
                at = event.seq
                shown.setdefault((conversation, event.seq), event.t)
                if run.has_store:
                    stored = run.stored[conversation].get(event.seq)
                    is_it = stored is not None and (stored.sender, stored.key, stored.digest) == (
                        event.sender,
                        event.key,
                        event.digest,
                    )
                    verdict.check("I6", is_it, event.t, f"{name} showed {conversation}/{event.seq} otherwise than it is stored")
    return shown


def _check_tails(
    run: Run,
    verdict: Verdict,
    name: str,
    device: Device,
    shown: dict[tuple[str, int], float],
    by_conversation: dict[str, list[tuple[int, float]]],
) -> None:
    """I7: for every stretch of being connected, everything that was acknowledged long enough before its end."""
    bound = run.bounds.delivery_s
    stretches = Spans(
        (line.synced_at, min(line.closed_at, run.end)) for line in device.lines.values() if line.synced_at < math.inf
    )
    for conversation, acked in by_conversation.items():
        if (conversation, device.user) not in run.members or not device.stream.get(conversation):
            continue
        first = next((e.seq for e in device.stream[conversation] if e.event in ("start", "shown")), 0)
        for seq, acked_at in acked:
            for begin, end in stretches.all:
                deadline = run.after_faults(max(acked_at, begin), bound)
                if deadline > end or acked_at > end or seq < first:
                    continue
                if not run.is_member(conversation, device.user, acked_at, deadline):
                    continue
                at = shown.get((conversation, seq), math.inf)
                late = f"{at - acked_at:.1f} s after its ack" if at < math.inf else "never"
                message = f"{name} showed {conversation}/{seq} {late}"
                verdict.check("I7", at <= deadline, deadline, message, is_late=at < math.inf)
                break


def _check_removed(run: Run, verdict: Verdict, name: str, device: Device) -> None:
    """I8."""
    for event in device.received:
        changes = run.members.get((event.conversation, device.user))
        if changes is None or all(present for _, present in changes):
            continue
        acked_at = run.acked_at.get((event.conversation, event.seq))
        if acked_at is None:
            continue
        said_at = run.sends[event.sender, event.conversation, event.key].invoked_at
        removed = [t for t, present in changes if not present and t + run.bounds.removal_s < said_at]
        is_back = any(present and removed and t > removed[-1] for t, present in changes if t <= event.t)
        message = (
            f"{name} received {event.conversation}/{event.seq}, sent {said_at - removed[-1]:.1f} s after a removal"
            if removed
            else ""
        )
        verdict.check("I8", not removed or is_back, event.t, message)


def _check_cursors(run: Run, verdict: Verdict) -> None:
    """I9: as told to others, as acknowledged to the reader, and as stored."""
    seen: dict[tuple[str, str, str], int] = {}
    for event in run.cursors:
        key = (event.device, event.about, event.conversation)
        before = seen.get(key, 0)
        message = f"{event.device} saw {event.about}'s cursor in {event.conversation} go from {before} to {event.seq}"
        verdict.check("I9", event.seq >= before, event.t, message)
        seen[key] = max(before, event.seq)
    read: dict[tuple[str, str], int] = {}
    for event in run.reads:
        key2 = (event.user, event.conversation)
        read[key2] = max(event.seq, read.get(key2, 0))
    for (user, conversation), seq in read.items():
        if (user, conversation) in run.final_cursors:
            stored = run.final_cursors[user, conversation]
            message = f"{user} read up to {seq} of {conversation}, and the store says {stored}"
            verdict.check("I9", stored >= seq, run.end, message)
