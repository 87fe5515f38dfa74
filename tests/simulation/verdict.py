"""What is wrong with a run: the checker's invariants, first messages never shown, and what no instance may ever do.

An error in a log, an exception that no code took, thousands of tasks, a condition that stays after the last fault, and what a raw
device found against the protocol: each is a failure of the run, whatever its users saw.
"""

import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from holdfast.drills.checker.judge import judge_run
from holdfast.drills.checker.restores import ANEW_S
from holdfast.drills.checker.run import Device, Run, Sent
from holdfast.drills.history import Event, read_history
from simulation.logs import LogLine
from simulation.loop import START_SECONDS, Failure

_SHOWN_SECONDS: Final = 5.0
ALWAYS_JUDGED: Final = ("I1", "I2", "I3", "I4", "I6", "I7", "missing")
"""What every run of a profile puts to the test, whatever its faults."""
_LOSE_HINTS: Final = ("pod-kill", "store-restore")
MAX_TASKS: Final = 400
"""Of one instance at the end of a run with a few users; one that goes on making tasks has thousands."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `kind`: an invariant, or what README.md lists beside them."""

    kind: str
    t: float
    text: str

    @property
    def as_json(self) -> dict[str, Any]:
        """For another process."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of a history.

    Attributes:
        findings: what is wrong.
        acknowledged: how many sends were.
        between_faults: of those, how many had to be shown as on a calm day, because no fault excuses a delay.
        unjudged: what was never put to the test.
    """

    findings: list[Finding]
    acknowledged: int
    between_faults: int
    unjudged: tuple[str, ...]


def judged(path: Path) -> Judgement:
    """By what the clients saw: the history in that file. A send whose device has ended need not be acknowledged (I12)."""
    header, events = read_history(path)
    kept = list(events)
    run = Run(header, iter(kept))
    abandoned = {f"'s {each.key} in " for each in kept if each.event == "abandoned"}
    verdict = judge_run(run)
    found = [
        Finding(each.invariant, each.t, each.message)
        for each in verdict.violations
        if each.invariant != "I12" or not any(key in each.message for key in abandoned)
    ]
    found += missing(run)
    found += listed(run, kept)
    found += [Finding("rest", each.t, f"{each.user}: {each.code}") for each in kept if each.event == "unserved"]
    found += [
        Finding("protocol", each.t, f"{each.device}: {each.code}")
        for each in kept
        if each.event == "protocol" and not _is_unnoticed(run, each)
    ]
    acked = [sent.acked_at for sent in run.sends.values() if sent.acked_at < math.inf]
    calm = sum(run.after_faults(t, _SHOWN_SECONDS) == t + _SHOWN_SECONDS for t in acked)
    checked = {**verdict.checked, "missing": sum(1 for _ in _dues(run))}
    return Judgement(found, len(acked), calm, tuple(name for name, times in checked.items() if not times))


def _is_unnoticed(run: Run, event: Event) -> bool:
    """A head that is beyond the end of a restored conversation, told by an instance that has not noticed the restore yet."""
    about = next((each for each in run.restores.at if f" of {each}, shown up to " in str(event.code)), None)
    generation = run.devices[event.device].generation_at(event.t) if event.device in run.devices else ""
    return about is not None and run.restores.is_unnoticed(about, event.t, generation)


def silent(judgement: Judgement, t: float) -> list[Finding]:
    """A run that says nothing of what every run must put to the test does not pass."""
    names = [name for name in judgement.unjudged if name in ALWAYS_JUDGED]
    return [Finding("unjudged", t, f"nothing was judged of {', '.join(names)}")] if names else []


def missing(run: Run) -> Iterator[Finding]:
    """A user who was surely a member before a message was sent, and whose device was connected, is shown it."""
    shown: dict[tuple[str, str, int], float] = {}
    for name, device in run.devices.items():
        for conversation, stream in device.stream.items():
            for event in stream:
                if event.event == "shown":
                    shown.setdefault((name, conversation, event.seq), event.t)
                elif event.event == "skipped":
                    _note(shown, name, event, range(event.first, event.last + 1))
                elif event.event == "reset":  # the application fetches all of it again
                    _note(shown, name, event, range(1, event.head + 1))
    for name, conversation, sent, deadline in _dues(run):
        if (at := shown.get((name, conversation, sent.seq), math.inf)) > deadline:
            late = "never" if at == math.inf else f"{at - sent.acked_at:.1f} s after its ack"
            yield Finding("missing", sent.acked_at, f"{name} was shown {conversation}/{sent.seq} {late}")


def _note(shown: dict[tuple[str, str, int], float], device: str, event: Event, seqs: range) -> None:
    """The first time counts."""
    for seq in seqs:
        shown.setdefault((device, event.conversation, seq), event.t)


def _dues(run: Run) -> Iterator[tuple[str, str, Sent, float]]:
    """Device, conversation, message, and until when the device has to show it."""
    for (_, conversation, _), sent in run.sends.items():
        is_anew = sent.invoked_at > run.restores.renewed_at + ANEW_S
        until = math.inf if is_anew else run.restores.at.get(conversation, math.inf)  # then devices discard what they showed
        if sent.acked_at < math.inf:
            for name, device in run.devices.items():
                deadline = _due(run, device, conversation, sent)
                if deadline is not None and deadline <= until:
                    yield name, conversation, sent, deadline


def listed(run: Run, events: Iterable[Event]) -> Iterator[Finding]:
    """The lists of conversations say at the end how far each is. An instance that dies may take a hint of that with it."""
    if any(fault.name in _LOSE_HINTS for fault in run.each_fault):
        return
    for event in events:
        tail = max(run.stored[event.conversation], default=0) if event.event == "listed" else 0
        if event.event == "listed" and event.seq != tail:
            yield Finding("listed", event.t, f"{event.user}'s list has {event.conversation} up to {event.seq}, and it has {tail}")


def _due(run: Run, device: Device, conversation: str, sent: Sent) -> float | None:
    """Until when the device has to show it; None where it need not."""
    membership = run.memberships.latest(conversation, device.user, sent.invoked_at)
    deadline = run.after_faults(sent.acked_at, _SHOWN_SECONDS)
    if membership is None or not membership.covers(sent.invoked_at, deadline + 1):
        return None
    is_connected = any(
        line.synced_at <= deadline - _SHOWN_SECONDS and line.closed_at >= deadline for line in device.lines.values()
    )
    return deadline if is_connected and sent.invoked_at > device.hears_from and deadline <= run.end else None


def logged(lines: Iterable[LogLine], may: Mapping[str, str]) -> list[Finding]:
    """Errors in the logs of instances. `may`: what a message begins with that the faults of this run explain, and why."""
    found = []
    for line in lines:
        is_explained = any(line.message.startswith(beginning) for beginning in may)
        if line.level >= logging.ERROR and not is_explained:
            last = _last_line(line.error)
            at = round(line.at - START_SECONDS, 4)
            found.append(Finding("log", at, f"{line.process}: {line.message[:300]} {last}".rstrip()))
    return found


def thrown(failures: Iterable[Failure]) -> list[Finding]:
    """Exceptions that no code took."""
    return [
        Finding("exception", round(each.at - START_SECONDS, 4), f"{each.process}: {each.message}: {_last_line(each.error)}")
        for each in failures
    ]


def _last_line(trace: str) -> str:
    return trace.strip().rsplit("\n", 1)[-1]


def grown(tasks: Mapping[str, int], t: float) -> list[Finding]:
    """`tasks`: how many each instance has when all is over."""
    return [Finding("growth", t, f"{name} has {count} tasks at the end") for name, count in tasks.items() if count > MAX_TASKS]
