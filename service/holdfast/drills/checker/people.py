"""I10: the presence of users, and the presence that others were told."""

import math
from collections import defaultdict

from holdfast.drills.checker.run import Run, Spans
from holdfast.drills.checker.verdict import Verdict
from holdfast.drills.history import Event

_LATE_S = 5.0  # how much later than true a change of presence may be heard
_EARLY = 0.9  # of the grace: clocks of clients and instances begin it at different moments
_NOBODY = Spans(())


def check(run: Run, verdict: Verdict) -> None:
    """Judge presence by the connections of users over time."""
    _check_changes(run, verdict)
    _check_final(run, verdict)


def _check_changes(run: Run, verdict: Verdict) -> None:
    """No client is told that a user is offline who was away for less than the grace period."""
    least = run.bounds.grace_s * _EARLY
    taken_in = _taken_in(run)
    for event in run.presences:
        there = taken_in.get(event.about, _NOBODY)
        if run.unproven.get(event.about, _NOBODY).around(event.t) is not None:
            continue
        if event.online:
            maybe = run.maybe_connected.get(event.about, _NOBODY)
            is_true = maybe.touches(event.t - _LATE_S - run.bounds.offline_s, event.t)
            verdict.check("I10", is_true, event.t, f"{event.device} heard that {event.about} is online, who was nowhere")
            continue
        message = f"{event.device} heard that {event.about} went, who was not away for {least:.1f} s"
        since = _still_since(run, event) - _LATE_S
        is_late = _was_away_for(there, since, event.t, least / 2)
        verdict.check("I10", _was_away_for(there, since, event.t, least), event.t, message, is_late=is_late)


def _taken_in(run: Run) -> dict[str, Spans]:
    """Per user, when a connection was there that the store knew of: surely from `synced` on, and in calm from the beginning.

    A connection that ended before has not interrupted an absence.
    """
    spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for line in (line for device in run.devices.values() for line in device.lines.values() if line.synced_at < math.inf):
        is_disturbed = run.faults.touches(line.opened_at, line.synced_at)
        spans[line.user].append((line.synced_at if is_disturbed else line.opened_at, line.closed_at))
    return {user: Spans(found) for user, found in spans.items()}


def _still_since(run: Run, event: Event) -> float:
    """When the instance began to stand still that told the device, if it tells now what was true meanwhile; else now."""
    lines = run.device(event).lines.values()
    instances = {line.instance for line in lines if line.opened_at <= event.t <= line.closed_at}
    freezes = [fault for fault in run.each_fault if fault.name == "freeze" and fault.target in instances]
    return min((fault.began for fault in freezes if fault.began <= event.t <= fault.ended + _LATE_S), default=event.t)


def _was_away_for(there: Spans, since: float, t: float, least: float) -> bool:
    """Whether that much of an absence had passed by `t`, and it was not over by `since`."""
    gaps = there.gaps(-math.inf, math.inf)
    return any(end - begin >= least and begin + least <= t and end >= since for begin, end in gaps)


def _check_final(run: Run, verdict: Verdict) -> None:
    """The store's word at the end, of those whose state has not changed for long enough."""
    for user, online in run.final_presence.items():
        there = run.connected.get(user, _NOBODY)
        quiet_since = run.after_faults(run.end - run.bounds.offline_s - _LATE_S, 0.0)
        if there.covers(run.end - _LATE_S, run.end) and run.faults.around(run.end) is None:
            message = f"{user} is connected, and the store says offline"
            verdict.check("I10", online, run.end, message, is_late=True)
        elif not there.touches(run.end - run.bounds.offline_s - _LATE_S, run.end) and quiet_since < run.end:
            message = f"{user} is long gone, and the store says online"
            verdict.check("I10", not online, run.end, message, is_late=True)
