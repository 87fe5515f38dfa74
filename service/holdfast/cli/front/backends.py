"""Which instance takes the next connection.

Least connections first, the one that waited longest among equals; never sticky. An instance whose `/readyz` is 503 (it
drains) gets new ones only when no ready one is left, and one that does not answer is tried last: the poll may lag.
One event loop owns a `Backends`; nothing here raises because an instance is away.
"""

import asyncio
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import count

_POLL_SECONDS = 1.0
_MISSED_POLL_SECONDS = 0.25  # a user who starts a part again wants to see it in use
_PROBE_TIMEOUT_SECONDS = 2.0  # of the kubelet's readiness probe, too
_ANSWER_BYTES = 65_536
_SILENT_PROBES = 2  # one late answer of a busy machine is no news; a refused connection is


class Health(IntEnum):
    """What the last probes said; lower is preferred."""

    READY = 0
    NOT_READY = 1
    AWAY = 2


@dataclass(slots=True)
class Backend:
    """One instance as the front sees it."""

    name: str
    host: str
    port: int
    health: Health = Health.AWAY
    connections: int = 0
    silent_probes: int = 0
    last_turn: int = 0


@dataclass(slots=True)
class Backends:
    """All instances, in no order that would matter."""

    each: tuple[Backend, ...]
    _turns: "count[int]" = field(default_factory=lambda: count(1))

    @property
    def has_ready(self) -> bool:
        """Whether any instance was ready when it was last asked."""
        return any(backend.health is Health.READY for backend in self.each)

    def candidates(self) -> list[Backend]:
        """All of them, the one to try first at the front."""
        return sorted(self.each, key=lambda backend: (backend.health, backend.connections, backend.last_turn))

    def take(self, backend: Backend) -> None:
        """A connection to `backend` was made; `release` follows exactly once."""
        backend.connections += 1
        backend.last_turn = next(self._turns)

    @staticmethod
    def release(backend: Backend) -> None:
        """A connection to `backend` ended."""
        backend.connections -= 1

    async def poll(self) -> None:
        """Ask all of them for ever, each second, sooner while one is missed; ends by cancellation."""
        while True:
            await asyncio.gather(*(_probe(backend) for backend in self.each))
            is_whole = all(backend.health is Health.READY for backend in self.each)
            await asyncio.sleep(_POLL_SECONDS if is_whole else _MISSED_POLL_SECONDS)


async def _probe(backend: Backend) -> None:
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_SECONDS):
            status = await _readyz(backend)
    except TimeoutError:
        backend.silent_probes += 1
        if backend.silent_probes >= _SILENT_PROBES:
            backend.health = Health.AWAY
    except OSError:
        backend.health = Health.AWAY
    else:
        backend.silent_probes = 0
        backend.health = Health.READY if status == 200 else Health.NOT_READY


async def _readyz(backend: Backend) -> int:
    """The status of `GET /readyz`; 0: something answers, but it is no instance."""
    return (await fetch(backend, "/readyz"))[0]


async def fetch(backend: Backend, path: str) -> tuple[int, bytes]:
    """The status and the body of `GET path`; status 0 where what answers speaks no HTTP.

    Raises:
        OSError: there is no answer.
    """
    reader, writer = await asyncio.open_connection(backend.host, backend.port, limit=_ANSWER_BYTES)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {backend.host}:{backend.port}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while len(answer) < _ANSWER_BYTES and (more := await reader.read(_ANSWER_BYTES)):
            answer += more
        if not answer:
            raise ConnectionResetError("closed without an answer")
        status, _, body = answer.partition(b"\r\n\r\n")
        return int(status.split(b" ", 2)[1]) if status.startswith(b"HTTP/1.") else 0, body
    except (IndexError, ValueError):
        return 0, b""
    finally:
        writer.close()
