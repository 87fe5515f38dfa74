"""A server that plays a script: what a client meets in the field, said in data. README.md beside it describes the scripts.

It needs only the standard library and does not depend on any client. As a program it plays one scenario for a client in
another language; inside Python it is used as `async with ScriptedServer(script) as server`.
"""

import asyncio
import base64
import contextlib
import hashlib
import json
import re
import struct
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

Json = dict[str, Any]

LIMITS: Json = {
    "body_bytes": 16384,
    "metadata_bytes": 4096,
    "frame_bytes": 131072,
    "cursors": 1000,
    "replay_messages": 500,
    "page_size": 200,
    "members": 1000,
    "conversations_per_user": 1000,
    "indicator_members": 100,
    "sends_per_second": 50,
    "inflight_sends": 64,
    "frames_per_second": 100,
    "connections_per_user": 32,
}
_AT = "2026-01-31T12:00:00.000Z"
_WELCOME: Json = {
    "type": "welcome",
    "protocol": "holdfast.v1",
    "user_id": "ann",
    "connection_id": "connection",
    "instance_id": "instance",
    "server_version": "0",
    "server_time": _AT,
    "expires_at": _AT,
    "keepalive_ms": 20000,
    "degraded": [],
}
_PLAIN: list[Json] = [{"welcome": {}}, {"serve": {}}]
_ANY_PAGE = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "*"}
_ASKED_BEFORE = {"Access-Control-Allow-Methods": "*", "Access-Control-Allow-Headers": "Authorization, Content-Type"}
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)


class _Ended(Exception):
    """The socket has ended."""


class ScriptedServer:
    """Listens on a free port of 127.0.0.1 while its context lasts.

    Attributes:
        port: where.
        log: everything that clients did, as JSON objects in order; see README.md. `tasks`: what is under way.
    """

    def __init__(self, script: Json) -> None:
        self.port = 0
        self.log: list[Json] = []
        self.stored: dict[str, dict[str, int]] = {}
        self._script = script
        self._gates: dict[str, asyncio.Event] = {}
        self._sockets = self._calls = 0
        self._server: asyncio.Server | None = None
        self.tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=2**24)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def gate(self, name: str) -> asyncio.Event:
        """The gates that steps wait for (`until`), and that other steps or the client's side open (`open`)."""
        return self._gates.setdefault(name, asyncio.Event())

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            await self._answer(reader, writer)
        except (_Ended, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.tasks.discard(task)
            with contextlib.suppress(OSError):
                writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            target = request.split(" ")[1]
            if headers.get("upgrade", "").lower() == "websocket":
                await self._play(target, headers, reader, writer)
                return
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            writer.write(_http(self._page(request.split(" ")[0], target, body)))
            await writer.drain()

    def _page(self, method: str, target: str, body: bytes) -> Json:
        """The answer to a call of REST: they are given in turn, the last one again and again. A page's browser asks before it."""
        if method == "OPTIONS":
            return {"status": 204, "headers": _ASKED_BEFORE}
        self.log.append({"rest": target, "method": method, "body": json.loads(body or b"null")})
        answers = self._script.get("rest", [{"status": 404, "text": "not found"}])
        self._calls += 1
        return dict(answers[min(self._calls, len(answers)) - 1])

    async def _play(
        self, target: str, headers: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        scripts = self._script.get("sockets", [_PLAIN])
        number = self._sockets
        self._sockets += 1
        self.log.append({"socket": number, "asked": urlsplit(target).path})
        await _Socket(self, number, headers, reader, writer, self._script).play(scripts[min(number, len(scripts) - 1)])


class _Socket:
    """One attempt of a client to open a socket."""

    def __init__(
        self,
        server: ScriptedServer,
        number: int,
        headers: dict[str, str],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        script: Json,
    ) -> None:
        self._server = server
        self._number = number
        self._headers = headers
        self._reader = reader
        self._writer = writer
        self._heads: dict[str, int] = script.get("heads", {})
        self._limits = {**LIMITS, **script.get("limits", {})}
        self._last: Json = {}
        self._has_hello, self._answer_after, self._unanswered = False, 0.0, 0

    async def play(self, steps: list[Json]) -> None:
        """One step after the other; each has one verb."""
        for step in steps:
            ((verb, argument),) = step.items()
            await getattr(self, f"_do_{verb}")(argument)

    # --- the verbs of a script ----------------------------------------------------------------------------------------

    async def _do_refuse(self, answer: Json) -> None:
        self._writer.write(_http(answer))
        await self._writer.drain()
        raise _Ended

    async def _do_raw(self, text: str) -> None:
        self._writer.write(text.encode("latin-1"))
        await self._writer.drain()
        raise _Ended

    async def _do_accept(self, _: object) -> None:
        key = self._headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Accept: {accept}", "Sec-WebSocket-Protocol: holdfast.v1", "", ""]
        self._writer.write("\r\n".join(lines).encode())

    async def _do_welcome(self, changed: Json) -> None:
        await self._do_accept({})
        self._limits.update(changed.get("limits", {}))
        await self._do_send({**_WELCOME, **changed, "limits": self._limits})

    async def _do_send(self, frame: Json) -> None:
        self._write(0x1, json.dumps(_filled(frame, self._last)).encode())

    async def _do_text(self, text: str) -> None:
        self._write(0x1, text.encode())

    async def _do_close(self, code: int) -> None:
        self._write(0x8, struct.pack("!H", code))
        await self._writer.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                while (await self._read())[0] != 0x8:
                    pass  # browsers take no second close frame in answer to theirs
        raise _Ended

    async def _do_drop(self, _: object) -> None:
        self._writer.transport.abort()
        raise _Ended

    async def _do_wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _do_open(self, gate: str) -> None:
        self._server.gate(gate).set()

    async def _do_until(self, gate: str) -> None:
        await self._server.gate(gate).wait()

    async def _do_receive(self, wanted: Json) -> None:
        """Until a frame comes that contains this; others are answered as an instance would."""
        while True:
            frame = await self._next()
            if contains(frame, wanted):
                self._last = frame
                self._has_hello = self._has_hello or frame.get("type") == "hello"
                return
            await self._obey(frame)

    async def _do_serve(self, options: Json) -> None:
        """As an instance would, for ever; `rules`: what is answered otherwise, the first one that matches."""
        rules, self._answer_after = options.get("rules", []), options.get("answer_after", 0.0)
        while True:
            frame = await self._next()
            rule = next((rule for rule in rules if contains(frame, rule["if"])), None)
            if rule is None:
                await self._obey(frame)
            else:
                self._last = frame
                await self.play(rule["then"])

    # --- as an instance would -----------------------------------------------------------------------------------------

    async def _obey(self, frame: Json) -> None:
        kind = frame.get("type")
        refusal = self._refusal(frame)
        if refusal is not None:
            await self._refuse(frame, *refusal)
        elif kind == "hello":
            self._has_hello = True
            await self._do_send({"type": "synced", "heads": self._heads, "read_seqs": {}, "revisions": {}})
        elif kind == "send":
            self._unanswered += 1
            if self._answer_after:
                self._server.tasks.add(asyncio.create_task(self._acknowledge(frame)))
            else:
                await self._acknowledge(frame)
        elif kind == "ping":
            await self._answer(frame, {"type": "pong"})
        elif "ref" in frame:
            await self._answer(frame, {"type": "ok", "conversation_id": frame.get("conversation_id", "c")})

    async def _acknowledge(self, frame: Json) -> None:
        await asyncio.sleep(self._answer_after)  # a script may want a slow service
        self._unanswered -= 1
        conversation, key = frame["conversation_id"], frame["client_message_id"]
        stored = self._server.stored.setdefault(conversation, {})
        duplicate = key in stored
        seq = stored.setdefault(key, self._heads.get(conversation, 0) + len(stored) + (not duplicate))
        ack = {"type": "ack", "conversation_id": conversation, "client_message_id": key, "message_id": f"{seq:012d}"}
        await self._answer(frame, {**ack, "seq": seq, "sent_at": _AT, "duplicate": duplicate})

    def _refusal(self, frame: Json) -> tuple[str, str, bool] | None:
        """(code, field, whether it may succeed later) of what an instance refuses."""
        if frame.get("type") == "hello":
            cursors = frame.get("cursors") or {}
            if len(cursors) > self._limits["cursors"] or not all(map(_ID.fullmatch, cursors)):
                return "invalid_request", "cursors", False
            if not all(isinstance(seq, int) and 0 <= seq < 10**12 for seq in cursors.values()):
                return "invalid_request", "cursors", False
            return ("invalid_request", "client", False) if len(frame.get("client") or "") > 64 else None
        if frame.get("type") != "ping" and not self._has_hello:
            return "invalid_state", "type", False
        for field in ("conversation_id", "client_message_id"):
            if field in frame and not (isinstance(frame[field], str) and _ID.fullmatch(frame[field])):
                return "invalid_request", field, False
        if frame.get("type") == "send":
            if self._unanswered >= self._limits["inflight_sends"]:
                self._server.log.append({"socket": self._number, "too_many": self._unanswered + 1})
                return "rate_limited", "type", True
            size = len(frame["body"].encode())
            if not size:
                return "invalid_request", "body", False
            if size > self._limits["body_bytes"]:
                return "body_too_large", "body", False
            if len(json.dumps(frame.get("metadata")).encode()) > self._limits["metadata_bytes"]:
                return "invalid_request", "metadata", False
        return None

    async def _refuse(self, frame: Json, code: str, field: str, retryable: bool) -> None:
        echoed = {
            name: frame[name]
            for name in ("conversation_id", "client_message_id")
            if isinstance(frame.get(name), str) and len(frame[name]) <= 128
        }
        outcome = {"outcome": "refused"} if frame.get("type") == "send" else {}
        error = {"type": "error", "code": code, "detail": "refused", "retryable": retryable, "field": field}
        await self._answer(frame, {**error, **echoed, **outcome})

    async def _answer(self, frame: Json, answer: Json) -> None:
        await self._do_send({**answer, **({"ref": frame["ref"]} if "ref" in frame else {})})

    # --- WebSocket ----------------------------------------------------------------------------------------------------

    async def _next(self) -> Json:
        """The next frame, logged. One over the limit, or that is no JSON, ends the socket as at an instance."""
        while True:
            code, data = await self._read()
            if code == 0x8:
                self._write(0x8, data[:2])
                raise _Ended
            if code == 0x9:
                self._write(0xA, data)
            if code != 0x1:
                continue
            if len(data) > self._limits["frame_bytes"]:
                self._server.log.append({"socket": self._number, "too_big": len(data)})
                await self._do_close(1009)
            try:
                frame = json.loads(data.decode())
            except ValueError:
                await self._do_close(1007)
            self._server.log.append({"socket": self._number, "received": frame, "bytes": len(data)})
            return dict(frame)

    async def _read(self) -> tuple[int, bytes]:
        first, second = await self._reader.readexactly(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", await self._reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self._reader.readexactly(8))
        mask = await self._reader.readexactly(4)
        data = await self._reader.readexactly(size)
        key = (mask * (size // 4 + 1))[:size]
        return first & 0x0F, (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")

    def _write(self, code: int, data: bytes) -> None:
        size = len(data)
        if size < 126:  # the shortest form of a length: browsers take no other
            length = bytes((size,))
        else:
            length = b"\x7e" + struct.pack("!H", size) if size < 2**16 else b"\x7f" + struct.pack("!Q", size)
        self._writer.write(bytes((0x80 | code,)) + length + data)


def contains(whole: Any, part: Any) -> bool:
    """Whether an object has these members, each of which contains what is wanted of it; anything else is compared."""
    if isinstance(whole, dict) and isinstance(part, dict):
        return all(name in whole and contains(whole[name], wanted) for name, wanted in part.items())
    return bool(whole == part)


def _filled(value: Any, last: Json) -> Any:
    """`"$name"` becomes that member of the frame that was received last."""
    if isinstance(value, dict):
        return {name: _filled(each, last) for name, each in value.items() if each != f"${name}" or name in last}
    if isinstance(value, str) and value.startswith("$"):
        return last.get(value[1:], value)
    return value


def _http(answer: Json) -> bytes:
    """`{"status", "headers"?, "text"?, "json"?, "problem"?}` as the bytes of an answer."""
    headers = {"Content-Type": "text/html", **_ANY_PAGE, **answer.get("headers", {})}
    body = answer.get("text", "")
    if "json" in answer:
        headers["Content-Type"], body = "application/json", json.dumps(answer["json"])
    if "problem" in answer:
        headers["Content-Type"] = "application/problem+json"
        kind = {"type": f"urn:holdfast:problem:{answer['problem']['code']}", "title": "", "status": answer["status"]}
        body = json.dumps({**kind, **answer["problem"]})
    data = body.encode()
    lines = [f"HTTP/1.1 {answer['status']} Answer", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(data)}", "", ""]).encode() + data


async def _serve(file: str, name: str) -> None:
    """For a client in another language: the port on the first line; then on standard input `open GATE`, `log`, or the end."""
    scenario = next(each for each in json.loads(Path(file).read_text(encoding="utf-8")) if each["name"] == name)
    async with ScriptedServer(scenario.get("server", {})) as server:
        print(json.dumps({"port": server.port}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            verb, _, gate = line.strip().partition(" ")
            if verb == "open":
                server.gate(gate).set()
            elif verb == "log":
                print(json.dumps(server.log), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:3]))
