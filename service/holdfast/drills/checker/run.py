"""A history as the checks need it: messages sent, stored and shown, connections of users, and faults, each in its order."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from holdfast.drills.checker.forgetting import forget_lost
from holdfast.drills.checker.memberships import Memberships
from holdfast.drills.checker.restores import Reset, Restores
from holdfast.drills.history import Bounds, Event, Header

SendId = tuple[str, str, str]
"""(user, conversation, key)."""

_OPENING_S = 2.0  # others may hear of a connection before its own client, one of a thousand here, has seen it open
_ATTEMPT_S = 10.0  # a client gives up by then; its request may have been accepted all the same
BEAT_S = 4.0  # an instance that dies or stands still last told the others up to a beat before what it knew

_TAKEN_FOR_DEAD_S = 12.0  # that long after its last beat, not earlier, others take an instance that stands still for dead

_KILLS = ("pod-kill", "container-restart")  # they name their instance, which ends as they begin
_SAID = {"send", "ack", "refused", "received", "shown", "start", "skipped", "truncated", "reset", "read", "cursor"}
_LINES = {"opening", "opened", "synced", "closed"}
_RESTORES = {"restored", "lost", "renewed"}
_KNOWN = _SAID | _LINES | _RESTORES | {"presence", "asking", "member", "notice", "fault", "left", "settled", "reading", "end"}
_FINAL = {"stored", "stored_notification", "stored_presence", "stored_cursor"}


@dataclass(slots=True)
class Sent:
    """One send, from its first attempt.

    `acked_at`, `refused_at`: infinite while it was not. `is_by_rest`: it marks nothing as read.
    """

    invoked_at: float
    digest: str
    acked_at: float = math.inf
    seq: int = 0
    refused_at: float = math.inf
    code: str | int = ""
    is_by_rest: bool = False

    @property
    def is_refused(self) -> bool:
        """For good, with `code`."""
        return self.refused_at < math.inf


@dataclass(frozen=True, slots=True)
class Stored:
    """A message in the store at the end."""

    sender: str
    key: str
    digest: str


@dataclass(slots=True)
class Line:
    """One connection of a device. `asked_at`: before `opened_at`; the others: infinite when it never came to that.

    `is_untold`: its client left in order, and the instance died, or was taken for dead, before another one knew.
    """

    user: str
    asked_at: float
    opened_at: float
    synced_at: float = math.inf
    closed_at: float = math.inf
    clean: bool = True
    code: str | int = ""
    instance: str = ""
    generation: str = ""
    resumed: bool = False
    is_untold: bool = False


@dataclass(slots=True)
class Device:
    """The view of one client: `shown`, `received` and the reported gaps, in order.

    Attributes:
        starts: conversation -> the seq after which everything is to be shown, where the client had one from the beginning.
        notices: the `conversation` frames that it received, in order.
        resets: conversation -> each `reset` that it was told, in order.
        asked_at: when it asked for the connection that it is about to get, or may have got without an answer.
        in_vain: from such a moment until it gave up.
    """

    user: str
    lines: dict[str, Line] = field(default_factory=dict)
    stream: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))
    received: list[Event] = field(default_factory=list)
    starts: dict[str, int] = field(default_factory=dict)
    notices: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))
    resets: dict[str, list[Reset]] = field(default_factory=lambda: defaultdict(list))
    asked_at: float | None = None
    in_vain: list[tuple[float, float]] = field(default_factory=list)

    @property
    def hears_from(self) -> float:
        """Everything that was sent later is to be shown: the first `synced` of a client that asked for no replay."""
        lines = list(self.lines.values())
        if self.starts or (lines and lines[0].resumed):
            return -math.inf
        return min((line.synced_at for line in lines), default=math.inf)

    def generation_at(self, t: float) -> str:
        """Of the last connection that was opened by `t`; empty where there was none."""
        opened = [line for line in self.lines.values() if line.opened_at <= t]
        return max(opened, key=lambda line: line.opened_at).generation if opened else ""

    def is_synced_under(self, generation: str) -> bool:
        """Whether it was told everything by an instance that knows this generation."""
        return any(line.generation == generation and line.synced_at < math.inf for line in self.lines.values())

    def is_beginning(self, notice: Event) -> bool:
        """Whether it says that the conversation begins for this user."""
        return notice.name == "created" or (notice.name == "member_added" and notice.about == self.user)

    def has_received(self, conversation: str, since: float, t: float) -> bool:
        """Whether the client had a position in the conversation at `t`, from a message that came after `since`."""
        return any(since <= event.t <= t for event in self.received if event.conversation == conversation)


class Spans:
    """Stretches of time, in order; overlapping ones are one."""

    def __init__(self, spans: Iterable[tuple[float, float]]) -> None:
        self.all: list[tuple[float, float]] = []
        for begin, end in sorted(spans):
            if self.all and begin <= self.all[-1][1]:
                self.all[-1] = (self.all[-1][0], max(end, self.all[-1][1]))
            else:
                self.all.append((begin, end))

    def around(self, t: float) -> tuple[float, float] | None:
        """The stretch that holds `t`."""
        return next((span for span in self.all if span[0] <= t <= span[1]), None)

    def touches(self, begin: float, end: float) -> bool:
        """Whether any part of a stretch lies there."""
        return any(span[0] <= end and begin <= span[1] for span in self.all)

    def covers(self, begin: float, end: float) -> bool:
        """Whether all of it lies in one stretch."""
        return any(span[0] <= begin and end <= span[1] for span in self.all)

    def gaps(self, begin: float, end: float) -> Iterator[tuple[float, float]]:
        """The gaps between the stretches, within those limits."""
        at = begin
        for first, last in self.all:
            if first > at:
                yield at, min(first, end)
            at = max(at, last)
            if at >= end:
                return
        if at < end:
            yield at, end


@dataclass(frozen=True, slots=True)
class Fault:
    """Something was broken from `began` to `ended`."""

    name: str
    target: str
    began: float
    ended: float


class Run:
    """The whole history, indexed.

    Attributes:
        lacks: features that an older version in the run does not have.
        end: when it was over.
        read_at: what the store held is from then, or later.
        has_notifications: the notifications in the store were read.
        cursors: what devices heard of read cursors; `known_cursors`: without what they forgot by a `reset`.
        departures: how often a user left on purpose.
    """

    def __init__(self, header: Header, events: Iterable[Event]) -> None:
        self.bounds: Bounds = header.bounds
        self.lacks = frozenset(header.lacks)
        self.sends: dict[SendId, Sent] = {}
        self.acks: list[tuple[SendId, int, float]] = []
        self.stored: dict[str, dict[int, Stored]] = defaultdict(dict)
        self.stored_twice: list[Event] = []
        self.devices: dict[str, Device] = {}
        self.memberships = Memberships()
        self.presences: list[Event] = []
        self.reads: list[Event] = []
        self.cursors: list[Event] = []
        self.final_presence: dict[str, bool] = {}
        self.final_cursors: dict[tuple[str, str], int] = {}
        self.notifications: list[Event] = []
        self.has_store = self.has_notifications = False
        self.restores = Restores()
        self.departures = 0
        self.end = 0.0
        self.read_at = math.inf
        self.unknown = 0
        self.each_fault: list[Fault] = []
        open_faults: dict[tuple[str, str], float] = {}
        for event in events:
            self.end = max(self.end, event.t)
            if event.event not in _KNOWN and event.event not in _FINAL:
                self.unknown += 1
            elif event.event == "fault":
                if event.on:
                    open_faults.setdefault((event.name, event.target), event.t)
                else:
                    began = open_faults.pop((event.name, event.target), event.t)
                    self.each_fault.append(Fault(event.name, event.target, began, event.t))
            else:
                self._take(event)
        self.each_fault += [Fault(*which, began, self.end) for which, began in open_faults.items()]
        self.faults = Spans((fault.began, fault.ended) for fault in self.each_fault)
        self.known_cursors = self.cursors
        if self.restores.lost:
            forget_lost(self)
        self._end_with_instances()
        self._note_untold()
        self.connected = self._connected()
        self.maybe_connected = self._maybe_connected()
        self.unproven = self._unproven()
        self.acked_at = {
            (send_id[1], sent.seq): sent.acked_at for send_id, sent in self.sends.items() if sent.seq and sent.acked_at < math.inf
        }
        self.placed = self._placed()

    def device(self, event: Event) -> Device:
        """The device of an event."""
        return self.devices.setdefault(event.device, Device(event.user))

    def after_faults(self, t: float, bound: float) -> float:
        """The deadline of what began at `t`: `bound` seconds without any fault."""
        for began, ended in self.faults.all:
            if began <= t + bound and t < ended:
                t = ended
        return t + bound

    def _take(self, event: Event) -> None:
        match event.event:
            case "send":
                new = Sent(event.t, event.digest, is_by_rest=event.name == "rest")
                self.sends.setdefault((event.user, event.conversation, event.key), new)
            case "ack":
                send_id = (event.user, event.conversation, event.key)
                self.acks.append((send_id, event.seq, event.t))
                if (sent := self.sends.get(send_id)) is not None and sent.acked_at == math.inf:
                    sent.acked_at, sent.seq = event.t, event.seq
            case "refused":
                if (sent := self.sends.get((event.user, event.conversation, event.key))) is not None:
                    sent.refused_at, sent.code = event.t, event.code
            case "shown" | "start" | "skipped" | "reset":
                device = self.device(event)
                stream = device.stream[event.conversation]
                stream.append(event)
                if event.event == "reset":
                    reset = Reset(event.t, len(stream), len(device.received), len(self.cursors))
                    device.resets[event.conversation].append(reset)
                if event.event == "start":
                    device.starts.setdefault(event.conversation, event.seq)
            case "notice":
                self.device(event).notices[event.conversation].append(event)
            case "received":
                self.device(event).received.append(event)
            case "opening" | "opened" | "synced" | "closed":
                self._take_line(event)
            case "asking" | "member":
                self.memberships.take(event)
            case "presence":
                self.presences.append(event)
            case "read":
                self.reads.append(event)
            case "cursor":
                self.cursors.append(event)
            case "restored" | "lost" | "renewed":
                self.restores.take(event)
            case "left":
                self.departures += 1
            case "reading":
                self.has_notifications, self.read_at = True, event.t
            case _:
                self._take_final(event)

    def _take_line(self, event: Event) -> None:
        device = self.device(event)
        if event.event == "opening":
            if device.asked_at is not None:
                device.in_vain.append((device.asked_at, min(event.t, device.asked_at + _ATTEMPT_S)))
            device.asked_at = event.t
        elif event.event == "opened":
            asked_at = event.t - _OPENING_S if device.asked_at is None else device.asked_at
            device.lines[event.connection] = Line(
                event.user, asked_at, event.t, instance=event.instance, generation=event.generation, resumed=event.resumed
            )
            device.asked_at = None
        elif (line := device.lines.get(event.connection)) is not None:
            if event.event == "synced":
                line.synced_at = event.t
            else:
                line.closed_at, line.clean, line.code = event.t, event.clean, event.code

    def _take_final(self, event: Event) -> None:
        match event.event:
            case "stored":
                self.has_store = True
                if event.seq in self.stored[event.conversation]:
                    self.stored_twice.append(event)
                self.stored[event.conversation][event.seq] = Stored(event.sender, event.key, event.digest)
            case "stored_notification":
                self.notifications.append(event)
            case "stored_presence":
                self.final_presence[event.user] = event.online
            case "stored_cursor":
                self.final_cursors[event.user, event.conversation] = event.seq

    def _placed(self) -> dict[str, dict[int, Sent]]:
        """Conversation -> seq -> what was sent: by acknowledgement, and by what the store holds."""
        placed: dict[str, dict[int, Sent]] = defaultdict(dict)
        for conversation, messages in self.stored.items():
            for seq, message in messages.items():
                if (sent := self.sends.get((message.sender, conversation, message.key))) is not None:
                    placed[conversation][seq] = sent
        for (_, conversation, _), sent in self.sends.items():
            if sent.acked_at < math.inf:
                placed[conversation].setdefault(sent.seq, sent)
        return placed

    def _end_with_instances(self) -> None:
        """A connection ended with its instance, also where its client left seconds later, before it noticed.

        Where the client left up to a beat earlier, no other instance knew: such a connection ended without a word as well.
        """
        for fault in (each for each in self.each_fault if each.name in _KILLS):
            for line in (line for device in self.devices.values() for line in device.lines.values()):
                has_left = (
                    line.clean and line.opened_at <= fault.began < line.closed_at + BEAT_S and line.closed_at <= fault.ended
                )
                if has_left and line.instance == fault.target:
                    line.is_untold = line.closed_at <= fault.began
                    line.closed_at, line.clean = min(fault.began, line.closed_at), False

    def _note_untold(self) -> None:
        """A client left up to a beat before its instance stood still for so long that others took it for dead."""
        for fault in self.each_fault:
            if fault.name == "freeze" and fault.ended - fault.began >= _TAKEN_FOR_DEAD_S - BEAT_S:
                for line in (line for device in self.devices.values() for line in device.lines.values()):
                    has_left = line.clean and line.closed_at <= fault.began < line.closed_at + BEAT_S
                    line.is_untold |= has_left and line.instance == fault.target

    def _unproven(self) -> dict[str, Spans]:
        """Per user, when their connection was to an instance that stood still: open, but without an answer from the other end."""
        spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for device in self.devices.values():
            for line in device.lines.values():
                for fault in self.each_fault:
                    is_its = fault.name == "freeze" and fault.target == line.instance
                    if is_its and line.opened_at <= fault.ended and fault.began <= line.closed_at:
                        spans[line.user].append((fault.began - BEAT_S, fault.ended + self.bounds.offline_s))
        return {user: Spans(found) for user, found in spans.items()}

    def _connected(self) -> dict[str, Spans]:
        """Per user, when at least one connection was open."""
        spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for device in self.devices.values():
            for line in device.lines.values():
                spans[line.user].append((line.opened_at, line.closed_at))
        return {user: Spans(found) for user, found in spans.items()}

    def _maybe_connected(self) -> dict[str, Spans]:
        """Per user, when the service may have taken them for connected: from when a connection was asked for."""
        spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for device in self.devices.values():
            spans[device.user] += device.in_vain
            if device.asked_at is not None:
                spans[device.user].append((device.asked_at, device.asked_at + _ATTEMPT_S))
            spans[device.user] += [(line.asked_at, line.closed_at) for line in device.lines.values()]
        return {user: Spans(found) for user, found in spans.items()}
