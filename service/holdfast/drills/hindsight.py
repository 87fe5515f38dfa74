"""Checks of a whole history, beyond the invariants: figures that cannot be taken while it happens."""

import math
from typing import Final

from holdfast.drills.checker.forgetting import reset_of
from holdfast.drills.checker.run import Run, Spans
from holdfast.drills.crowd import AWAY
from holdfast.drills.history import digest
from holdfast.drills.local.doomed import LAST_WORDS
from holdfast.drills.measure import Spread, deliveries
from holdfast.drills.stage import Expectation

_ACK_SECONDS: Final = 1.5  # what a send may cost while Redis does not work
_SWEPT_SECONDS: Final = 2.0
_SLOWER_SECONDS: Final = 0.5
_AFTERMATH_SECONDS: Final = 1.0
_SLOT_SECONDS: Final = 0.1
_CROWDED: Final = 0.5
_WELL_INSIDE: Final = 0.9  # of the grace, as the checker has it


def acks_in_the_midst(run: Run) -> Expectation:
    """Sends work while it is broken: nearly all are acknowledged, and soon."""
    waits = [sent.acked_at - sent.invoked_at for sent in run.sends.values() if run.faults.around(sent.invoked_at)]
    return Expectation("p99 of acks in the midst of it", _ACK_SECONDS, Spread.of(waits).p99 if waits else math.inf)


def others_are_not_slowed(run: Run) -> Expectation:
    """How much later messages come while it is broken than in calm."""
    busy, calm = [], []
    for sent, shown_at in deliveries(run):
        if run.faults.around(sent.invoked_at):
            busy.append(shown_at - sent.invoked_at)
        elif not run.faults.touches(sent.invoked_at - _AFTERMATH_SECONDS, sent.invoked_at):
            calm.append(shown_at - sent.invoked_at)
    later = Spread.of(busy).p99 - Spread.of(calm).p99 if busy and calm else math.inf
    return Expectation("p99 of deliveries, over that of calm", _SLOWER_SECONDS, round(max(0.0, later), 3))


def last_words_are_heard(run: Run) -> Expectation:
    """Commits of an instance that died before their publication reach all users who were connected elsewhere all the time."""
    last = next((sent for sent in run.sends.values() if sent.digest == digest(LAST_WORDS)), None)
    heard = []
    if last is not None:
        (conversation,) = {c for (_, c, _), sent in run.sends.items() if sent is last}
        for device in run.devices.values():
            shown = [e.t for e in device.stream.get(conversation, ()) if e.event == "shown" and e.digest == last.digest]
            is_steady = any(
                line.synced_at < last.invoked_at and last.invoked_at + 2 * _SWEPT_SECONDS < line.closed_at
                for line in device.lines.values()
            )
            if is_steady and run.memberships.of(conversation, device.user):
                heard.append(min(shown, default=math.inf) - last.invoked_at)
    return Expectation("the last to hear the last words", _SWEPT_SECONDS, round(max(heard, default=math.inf), 2), "s")


def nobody_is_refused(run: Run) -> Expectation:
    """Limits count what was sent, whatever the clock says: members who keep to them are let through."""
    refused = sum(
        sent.is_refused and run.memberships.is_member(conversation, user, sent.invoked_at, sent.refused_at)
        for (user, conversation, _), sent in run.sends.items()
    )
    return Expectation("sends refused", 0, refused, "")


def reconnects_are_jittered(run: Run) -> Expectation:
    """Of all reconnects after the fault: the share within the busiest tenth of a second."""
    ended = run.faults.all[-1][1] if run.faults.all else 0.0
    opened = sorted(
        line.opened_at for device in run.devices.values() for line in device.lines.values() if line.opened_at >= ended
    )
    busiest = max((sum(1 for t in opened if first <= t < first + _SLOT_SECONDS) for first in opened), default=0)
    share = busiest / len(opened) if opened else math.inf
    return Expectation("reconnects within the busiest tenth of a second", _CROWDED, round(share, 2), "of all")


def nobody_is_notified_inside_the_grace(run: Run) -> Expectation:
    """Records of messages for users who were without a connection then, and back well before their grace was over.

    A connection that ended before its replay did is no way back: its user has not been shown what was missed.
    """
    made = 0
    live = {user: _live(run, user) for user in run.connected if user != AWAY}
    for event in run.notifications:
        acked_at = run.acked_at.get((event.conversation, event.seq))
        if acked_at is not None and event.user in live:
            gaps = [gap for gap in live[event.user].gaps(-math.inf, math.inf) if gap[0] <= acked_at <= gap[1]]
            made += any(end - begin < run.bounds.grace_s * _WELL_INSIDE for begin, end in gaps)
    return Expectation("notifications inside the grace", 0, made, "")


def _live(run: Run, user: str) -> Spans:
    lines = [line for device in run.devices.values() for line in device.lines.values() if line.user == user]
    return Spans((line.opened_at, line.closed_at) for line in lines if line.synced_at < math.inf)


def every_cursor_is_reset(run: Run) -> Expectation:
    """Each device that had shown messages of a conversation before the restore, and came back after it, is told `reset`."""
    restores, missing, judged = run.restores, 0, 0
    for device in run.devices.values():
        back_at = min(
            (line.synced_at for line in device.lines.values() if line.generation == restores.generation), default=math.inf
        )
        for conversation, stream in device.stream.items():
            if (restored_at := restores.at.get(conversation)) is None:
                continue
            has_shown = any(each.event == "shown" and each.t < restored_at for each in stream)
            if has_shown and run.memberships.is_member(conversation, device.user, restored_at, back_at):
                judged += 1
                missing += reset_of(run, device, conversation) is None
    return Expectation("cursors that were not reset after the restore", 0, missing if judged else math.inf, "")
