"""A device that follows docs/protocol.md by the letter, without the Python client: WebSocket frames and JSON by hand.

A frame against the protocol (a gap, a frame of no conversation of its own) goes into the history as `protocol`.
"""

import asyncio
import base64
import contextlib
import itertools
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA
_CONNECT_SECONDS: Final = 5.0
_FINAL_CODES: Final = (1000, 1008)
_NO_CODE: Final = 1005  # the close frame had none
_FIRST_PAUSE_SECONDS: Final = 0.5
_MAX_PAUSE_SECONDS: Final = 30.0
_RETRY_SECONDS: Final = 0.5
_PONG_SECONDS: Final = 10.0


class Recorder(Protocol):
    """Where a device writes down what it sees."""

    def record(self, event: str, **fields: Any) -> None:
        """One event."""
        ...


@dataclass(slots=True)
class _Draft:
    conversation: str
    key: str
    body: str
    is_in_flight: bool = False
    not_before: float = 0.0


class _Ended(Exception):
    """The socket has ended, with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class RawDevice:
    """`run` until it is cancelled; `send` at any time.

    Attributes:
        cursors: how far it has shown each conversation; None at the start asks for no replay.
        generation: of the store that they are of.
    """

    def __init__(
        self,
        urls: list[str],
        token: Callable[[], str],
        cursors: dict[str, int] | None,
        history: Recorder,
        rng: random.Random,
        generation: str = "",
    ) -> None:
        self.cursors: dict[str, int] = dict(cursors or {})
        self._is_resuming = cursors is not None
        self._urls = itertools.cycle(urls)
        self._token = token
        self._history = history
        self._rng = rng
        self._outbox: dict[str, _Draft] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._read_by: dict[tuple[str, str], int] = {}
        self._me = ""
        self._connection = ""
        self.generation = generation
        self._greeted_generation = ""
        self._is_synced = False
        self._reconnect_at: float | None = None
        self._loop = asyncio.get_running_loop()

    def send(self, conversation: str, body: str, key: str) -> None:
        """It is sent until it is answered, one at a time for each conversation."""
        self._history.record("send", conversation=conversation, key=key, body=body)
        self._outbox[key] = _Draft(conversation, key, body)
        self._write_due()

    def read(self, conversation: str, seq: int) -> None:
        """Everything up to that message is read."""
        if self._is_synced:
            self._write({"type": "read", "conversation_id": conversation, "message_id": f"{seq:012}", "ref": f"read-{seq}"})

    def typing(self, conversation: str) -> None:
        """Show others that the user types."""
        if self._is_synced:
            self._write({"type": "typing", "conversation_id": conversation, "active": True, "ref": "typing"})

    def leave(self) -> None:
        """Close the socket as an application does that ends; `run` is cancelled next."""
        if self._writer is not None and self._connection:
            self._close(1000)
            self._history.record("closed", connection=self._connection, code=1000, clean=True)
            self._connection = ""

    async def run(self) -> int:
        """Connect, and again; the close code that told it to stop."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            code = await self._one_socket(next(self._urls))
            if code in _FINAL_CODES or 4500 <= code <= 4999:
                return code
            if code == 0:  # it has been synced
                pause = _FIRST_PAUSE_SECONDS
            await asyncio.sleep(self._rng.uniform(0.0, pause))
            pause = min(_MAX_PAUSE_SECONDS, 2 * pause)

    async def _one_socket(self, url: str) -> int:
        """0 where it came to `synced` and may come back; else the close code."""
        self._history.record("opening")
        self._connection, self._is_synced, self._reconnect_at = "", False, None
        code = 1006
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                reader = await self._upgrade(url)
            await self._listen(reader)
        except _Ended as ended:
            code = ended.code
        except (OSError, EOFError, TimeoutError, ValueError):
            pass
        finally:
            if self._writer is not None:
                self._writer.transport.abort()
                self._writer = None
            for draft in self._outbox.values():
                draft.is_in_flight = False
            if self._connection:
                self._history.record("closed", connection=self._connection, code=code, clean=code != 1006)
        is_back = self._is_synced and code not in _FINAL_CODES and not 4500 <= code <= 4999
        self._is_synced = False
        return 0 if is_back else code

    async def _upgrade(self, url: str) -> asyncio.StreamReader:
        address = urlsplit(url)
        reader, self._writer = await asyncio.open_connection(address.hostname, address.port)
        key = base64.b64encode(self._rng.randbytes(16)).decode()
        lines = [
            "GET /ws HTTP/1.1",
            f"Host: {address.netloc}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Protocol: holdfast.v1",
            f"Authorization: Bearer {self._token()}",
        ]
        self._writer.write("\r\n".join([*lines, "", ""]).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n", 1)[0]:
            raise ValueError(head)
        return reader

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        keepalive = 20.0
        while True:
            self._write_due()
            wait = min(
                keepalive,
                *(max(0.01, d.not_before - self._loop.time()) for d in self._outbox.values() if not d.is_in_flight),
                5.0,
            )
            if self._reconnect_at is not None and self._loop.time() >= self._reconnect_at:
                self._close(1001)
                raise _Ended(1001)
            frame = await self._frame_within(reader, wait)
            if frame is None:
                continue
            opcode, payload = frame
            if opcode == _PING:
                self._frame(_PONG, payload)
            elif opcode == _CLOSE:
                code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else _NO_CODE
                self._close(code)
                raise _Ended(code)
            elif opcode == _TEXT:
                self._received(json.loads(payload))

    async def _frame_within(self, reader: asyncio.StreamReader, seconds: float) -> tuple[int, bytes] | None:
        try:
            async with asyncio.timeout(seconds):
                first = await reader.readexactly(1)
        except TimeoutError:
            return None
        async with asyncio.timeout(_PONG_SECONDS):
            second = (await reader.readexactly(1))[0]
            size = second & 0x7F
            if size > 125:
                size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
            return first[0] & 0x0F, await reader.readexactly(size)

    # --- what comes -----------------------------------------------------------------------------------------------------

    def _received(self, frame: dict[str, Any]) -> None:
        kind = frame["type"]
        take = getattr(self, f"_on_{kind}", None)
        if take is not None:
            take(frame)

    def _on_welcome(self, frame: dict[str, Any]) -> None:
        self._me, self._connection = frame["user_id"], frame["connection_id"]
        self._greeted_generation = frame.get("generation", "")
        told = {"instance": frame["instance_id"], "generation": self._greeted_generation, "resumed": self._is_resuming}
        self._history.record("opened", connection=self._connection, **told)
        hello: dict[str, Any] = {"type": "hello"}
        if self._is_resuming:
            hello["cursors"] = self.cursors
            if self.generation:
                hello["generation"] = self.generation
        self._write(hello)

    def _on_synced(self, frame: dict[str, Any]) -> None:
        heads = frame["heads"]
        for conversation in [each for each in self.cursors if each not in heads]:
            del self.cursors[conversation]
        for conversation, head in heads.items():
            if not self._is_resuming:
                self.cursors.setdefault(conversation, head)
            elif self.cursors.get(conversation, head) < head:
                self._against(f"synced with the head {head} of {conversation}, shown up to {self.cursors[conversation]}")
        self._is_synced = self._is_resuming = True
        self.generation = self._greeted_generation
        self._history.record("synced", connection=self._connection)

    def _on_message(self, frame: dict[str, Any]) -> None:
        conversation, seq = frame["conversation_id"], frame["seq"]
        said = {"conversation": conversation, "seq": seq, "sender": frame["sender"], "key": frame["client_message_id"]}
        self._history.record("received", **said, body=frame["body"])
        at = self.cursors.get(conversation)
        if at is not None and seq <= at:
            return
        if at is not None and seq > at + 1:
            self._against(f"{conversation}/{seq} after {at}: a gap")
        self.cursors[conversation] = seq
        self._history.record("shown", **said, body=frame["body"])
        if self._is_synced and self._rng.random() < 0.1:
            self.read(conversation, seq)

    def _on_conversation(self, frame: dict[str, Any]) -> None:
        conversation, summary = frame["conversation_id"], frame.get("conversation")
        fields: dict[str, object] = {"conversation": conversation, "name": frame["event"], "about": frame.get("user_id", "")}
        if summary is not None:
            fields |= {"seq": summary["last_seq"], "joined": summary["joined_seq"]}
        self._history.record("notice", **fields)
        if frame["event"] == "member_removed" and frame.get("user_id") == self._me:
            self.cursors.pop(conversation, None)
        elif summary is not None:
            self.cursors.setdefault(conversation, summary["last_seq"])

    def _on_truncated(self, frame: dict[str, Any]) -> None:
        conversation, first, last = frame["conversation_id"], frame["from_seq"], frame["to_seq"]
        self._history.record("skipped", conversation=conversation, first=first, last=last)
        self.cursors[conversation] = max(self.cursors.get(conversation, 0), last)

    def _on_reset(self, frame: dict[str, Any]) -> None:
        self._history.record("reset", conversation=frame["conversation_id"], head=frame["last_seq"])
        self.cursors[frame["conversation_id"]] = frame["last_seq"]
        self._read_by = {which: seq for which, seq in self._read_by.items() if which[1] != frame["conversation_id"]}

    def _on_presence(self, frame: dict[str, Any]) -> None:
        self._history.record("presence", about=frame["user_id"], online=frame["online"])

    def _on_receipt(self, frame: dict[str, Any]) -> None:
        about, conversation, seq = frame["user_id"], frame["conversation_id"], frame["seq"]
        if seq > self._read_by.get((about, conversation), 0):  # read cursors only move forward, whatever the order of receipts
            self._read_by[about, conversation] = seq
            self._history.record("cursor", about=about, conversation=conversation, seq=seq)

    def _on_ok(self, frame: dict[str, Any]) -> None:
        if frame.get("ref", "").startswith("read-") and "seq" in frame:
            self._history.record("read", conversation=frame["conversation_id"], seq=frame["seq"])

    def _on_draining(self, frame: dict[str, Any]) -> None:
        self._reconnect_at = self._loop.time() + frame["reconnect_after_ms"] / 1000

    def _on_ack(self, frame: dict[str, Any]) -> None:
        if self._outbox.pop(frame["client_message_id"], None) is not None:
            said = {"conversation": frame["conversation_id"], "key": frame["client_message_id"], "seq": frame["seq"]}
            self._history.record("ack", **said, duplicate=frame["duplicate"])

    def _on_error(self, frame: dict[str, Any]) -> None:
        draft = self._outbox.get(frame.get("ref", ""))
        if draft is None:
            return
        if frame.get("outcome") == "refused" and not frame["retryable"]:
            del self._outbox[draft.key]
            self._history.record("refused", conversation=draft.conversation, key=draft.key, code=frame["code"])
        else:
            draft.is_in_flight = False
            draft.not_before = self._loop.time() + max(_RETRY_SECONDS, frame.get("retry_after_ms", 0) / 1000)

    def _against(self, what: str) -> None:
        self._history.record("protocol", code=what)

    # --- what goes ------------------------------------------------------------------------------------------------------

    def _write_due(self) -> None:
        if not self._is_synced:
            return
        busy = {draft.conversation for draft in self._outbox.values() if draft.is_in_flight}
        for draft in self._outbox.values():
            if draft.conversation not in busy and draft.not_before <= self._loop.time():
                busy.add(draft.conversation)
                draft.is_in_flight = True
                said = {"ref": draft.key, "conversation_id": draft.conversation, "client_message_id": draft.key}
                self._write({"type": "send", **said, "body": draft.body})
            else:
                busy.add(draft.conversation)

    def _write(self, frame: dict[str, Any]) -> None:
        self._frame(_TEXT, json.dumps(frame).encode())

    def _close(self, code: int) -> None:
        """Begin the closing handshake, or answer it: the service knows by it that everything before was received."""
        self._frame(_CLOSE, b"" if code == _NO_CODE else code.to_bytes(2, "big"))
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _frame(self, opcode: int, payload: bytes) -> None:
        size, head = len(payload), bytes([0x80 | opcode])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 65_536:
            head += bytes([0x80 | 126]) + size.to_bytes(2, "big")
        else:
            head += bytes([0x80 | 127]) + size.to_bytes(8, "big")
        if self._writer is not None:
            with contextlib.suppress(OSError, RuntimeError):
                self._writer.write(head + b"\0\0\0\0" + payload)  # a mask of zeros changes nothing
