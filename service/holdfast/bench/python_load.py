"""The load client for machines without a C compiler: told and answering as `load.c`, which see; slower.

One event loop. A frame is looked through for marks, and not decoded.
"""

import asyncio
import json
import re
import resource
import sys
import time
from array import array
from collections.abc import Callable
from typing import Final

import uvloop

from holdfast.bench.dialects import Speech
from holdfast.bench.judge import message
from holdfast.bench.load import MARK, Heard, Load, read_load

_CONNECT_SECONDS: Final = 60.0
_SETTLE_SECONDS: Final = 0.05
_MARKED: Final = re.compile(re.escape(MARK) + rb"(\d+)\.(\d+)@")


class Course:
    """How far a load is: what all of its connections have together. `ends`: when no message is sent any more (monotonic)."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.began = self.latest = self.ends = 0.0
        self.sent_at: list[list[float]] = [[] for _ in range(load.senders)]
        self.sent = self.received = self.acked = self.closed = 0

    @property
    def is_complete(self) -> bool:
        """All came that was sent, and all of it is acknowledged where the server does that."""
        is_acked = not self.load.dialect.ack or self.acked >= self.sent
        return self.received >= self.sent * self.load.copies and is_acked

    def microseconds(self, sender: int, number: int) -> int:
        """Since that message was due; 0 for one that was never sent."""
        times = self.sent_at[sender] if sender < len(self.sent_at) else []
        return max(0, int((self.latest - times[number]) * 1e6)) if number < len(times) else 0


class Connection(asyncio.Protocol):
    """One WebSocket; `ready` is done when it is greeted."""

    def __init__(self, number: int, speech: Speech, course: Course) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.received, self.latencies, self.acks = array("I"), array("I"), array("I")
        self.sent = 0
        self._number, self._speech, self._course = number, speech, course
        self._step = 0
        self._buffer = bytearray()
        self._is_open = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """For asyncio."""
        self._transport = transport  # type: ignore[assignment]  # a TCP connection; uvloop's class is no subclass of asyncio's
        self._transport.write(self._speech.opening)

    def data_received(self, data: bytes) -> None:
        """For asyncio."""
        self._buffer += data
        if not self._is_open and not self._open():
            return
        self._take_frames()

    def connection_lost(self, exc: Exception | None) -> None:
        """For asyncio."""
        self._course.closed += 1
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(f"no WebSocket: {bytes(self._buffer[:100])!r} {exc}"))

    def send_message(self, due: float) -> None:
        """The next one of this sender."""
        mark = f"{self._number}.{self.sent}@".encode()
        key = f"{self._number}-{self.sent}".encode()
        self._course.sent_at[self._number].append(due)
        self.sent += 1
        self._course.sent += 1
        self._frame(1, b"".join((self._speech.head, key, self._speech.middle, MARK, mark, self._speech.tail)))

    def _frame(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        head = bytes((0x80 | opcode, 0x80 | size)) if size < 126 else bytes((0x80 | opcode, 0xFE)) + size.to_bytes(2, "big")
        self._transport.write(head + b"\0\0\0\0" + payload)

    def _open(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        if not self._buffer.startswith(b"HTTP/1.1 101"):
            self._transport.close()
            return False
        del self._buffer[: end + 4]
        self._is_open = True
        self._greet(b"")
        return True

    def _take_frames(self) -> None:
        buffer, at, size = self._buffer, 0, len(self._buffer)
        while size - at >= 2:
            length, head = buffer[at + 1] & 0x7F, 2
            if length >= 126:
                head = 4 if length == 126 else 10
                length = int.from_bytes(buffer[at + 2 : at + head], "big")
            if size - at < head or size - at < head + length:
                break
            self._take(buffer[at] & 0x0F, bytes(buffer[at + head : at + head + length]))
            at += head + length
        del buffer[:at]

    def _take(self, opcode: int, text: bytes) -> None:
        if opcode == 9:
            self._frame(10, text)
        elif opcode == 8:
            self._transport.close()
        elif not self.ready.done():
            self._greet(text)
        elif self._course.load.dialect.ack and text.startswith(self._course.load.dialect.ack.encode()):
            self._take_ack()
        else:
            for sender, number in _MARKED.findall(text):
                self._take_message(int(sender), int(number))

    def _greet(self, text: bytes) -> None:
        waits = self._course.load.dialect.waits
        if self._step < len(waits) and text.startswith(waits[self._step].encode()) and bool(text) == bool(waits[self._step]):
            self._step += 1
            self._frame(1, self._speech.greetings[self._step - 1])
        elif self._step == len(waits) and text.startswith(self._course.load.dialect.ready.encode()):
            self.ready.set_result(None)

    def _take_message(self, sender: int, number: int) -> None:
        self._course.latest = time.monotonic()
        self._course.received += 1
        self.received.append(message(sender, number))
        self.latencies.append(self._course.microseconds(sender, number))

    def _take_ack(self) -> None:
        course = self._course
        course.latest = time.monotonic()
        course.acked += 1
        self.acks.append(course.microseconds(self._number, self.sent - 1) if course.load.by_acks else 0)
        if course.load.by_acks and course.latest < course.ends:
            self.send_message(course.latest)


async def _connect_all(course: Course) -> list[Connection]:
    loop, gate, load = asyncio.get_running_loop(), asyncio.Semaphore(course.load.at_once), course.load

    async def one(number: int, speech: Speech) -> Connection:
        async with gate:
            _, made = await loop.create_connection(lambda: Connection(number, speech, course), "127.0.0.1", load.port)
            await made.ready
        return made

    async with asyncio.timeout(_CONNECT_SECONDS):
        return list(await asyncio.gather(*(one(number, speech) for number, speech in enumerate(load.speeches))))


async def _send_all(course: Course, connections: list[Connection]) -> None:
    load = course.load
    if load.by_acks:
        for each in connections[: load.senders]:
            each.send_message(course.began)
    while (now := time.monotonic()) < course.ends and not course.closed:
        while not load.by_acks and (due := _due(course, now)) is not None:
            connections[course.sent % load.senders].send_message(due)
        await asyncio.sleep(0.0005)


def _due(course: Course, now: float) -> float | None:
    """When the next message is due, if it is."""
    load = course.load
    if not load.rate:
        return now if course.sent * load.copies < course.received + load.window * load.copies else None
    due = course.began + course.sent / load.rate
    return due if due <= now else None


async def _play(course: Course, connections: list[Connection]) -> None:
    load, used = course.load, _cpu()
    course.began = course.latest = time.monotonic()
    course.ends = course.began + load.seconds
    await _send_all(course, connections)
    while not course.is_complete and time.monotonic() < course.latest + load.patience_seconds:  # noqa: ASYNC110 - many callbacks count
        await asyncio.sleep(0.002)
    told = {"elapsed": course.latest - course.began, "received": course.received, "acked": course.acked, "cpu": _cpu() - used}
    _say("end")
    await asyncio.sleep(_SETTLE_SECONDS)  # what comes twice comes after the first
    heard = [Heard(each.sent, each.received, each.latencies, each.acks) for each in connections]
    await asyncio.to_thread(load.log.write_bytes, b"".join(each.encode() for each in heard))
    _say(f"done {json.dumps(told | {'closed': course.closed})}")


async def _run(load: Load, expect: Callable[[bytes], None]) -> None:
    course = Course(load)
    expect(b"connect\n")
    began, used = time.monotonic(), _cpu()
    connections = await _connect_all(course)
    elapsed = time.monotonic() - began
    _say(f"ready {elapsed:.6f}")
    _say(f"used {(_cpu() - used) / elapsed:.6f}")
    expect(b"go\n")
    await _play(course, connections)


def _expect(line: bytes) -> None:
    if (told := sys.stdin.buffer.readline()) != line:
        raise SystemExit(0 if not told else f"expected {line!r}")


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _say(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    """One load, from standard input."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(read_load(sys.stdin.buffer), _expect))
    except (OSError, TimeoutError) as error:
        _say(f"failed {error}")


if __name__ == "__main__":
    main()
