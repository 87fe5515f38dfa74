"""All checks over one history."""

from collections.abc import Iterable

from holdfast.drills.checker import devices, liveness, messages, notifications, people, receipts, streams
from holdfast.drills.checker.run import Run
from holdfast.drills.checker.verdict import Verdict
from holdfast.drills.history import Event, Header


def judge(header: Header, events: Iterable[Event]) -> Verdict:
    """Judge a history.

    Raises:
        HistoryUnreadable: a line is not one of a history.
    """
    return judge_run(Run(header, events))


def judge_run(run: Run) -> Verdict:
    """Judge a history that has been read."""
    verdict = Verdict(unknown=run.unknown)
    for part in (messages, streams, devices, receipts, people, notifications, liveness):
        part.check(run, verdict)
    verdict.violations.sort(key=lambda violation: violation.t)
    return verdict
