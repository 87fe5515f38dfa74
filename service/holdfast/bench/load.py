"""What the load client is told, and what it writes down: the two formats that `load.c` and `python_load.py` share. Pure."""

import struct
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from holdfast.bench.dialects import Dialect, Speech

MAGIC: Final = 0x48464C31
"""The first number of a load."""

MARK: Final = b"~@"
"""The beginning of the text of a message: `~@SENDER.NUMBER@`."""

MAX_SENDERS: Final = 255


@dataclass(frozen=True, slots=True)
class Load:
    """One load: connections, of which the first `senders` send.

    With `rate` (messages a second) they send in turn at fixed times; with `by_acks` each has one message in flight; else all of
    them together have `window` messages in flight. `copies`: the deliveries that a message makes. After `seconds` no message is
    sent any more, and those in flight are awaited until nothing came for `patience_seconds`.
    """

    port: int
    dialect: Dialect
    speeches: Sequence[Speech]
    senders: int
    copies: int
    seconds: float
    log: Path
    window: int = 0
    rate: int = 0
    by_acks: bool = False
    at_once: int = 64
    patience_seconds: float = 5.0

    def encode(self) -> bytes:
        """For the load client's standard input."""
        if self.senders > MAX_SENDERS:
            raise ValueError(f"{self.senders} senders: a message has room for {MAX_SENDERS}")
        sizes = (MAGIC, self.port, len(self.speeches), self.at_once, len(self.dialect.waits), self.senders, self.window)
        times = (round(self.seconds * 1000), round(self.patience_seconds * 1000))
        numbers = (*sizes, self.rate, int(self.by_acks), self.copies, *times)
        texts = [str(self.log), self.dialect.ready, self.dialect.ack, *self.dialect.waits]
        parts = [struct.pack(f"={len(numbers)}I", *numbers), *(_text(text.encode()) for text in texts)]
        for number, speech in enumerate(self.speeches):
            parts += map(_text, (speech.opening, *speech.greetings))
            if number < self.senders:
                parts += map(_text, (speech.head, speech.middle, speech.tail))
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Heard:
    """One connection: how many messages it sent, the messages that it received in order, and microseconds until each delivery
    and (`by_acks`) each acknowledgement."""

    sent: int
    received: "array[int]"
    latencies: "array[int]"
    acks: "array[int]"

    def encode(self) -> bytes:
        """For the log."""
        sizes = array("I", (self.sent, len(self.received), len(self.acks)))
        return b"".join(each.tobytes() for each in (sizes, self.received, self.latencies, self.acks))


def read_load(stream: BinaryIO) -> Load:
    """The reverse of `encode`, as far as a load client needs it: a speech of a connection that does not send has empty parts."""

    def text() -> bytes:
        return stream.read(*struct.unpack("=I", stream.read(4)))

    _, port, count, at_once, steps, senders, window, rate, by_acks, copies, seconds, patience = struct.unpack(
        "=12I", stream.read(48)
    )
    log, ready, ack, *waits = (text().decode() for _ in range(3 + steps))
    dialect = Dialect(path="", waits=tuple(waits), greetings=(), ready=ready, send=("", "", ""), ack=ack)
    speeches = []
    for number in range(count):
        opening, *greetings = (text() for _ in range(1 + steps))
        parts = (text(), text(), text()) if number < senders else (b"", b"", b"")
        speeches.append(Speech(opening, tuple(greetings), *parts))
    return Load(
        port=port,
        dialect=dialect,
        speeches=speeches,
        senders=senders,
        copies=copies,
        seconds=seconds / 1000,
        log=Path(log),
        window=window,
        rate=rate,
        by_acks=bool(by_acks),
        at_once=at_once,
        patience_seconds=patience / 1000,
    )


def decode(log: bytes) -> Iterator[Heard]:
    """The connections of a log, in their order."""
    numbers = array("I", log)
    at = 0
    while at < len(numbers):
        sent, received, acks = numbers[at : at + 3]
        at += 3
        parts = []
        for size in (received, received, acks):
            parts.append(numbers[at : at + size])
            at += size
        yield Heard(sent, *parts)


def _text(text: bytes) -> bytes:
    return struct.pack("=I", len(text)) + text
