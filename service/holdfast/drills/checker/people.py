"""I10 and I11: who was there, and who was told."""

import math

from holdfast.drills.checker.run import Run, Spans
from holdfast.drills.checker.verdict import Verdict

_LATE_S = 5.0  # how much later than true a change of presence may be heard
_EARLY = 0.9  # of the grace: clocks of clients and instances begin it at different moments
_NOBODY = Spans(())


def check(run: Run, verdict: Verdict) -> None:
    """Judge presence and notifications by who had a connection when."""
    _check_changes(run, verdict)
    _check_final(run, verdict)
    if run.has_notifications:
        _check_notifications(run, verdict)


def _check_changes(run: Run, verdict: Verdict) -> None:
    """Nobody is told that somebody went who was only away for less than the grace."""
    least = run.bounds.grace_s * _EARLY
    for event in run.presences:
        there = run.connected.get(event.about, _NOBODY)
        if run.unproven.get(event.about, _NOBODY).around(event.t) is not None:
            continue
        if event.online:
            maybe = run.maybe_connected.get(event.about, _NOBODY)
            is_true = maybe.touches(event.t - _LATE_S - run.bounds.offline_s, event.t)
            verdict.check("I10", is_true, event.t, f"{event.device} heard that {event.about} is online, who was nowhere")
            continue
        message = f"{event.device} heard that {event.about} went, who was not away for {least:.1f} s"
        is_late = _was_away_for(there, event.t, least / 2)
        verdict.check("I10", _was_away_for(there, event.t, least), event.t, message, is_late=is_late)


def _was_away_for(there: Spans, t: float, least: float) -> bool:
    """Whether that much of an absence had passed by `t`, and it was not over for long."""
    gaps = there.gaps(-math.inf, math.inf)
    return any(end - begin >= least and begin + least <= t and end >= t - _LATE_S for begin, end in gaps)


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


def _check_notifications(run: Run, verdict: Verdict) -> None:
    """One for each message and member who was surely away, none for who was surely there; in between both are right."""
    made: dict[tuple[str, int, str], int] = {}
    for event in run.notifications:
        key = (event.conversation, event.seq, event.user)
        made[key] = made.get(key, 0) + 1
    silent = _silent_ends(run)
    for (conversation, seq, user), count in made.items():
        verdict.check("I11", count == 1, run.end, f"{user} has {count} notifications of {conversation}/{seq}")
        acked_at = run.acked_at.get((conversation, seq))
        if acked_at is not None:
            message = f"{user}, who was there, was notified of {conversation}/{seq}"
            invoked_at = run.placed[conversation][seq].invoked_at
            verdict.check("I11", not _was_there(run, user, invoked_at, acked_at, silent), acked_at, message)
    for (conversation, seq), acked_at in run.acked_at.items():
        settled_at = run.after_faults(acked_at, run.bounds.offline_s + _LATE_S)
        if settled_at > run.end:
            continue  # there was not time enough for it
        stored = run.stored[conversation].get(seq)
        if stored is None:
            continue
        invoked_at = run.placed[conversation][seq].invoked_at
        for user in sorted(run.memberships.users_of(conversation) - {stored.sender}):
            if run.memberships.is_member(conversation, user, invoked_at, settled_at) and _was_away(run, user, acked_at):
                message = f"{user}, who was away, was not notified of {conversation}/{seq}"
                verdict.check("I11", (conversation, seq, user) in made, acked_at, message)


def _was_there(run: Run, user: str, invoked_at: float, acked_at: float, silent: dict[str, list[float]]) -> bool:
    """Connected while the message may have been stored, and a second more on both sides, without a silent end soon after.

    The acknowledgement may be that of a retry, long after the commit.
    """
    there = run.connected.get(user, _NOBODY)
    if run.unproven.get(user, _NOBODY).touches(invoked_at, acked_at):
        return False
    if any(invoked_at <= ended <= acked_at + run.bounds.offline_s for ended in silent.get(user, ())):
        return False
    return there.covers(invoked_at - 1.0, acked_at + 1.0)


def _was_away(run: Run, user: str, t: float) -> bool:
    """No connection for long before, nor within the grace after."""
    there = run.connected.get(user, _NOBODY)
    return not there.touches(t - 1.0, t + run.bounds.offline_s + _LATE_S)


def _silent_ends(run: Run) -> dict[str, list[float]]:
    """When users' connections ended without a word: what was written to those before may have been seen by nobody."""
    ends: dict[str, list[float]] = {}
    for device in run.devices.values():
        for line in device.lines.values():
            if not line.clean and line.closed_at < math.inf:
                ends.setdefault(line.user, []).append(line.closed_at)
    return ends
