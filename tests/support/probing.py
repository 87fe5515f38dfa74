"""A real `holdfast probe` for tests, and a way to plant mistakes between it and an instance."""

import asyncio
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import httpx

from holdfast.launcher.ports import free_port
from holdfast.launcher.process import LocalProcess
from support.eventually import eventually
from support.instances import SECRET

_CHUNK_BYTES = 65_536


class Probe(LocalProcess):
    """One process. `environ`: `HOLDFAST_PROBE__*` without the prefix."""

    def __init__(self, directory: Path, urls: list[str], **environ: str) -> None:
        super().__init__("probe", directory / "probe.log")
        self.port = free_port()
        own = {"URLS": ",".join(urls), "HOST": "127.0.0.1", "PORT": str(self.port), **environ}
        self._environ = {key: value for key, value in os.environ.items() if not key.startswith("HOLDFAST_")}
        self._environ |= {f"HOLDFAST_PROBE__{name}": value for name, value in own.items()}
        self._environ |= {"HOLDFAST_AUTH__SECRET": SECRET, "HOLDFAST_LOG__FORMAT": "text"}

    async def __aenter__(self) -> Self:
        self.run([sys.executable, "-m", "holdfast", "probe"], self._environ)
        await eventually(self._answers)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()

    async def values(self) -> dict[str, float]:
        """Each series of its metrics, without the `holdfast_probe_`."""
        async with httpx.AsyncClient(verify=False, trust_env=False) as http:
            text = (await http.get(f"http://127.0.0.1:{self.port}/metrics", timeout=5)).text
        return {name: float(value) for name, value in re.findall(r"^holdfast_probe_(\S+) (\S+)$", text, re.MULTILINE)}

    async def attempts(self, step: str, result: str = "ok") -> int:
        """How many there were."""
        return int((await self.values())[f'attempts_total{{result="{result}",step="{step}"}}'])

    async def violations(self) -> dict[str, int]:
        """How many there were of each kind."""
        values = await self.values()
        return {name.split('"')[1]: int(value) for name, value in values.items() if name.startswith("violations_total")}

    async def _answers(self) -> bool:
        assert self.is_running, self.log()[-4_000:]
        try:
            return bool(await self.values())
        except httpx.HTTPError:
            return False


Plant = Callable[[list[bytes]], list[bytes] | None]
"""Frames of messages that came in a row in, what is passed on instead out; None to wait for one more."""


class Tamperer:
    """A TCP proxy in front of an instance. `plant` is done once to the next messages that it sends over a socket."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self.plant: Plant | None = None
        self._target_port = target_port
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: list[bytes] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        from_target, to_target = await asyncio.open_connection("127.0.0.1", self._target_port)
        for work in (self._requests(from_client, to_target), self._answers(from_target, to_client)):
            task = asyncio.ensure_future(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _requests(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(_CHUNK_BYTES):
                sink.write(data)
        except OSError:
            pass
        finally:
            sink.close()

    async def _answers(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            head = await source.readuntil(b"\r\n\r\n")
            sink.write(head)
            if head.startswith(b"HTTP/1.1 101"):
                while True:
                    for frame in self._tampered(await _frame(source)):
                        sink.write(frame)
            while data := await source.read(_CHUNK_BYTES):
                sink.write(data)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            sink.close()

    def _tampered(self, frame: bytes) -> list[bytes]:
        if self.plant is None or b'"type":"message"' not in frame:
            return [frame]
        self._held.append(frame)
        passed = self.plant(self._held)
        if passed is None:
            return []
        self.plant, self._held = None, []
        return passed


async def _frame(source: asyncio.StreamReader) -> bytes:
    """One WebSocket frame of a server: RFC 6455, section 5.2, without a mask."""
    head = await source.readexactly(2)
    more = await source.readexactly({126: 2, 127: 8}.get(head[1] & 127, 0))
    length = int.from_bytes(more, "big") if more else head[1] & 127
    return head + more + await source.readexactly(length)


def altered(frame: bytes, **fields: Any) -> bytes:
    """The frame of a message with other fields."""
    start = frame.index(b"{")
    text = json.dumps(json.loads(frame[start:]) | fields).encode()
    return frame[:1] + bytes([126]) + len(text).to_bytes(2, "big") + text
