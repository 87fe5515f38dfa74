"""The observations of the clients of a run, one JSON object a line: written while it happens, read by the checker.

The first line is the header. All others have `event` and `t`, seconds since the header on one monotonic clock; which other fields
an event has is in docs/drills.md. Unknown events and fields are passed over: later versions may write more.
"""

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from holdfast.errors import HoldfastError

FORMAT: Final = 1

JOINED_SEQ: Final = "joined_seq"
"""A version without it does not know from which message on a user is a member. It loses the first messages to a new member,
refuses new members, and takes messages of removed ones."""

READ_SEQ: Final = "read_seq"
"""A version without it moves a sender's read cursor with each message and tells no other member of it. A later read is told only
where it goes beyond that."""

LATEST_HEARD: Final = "latest_heard"
"""A version without it looks through an absence from when the instance that takes the user offline had heard the user. Where that
instance had ended earlier, the user is also notified of messages that another instance had shown since."""

_FLUSH_BYTES: Final = 256 * 1024


class HistoryUnreadable(HoldfastError):
    """A file is not a history; the message names the line."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds in seconds within which each promise must hold.

    Attributes:
        delivery_s: from an ack (or the end of a fault) to the message on every connected device.
        offline_s: from a user's last sign of life to offline, the grace included.
        grace_s: how long a user may be away without being shown as offline.
        removal_s: from a removal to the last message that is still delivered.
        healthy_s: from the end of a fault to sends that succeed as before.
    """

    delivery_s: float = 5.0
    offline_s: float = 40.0
    grace_s: float = 15.0
    removal_s: float = 3.0
    healthy_s: float = 15.0


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The header of a run. `started_at`: RFC 3339. `lacks`: features that an older version in the run does not have."""

    event: str = "header"
    format: int = FORMAT
    name: str
    seed: int = 0
    instances: int = 0
    clients: int = 0
    store: str = ""
    version: str = ""
    started_at: str = ""
    lacks: tuple[str, ...] = ()
    bounds: Bounds = Bounds()


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Any line but the first. Which fields mean something depends on `event`."""

    event: str
    t: float
    device: str = ""
    user: str = ""
    conversation: str = ""
    sender: str = ""
    key: str = ""
    seq: int = 0
    digest: str = ""
    duplicate: bool = False
    code: str | int = ""
    first: int = 0
    last: int = 0
    head: int = 0
    connection: str = ""
    instance: str = ""
    generation: str = ""
    resumed: bool = False
    clean: bool = True
    about: str = ""
    online: bool = False
    present: bool = False
    name: str = ""
    joined: int | None = None
    on: bool = False
    target: str = ""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Event)


class History:
    """Writes a history; a context manager. Not for several threads."""

    def __init__(self, path: Path, header: Header, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._clock = clock
        self._began = clock()
        self._lines = bytearray()
        self._file = path.open("wb")
        self._write(header)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def now(self) -> float:
        """Seconds since the header."""
        return self._clock() - self._began

    def record(self, event: str, **fields: object) -> None:
        """Write one line, with the time; after the end nothing."""
        if self._file.closed:
            return
        self._write({"event": event, "t": round(self.now, 4), **fields})

    @contextlib.contextmanager
    def fault(self, name: str, target: str = "") -> Iterator[None]:
        """Inside something is broken, and the history says so."""
        self.record("fault", name=name, target=target, on=True)
        try:
            yield
        finally:
            self.record("fault", name=name, target=target, on=False)

    def device(self, device: str, user: str) -> "DeviceHistory":
        """What an observer of one client writes to."""
        return DeviceHistory(self, device, user)

    def flush(self) -> None:
        """Let others read what was written so far."""
        self._file.write(self._lines)
        self._file.flush()
        self._lines.clear()

    def close(self) -> None:
        """Flush, and close. Idempotent."""
        if not self._file.closed:
            self.flush()
            self._file.close()

    def _write(self, line: object) -> None:
        self._lines += _encoder.encode(line)
        self._lines += b"\n"
        if len(self._lines) > _FLUSH_BYTES:
            self.flush()


class DeviceHistory:
    """Implements `client.Observer`: what one client sees goes into the history under its name; bodies as digests."""

    def __init__(self, history: History, device: str, user: str) -> None:
        self._history = history
        self._device = device
        self._user = user

    def record(self, event: str, **fields: Any) -> None:
        """See `Observer.record`."""
        if "body" in fields:
            fields["digest"] = digest(fields.pop("body"))
        self._history.record(event, **({"device": self._device, "user": self._user} | fields))


def digest(body: str) -> str:
    """The digest of a body: the beginning of its SHA-256, in hex."""
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def read_history(path: Path) -> tuple[Header, Iterator[Event]]:
    """The header, and the other lines as they are read.

    Raises:
        HistoryUnreadable: it is not a history; from the iterator, too.
    """
    try:
        with path.open("rb") as file:
            header = msgspec.json.decode(file.readline(), type=Header)
    except (OSError, msgspec.MsgspecError) as error:
        raise HistoryUnreadable(f"{path}: line 1: {error}") from None
    if header.event != "header" or header.format != FORMAT:
        raise HistoryUnreadable(f"{path}: line 1: expected the header of a history of format {FORMAT}")
    return header, _events(path)


def _events(path: Path) -> Iterator[Event]:
    with path.open("rb") as file:
        file.readline()
        for number, line in enumerate(file, 2):
            try:
                yield _decoder.decode(line)
            except msgspec.MsgspecError as error:
                raise HistoryUnreadable(f"{path}: line {number}: {error}") from None
