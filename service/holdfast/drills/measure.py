"""Figures from a history: how long clients were without a connection, how late messages were, what was lost."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from holdfast.drills.checker.run import Run, Sent
from holdfast.drills.history import Event

_LEFT: Final = 1000  # the client was closed: its user left


@dataclass(frozen=True, slots=True)
class Spread:
    """Of many values: how many, the middle one, the one that 99 of 100 stay below, and the largest; in seconds."""

    count: int = 0
    p50: float = 0.0
    p99: float = 0.0
    max: float = 0.0

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of any values."""
        if not values:
            return cls()
        ordered = sorted(values)
        return cls(len(ordered), *(round(each, 4) for each in (_at(ordered, 0.5), _at(ordered, 0.99), ordered[-1])))


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a run for its report.

    Attributes:
        sends, acknowledged, refused, shown: how many.
        ack, delivery: from the send to its ack; from the send to the message on each device that was connected then.
        reconnect: from the end of a device's only connection to the end of the next replay.
        longest_gap: the longest that any device was without a connection.
        lost, doubled, disordered: messages acknowledged and not in the store; shown twice; shown before an earlier one.
        closes: by code.
        close_spread: from the first to the last close by the server with 1012, in seconds.
    """

    sends: int
    acknowledged: int
    refused: int
    shown: int
    ack: Spread
    delivery: Spread
    reconnect: Spread
    longest_gap: float
    lost: int
    doubled: int
    disordered: int
    closes: dict[str, int] = field(default_factory=dict)
    close_spread: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


def measure(run: Run) -> Figures:
    """The figures of a run."""
    acked = [sent for sent in run.sends.values() if sent.acked_at < math.inf]
    reconnects, longest = _reconnects(run)
    closes: dict[str, int] = {}
    drained: list[float] = []
    for device in run.devices.values():
        for line in device.lines.values():
            if line.closed_at < math.inf:
                closes[str(line.code)] = closes.get(str(line.code), 0) + 1
                if line.code == 1012:
                    drained.append(line.closed_at)
    doubled, disordered = _disorder(run)
    lost = sum(1 for send_id, seq, _ in run.acks if run.has_store and seq not in run.stored[send_id[1]])
    return Figures(
        sends=len(run.sends),
        acknowledged=len(acked),
        refused=sum(sent.is_refused for sent in run.sends.values()),
        shown=sum(
            1 for device in run.devices.values() for stream in device.stream.values() for e in stream if e.event == "shown"
        ),
        ack=Spread.of([sent.acked_at - sent.invoked_at for sent in acked]),
        delivery=Spread.of(delivery_times(run)),
        reconnect=Spread.of(reconnects),
        longest_gap=round(longest, 3),
        lost=lost,
        doubled=doubled,
        disordered=disordered,
        closes=dict(sorted(closes.items())),
        close_spread=round(max(drained) - min(drained), 3) if drained else 0.0,
    )


def delivery_times(run: Run) -> list[float]:
    """Of every message on every device that was connected when it was sent, in the order they were shown by each."""
    return [shown_at - sent.invoked_at for sent, shown_at in deliveries(run)]


def deliveries(run: Run) -> Iterator[tuple[Sent, float]]:
    """Each message on each device that was connected when it was sent: the send, and when it was shown."""
    for device in run.devices.values():
        lines = [(line.synced_at, line.closed_at) for line in device.lines.values()]
        for stream in device.stream.values():
            for event in stream:
                if event.event != "shown":
                    continue
                sent = run.sends.get((event.sender, event.conversation, event.key))
                if sent is not None and any(begin <= sent.invoked_at <= end for begin, end in lines):
                    yield sent, event.t


def _reconnects(run: Run) -> tuple[list[float], float]:
    """From each end without another connection to the next `synced`; and the longest time without any.

    A device whose user left on the way is away from then on because its user wants it.
    """
    times, longest = [], 0.0
    for device in run.devices.values():
        lines = sorted(device.lines.values(), key=lambda line: line.opened_at)
        for line in lines:
            ended = line.closed_at
            if (
                line.code == _LEFT
                or ended == math.inf
                or any(other.synced_at <= ended < other.closed_at for other in lines if other is not line)
            ):
                continue
            following = [other.synced_at for other in lines if other.synced_at > ended and other.synced_at < math.inf]
            left = [other.closed_at for other in lines if other.code == _LEFT and other.closed_at > ended]
            back_at, left_at = min(following, default=math.inf), min(left, default=math.inf)
            if back_at < left_at:
                times.append(back_at - ended)
            if min(back_at, left_at) < math.inf:
                longest = max(longest, min(back_at, left_at) - ended)
    return times, longest


def _disorder(run: Run) -> tuple[int, int]:
    doubled = disordered = 0
    for stream in _streams(run):
        seen: set[int] = set()
        highest = 0
        for event in stream:
            if event.event == "shown":
                doubled += event.seq in seen
                disordered += event.seq < highest and event.seq not in seen
                seen.add(event.seq)
                highest = max(highest, event.seq)
    return doubled, disordered


def _streams(run: Run) -> Iterator[list[Event]]:
    """What each device saw of each conversation."""
    for device in run.devices.values():
        yield from device.stream.values()


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]
