"""A failed run as a person reads it: what was wrong, and what happened around it, in the order of virtual time."""

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from holdfast.drills.history import Event, read_history
from simulation.logs import LogLine
from simulation.loop import START_SECONDS
from simulation.verdict import Finding

_BEFORE_SECONDS: Final = 4.0
_AFTER_SECONDS: Final = 8.0
_MOST_LINES: Final = 160
_MESSAGE = re.compile(r"\b(c\d+|direct-[0-9a-f]{40})(?:/(\d+))?\b")
_DEVICE = re.compile(r"\b(u\d+)-\w+")


def timeline(path: Path, lines: Sequence[LogLine], finding: Finding) -> str:
    """Of one finding: all faults, the message's whole path, the devices concerned, and the instances' logs around it."""
    _, events = read_history(path)
    concerned = _Concerned(finding)
    told = [(event.t, text) for event in events if (text := concerned.told(event))]
    begin = min([finding.t, *concerned.times]) - _BEFORE_SECONDS
    end = max([finding.t, *concerned.times]) + _AFTER_SECONDS
    logged = [(line.at - START_SECONDS, line) for line in lines if _is_telling(line)]
    told += [(t, f"    {line.process:<8} {_told(line)}") for t, line in logged if begin <= t <= end]
    told.sort(key=lambda each: each[0])
    return "\n".join(_shortened([f"{t:9.3f}  {text}" for t, text in told]))


def _is_telling(line: LogLine) -> bool:
    return line.level >= logging.WARNING or line.logger.startswith("holdfast")


def _told(line: LogLine) -> str:
    error = line.error.strip().rsplit("\n", 1)[-1]
    return f"{logging.getLevelName(line.level).lower()} {line.logger}: {line.message[:200]} {error}".rstrip()


def _shortened(lines: list[str]) -> Iterator[str]:
    yield from lines[: _MOST_LINES // 2]
    if len(lines) > _MOST_LINES:
        yield f"           … {len(lines) - _MOST_LINES} lines …"
    yield from lines[max(_MOST_LINES // 2, len(lines) - _MOST_LINES // 2) :]


class _Concerned:
    """Which events have to do with a finding. `times`: of its message's path."""

    def __init__(self, finding: Finding) -> None:
        found = _MESSAGE.search(finding.text)
        self._conversation = found[1] if found else ""
        self._seq = int(found[2]) if found and found[2] else 0
        self._users = set(_DEVICE.findall(finding.text)) | set(re.findall(r"\b(u\d+)\b", finding.text))
        self._keys: set[str] = set()
        self.times: list[float] = []

    def told(self, event: Event) -> str:
        """As a line of the timeline; empty where it does not concern the finding."""
        match event.event:
            case "fault":
                return f"FAULT {event.name} {event.target} {'begins' if event.on else 'ends'}"
            case "opened" | "synced" | "closed" if event.user in self._users:
                return f"{event.device} {event.event} {event.instance} {event.code}".rstrip()
            case "asking" | "member" if event.conversation == self._conversation:
                change = "member" if event.present else "no member"
                return f"{event.user} {'becomes' if event.event == 'asking' else 'is'} {change} of {event.conversation}"
            case "send" if event.conversation == self._conversation:
                return f"{event.device} sends {event.key} in {event.conversation}"
            case "ack" if event.conversation == self._conversation and self._seq in (0, event.seq):
                self.times.append(event.t)
                return f"{event.device}: {event.key} is acknowledged as {event.conversation}/{event.seq}"
            case "shown" | "received" | "notice" | "reset" | "read" if self._is_of_message(event):
                self.times.append(event.t)
                return f"{event.device} {event.event} {event.conversation}/{event.seq} {event.name}".rstrip()
            case "left" | "presence" if (event.user in self._users and event.event == "left") or event.about in self._users:
                return f"{event.device or event.user} {event.event} {event.about} {'online' if event.online else ''}".rstrip()
            case "stored_notification" if self._is_of_message(event):
                return f"stored: a notification of {event.conversation}/{event.seq} for {event.user}"
        return ""

    def _is_of_message(self, event: Event) -> bool:
        return event.conversation == self._conversation and self._seq in (0, event.seq)
