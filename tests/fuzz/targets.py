"""Properties that must hold for any bytes: one function for each place where bytes come in from outside an instance.

A target returns quietly, or raises: then a fuzzer has found a bug. `SEEDS` are where a fuzzer begins.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import uvicorn
from google.api_core.datetime_helpers import DatetimeWithNanoseconds
from uvicorn.server import ServerState

from holdfast.adapters.firestore import documents
from holdfast.adapters.redis import decoding
from holdfast.adapters.redis.roster_form import HeadForm, ListForm, ListPlace
from holdfast.adapters.sqlite import presence as sqlite_presence
from holdfast.adapters.sqlite import rows
from holdfast.domain.ids import ConversationId, UserId
from holdfast.domain.stored import Stored
from holdfast.errors import CommandError, Undecodable
from holdfast.node.connections.encoded import message_frame
from holdfast.protocol import commands, envelopes
from holdfast.protocol.codes import CODES
from holdfast.protocol.frames import CLIENT_TYPES, text_frame
from holdfast.protocol.jsontext import rfc3339
from holdfast.protocol.seals import Seals
from holdfast.web.handshake import Offer, UpgradeRequest, examine
from holdfast.web.http import GuardedHttp
from holdfast.web.websocket import WebSocket
from support.raw_socket import CLOSE, CONTINUATION, PING, TEXT, ws_frame

USER, CONVERSATION = UserId("ann"), ConversationId("team-42")
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


class Transport(asyncio.Transport):
    """Takes everything."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = False
        self.protocol: Any = None

    def write(self, data: Any) -> None:
        """Remember."""
        self.written += data

    def is_closing(self) -> bool:
        """After `close`."""
        return self.is_closed

    def close(self) -> None:
        """Remember."""
        self.is_closed = True

    abort = close

    def get_write_buffer_size(self) -> int:
        """Everything is sent at once."""
        return 0

    def set_write_buffer_limits(self, high: Any = None, low: Any = None) -> None:
        """Nothing waits."""

    def set_protocol(self, protocol: Any) -> None:
        """The connection was handed over."""
        self.protocol = protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Addresses."""
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default

    def pause_reading(self) -> None:
        """Never read."""

    resume_reading = pause_reading


class Listening(WebSocket):
    """Admits as the service does; every text is parsed as a command."""

    texts = 0

    def admit(self, request: UpgradeRequest) -> Offer:
        """As an instance with a list of origins does."""
        return examine(request, ("https://app.example.com",))

    def on_text(self, text: bytes) -> None:
        """A command, or the error that its client is told."""
        self.texts += 1
        command(text)

    def _abort_later(self) -> None:
        """No loop runs here."""


def command(text: bytes) -> None:
    """A client's frame is a command or one of the errors of the table, with a text that can be sent back."""
    try:
        msgspec.json.encode(commands.parse(text))
    except CommandError as error:
        text_frame(msgspec.json.encode({"title": CODES[error.code].title, "detail": error.detail, "field": error.field}))


def frame(data: bytes) -> None:
    """The wire: whatever comes, the service answers frames of its own, and a text is parsed."""
    command(data)
    command(_written(Values(data), _FRAME, "type", _FRAME_TYPES))
    socket, transport = Listening(), Transport()
    request = UpgradeRequest("GET", b"/ws", [(b"sec-websocket-version", b"13"), (b"sec-websocket-key", KEY)])
    socket.adopt(transport, request)
    assert transport.written.startswith(b"HTTP/1.1 101 ")
    for start in range(0, len(data), 1 + len(data) // 3):
        socket.data_received(data[start : start + 1 + len(data) // 3])
    socket.connection_lost(None)


class _Loop:
    """Starts nothing."""

    def call_later(self, *_: object) -> Any:
        """A timer that never rings."""
        return asyncio.TimerHandle(0, lambda: None, (), self)

    def create_task(self, coroutine: Any, **_: object) -> Any:
        """The call's own code is not what is tested here."""
        coroutine.close()
        return asyncio.Future(loop=self)

    def get_debug(self) -> bool:
        """For the two above."""
        return False

    _timer_handle_cancelled = call_soon = call_later


async def _nothing(scope: object, receive: object, send: object) -> None:
    """No application."""


_CONFIG = uvicorn.Config(_nothing, http=GuardedHttp, ws=Listening, lifespan="off", log_config=None)
_CONFIG.load()
logging.getLogger("uvicorn.error").disabled = True  # it says of each bad request that it was one


def handshake(data: bytes) -> None:
    """Heads of requests: an upgrade is accepted or refused, with a head of known lines; an exception would end in a traceback."""
    transport = Transport()
    http = GuardedHttp(config=_CONFIG, server_state=ServerState(), app_state={}, _loop=_Loop())
    http.connection_made(transport)
    for start in range(0, len(data), 1 + len(data) // 2):
        if transport.protocol is None and not transport.is_closed:
            http.data_received(data[start : start + 1 + len(data) // 2])
    head = transport.written.partition(b"\r\n\r\n")[0]
    assert not head or head.startswith(b"HTTP/1.1 "), head
    assert not head.startswith(b"HTTP/1.1 500"), "an exception in the handshake, which is answered and logged"
    if head.startswith(b"HTTP/1.1 101 "):
        names = [line.partition(b":")[0] for line in head.split(b"\r\n")[1:]]
        assert names[:3] == [b"Upgrade", b"Connection", b"Sec-WebSocket-Accept"], head
        assert names[3:] in ([], [b"Sec-WebSocket-Protocol"]), head


_SEALS = Seals("s" * 32)


def envelope(data: bytes) -> None:
    """The publication of another instance, or of any program in Redis: an envelope or None; never accepted without our
    signature."""
    assert not _SEALS.may_believe("conversation:team-42", data)
    for payload in (data, _written(Values(data), _ENVELOPE, "kind", _ENVELOPE_KINDS)):
        found = envelopes.decode(payload)
        if isinstance(found, envelopes.MessagesEnvelope):
            for raw in found.messages:
                _message_again(bytes(raw))
    _message_again(_written(Values(data), tuple(_SAID), "type", ("message",)))
    text, accepted_ms = envelopes.taken(data)
    if accepted_ms:
        assert len(text) < len(data)
    _message_again(text)


def _message_again(text: bytes) -> None:
    """A frame that was accepted is forwarded: it can be encoded, and is the same when it is read once more."""
    message = envelopes.decode_message(text)
    if message is not None:
        again = msgspec.json.encode(message)
        assert envelopes.decode_message(again) is not None
        kept = envelopes.kept(again, 5)
        assert envelopes.taken(kept) == (again, 5)


def redis(data: bytes) -> None:
    """Values of every kind of key: one of ours, or `Undecodable`; and what is accepted can be written again."""
    parts = data.split(b"\0")
    for reader in (decoding.number, decoding.seq, decoding.score):
        for part in (data, *parts):
            with contextlib.suppress(Undecodable):
                assert 0 <= reader(part) < 10**18
    for reads in (decoding.text, decoding.instance_name, decoding.epoch):
        for part in (data, *parts):
            with contextlib.suppress(Undecodable):
                assert str(reads(part)).encode() == part
    with contextlib.suppress(Undecodable):
        msgspec.json.encode(decoding.connection(USER, parts[0], parts[-1]))
    fields = (parts * 6)[:6]
    with contextlib.suppress(Undecodable):
        msgspec.json.encode(decoding.lease(*fields))
    for seals in (None, _SEALS):
        with contextlib.suppress(Undecodable):
            for row in ListForm(seals).rows(ListPlace(USER, "g1", "2|g1"), parts[0], (*fields[:3], *fields[:5]), 0):
                assert seals is None, "a list that no instance signed"
                HeadForm(None).newest(row.membership, "g1", fields[1:])


class Values:
    """Values of any type that a store can hold, made of bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def value(self, depth: int = 3) -> Any:
        """The next one."""
        kind = self._take(1)[:1] or b"\0"
        match kind[0] % 12:
            case 0:
                return None
            case 1:
                return int.from_bytes(self._take(9), signed=True)
            case 2:
                return self._take(self._size()).decode("utf-8", "replace") + ("\ud800" if kind[0] > 127 else "")
            case 3:
                return self._take(self._size())
            case 4:
                return bool(self._take(1) > b"\x7f")
            case 5:
                return float("nan") if kind[0] > 127 else int.from_bytes(self._take(5), signed=True) / 8
            case 6:
                return datetime.fromtimestamp(int.from_bytes(self._take(5)) % 250_000_000_000, UTC)
            case 7 if depth:
                return [self.value(depth - 1) for _ in range(self._size() % 5)]
            case 8 | 9 if depth:
                return {self._name(): self.value(depth - 1) for _ in range(self._size() % 5)}
            case _:
                return int.from_bytes(self._take(2))

    def fields(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Values for most of these names."""
        return {name: self.value() for name in names if self._take(1) != b"\xff"}

    def rest(self) -> bytes:
        """What nothing was made of yet."""
        return self._data[self._at :]

    def _name(self) -> Any:
        return self._take(1 + self._size() % 8).decode("latin-1")

    def _size(self) -> int:
        return (self._take(1) or b"\0")[0] % 64

    def _take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken


def _written(values: Values, names: tuple[str, ...], tag: str, tags: tuple[str, ...]) -> bytes:
    """JSON with values of any type in fields of ours: the parser in C shows a fuzzer no branches to follow."""
    fields = {"v": 1, **values.fields(names), tag: tags[len(values.rest()) % len(tags)]}
    return json.dumps(fields, default=repr).encode()


_FRAME = (
    "ref", "cursors", "generation", "client", "conversation_id", "client_message_id", "body", "metadata", "read_seq",
    "message_id", "active", "token",
)  # fmt: skip
_FRAME_TYPES = (*CLIENT_TYPES, "other")
_ENVELOPE = (
    "c", "seq", "generation", "instance", "age_ms", "messages", "accepted_ms", "user", "read_at", "is_first", "active", "origin",
    "online", "version", "last_seen_at", "conversations", "hidden", "event", "by", "members_version", "revision", "not_before",
)  # fmt: skip
_ENVELOPE_KINDS = ("messages", "receipt", "typing", "presence", "conversation", "revoked", "other")
_CONVERSATION = (
    "members", "memberCount", "membersVersion", "revision", "title", "metadataJson", "createdAt", "createdBy", "digest",
    "lastSeq", "lastMessage", "lastMessageAt", "joined",
)  # fmt: skip
_MESSAGE = ("sender", "clientMessageId", "body", "metadataJson", "sentAt")
_BULLETIN = (
    "epoch", "mode", "beat", "heads", "members", "users", "receipts", "left", "earlier", "overflow", "server", "isCut",
    "name", "isOut", "isEnded", "beats", "isDead", "aliveAt",
)  # fmt: skip
_WRITTEN = DatetimeWithNanoseconds(2026, 1, 31, tzinfo=UTC)
_NOTIFICATION = ("userId", "conversationId", "seq", "sender", "preview", "createdAt", "attempts")


class _Connection:
    """In place of SQLite's, on which damaged rows are counted."""


def store(data: bytes) -> None:
    """Documents and rows of both stores: what comes of them can be put into frames, whatever stood there."""
    values = Values(data)
    _show(documents.message(CONVERSATION, "000000000042", Stored(values.fields(_MESSAGE)), 7))
    found = documents.conversation(CONVERSATION, Stored(values.fields(_CONVERSATION)))
    msgspec.json.encode(found)
    rfc3339(found.created_at_ms), rfc3339(found.last_active_at_ms)
    msgspec.json.encode(documents.membership(CONVERSATION, USER, Stored(values.fields(_CONVERSATION))))
    with contextlib.suppress(Undecodable):
        msgspec.json.encode(documents.bulletin("one", Stored(values.fields(_BULLETIN)), _WRITTEN))
    with contextlib.suppress(Undecodable):
        msgspec.json.encode(documents.notification("n", Stored(values.fields(_NOTIFICATION))))
    with contextlib.suppress(Undecodable):
        assert documents.revoked_at_ms(Stored(values.fields(("revokedAt", "notBefore")))) >= 0
    with contextlib.suppress(Undecodable):
        assert documents.revoked_until_ms(Stored(values.fields(("expireAt",)))) >= 0
    documents.flag_ms(values.fields(("catchupSince",)))
    row = values.fields(rows._MESSAGE_NAMES)
    _show(rows.message(_Connection, [CONVERSATION, 42, *(row.get(name) for name in rows._MESSAGE_NAMES[2:])]))
    members = {USER: 3}
    msgspec.json.encode(rows._conversation(CONVERSATION, Stored(values.fields(rows._CONVERSATION_NAMES)), members))
    for text in (data.decode("utf-8", "replace"), values.value()):
        with contextlib.suppress(Undecodable):
            msgspec.json.encode(sqlite_presence._bulletin(text))


def _show(message: Any) -> None:
    msgspec.json.encode(message_frame(message))


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _head(*lines: str) -> bytes:
    return "\r\n".join((*lines, "", "")).encode()


_UPGRADE = ("GET /ws HTTP/1.1", "Host: x", "Connection: keep-alive, Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
_SAID = {
    "type": "message", "conversation_id": "c", "seq": 1, "message_id": "000000000001", "sender": "ann", "body": "hi",
    "client_message_id": "k", "sent_at": "2026-01-31T12:00:00.000Z",
}  # fmt: skip
_HEADER = {"v": 1, "c": "c", "seq": 1, "generation": "g"}

TARGETS: dict[str, Callable[[bytes], None]] = {
    "frame": frame,
    "handshake": handshake,
    "envelope": envelope,
    "redis": redis,
    "store": store,
}
SEEDS: dict[str, list[bytes]] = {
    "frame": [
        _json({"type": "hello", "cursors": {"c": 17}, "generation": "g", "client": "x"}),
        _json(
            {"type": "send", "ref": "1", "conversation_id": "c", "client_message_id": "k", "body": "hi", "metadata": {"a": [1]}}
        ),
        _json({"type": "read", "conversation_id": "c", "message_id": "000000000001"}),
        ws_frame(TEXT, b'{"type":"ping","ref":"\xc3\xa9"}') + ws_frame(PING, b"x") + ws_frame(CLOSE, b"\x03\xe8bye"),
        ws_frame(TEXT, b'{"type":', fin=False) + ws_frame(CONTINUATION, b'"ping"}'),
    ],
    "handshake": [
        _head(*_UPGRADE, f"Sec-WebSocket-Key: {KEY.decode()}", "Sec-WebSocket-Protocol: holdfast.v1, bearer.a.b.c"),
        _head(*_UPGRADE, f"Sec-WebSocket-Key: {KEY.decode()}", "Origin: https://app.example.com", "Authorization: Bearer a.b.c"),
        _head("POST /api/conversations HTTP/1.1", "Host: x", "Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\n",
    ],
    "envelope": [
        _json(_HEADER | {"kind": "messages", "instance": "one", "age_ms": 3, "messages": [_SAID], "accepted_ms": [5]}),
        _json(_HEADER | {"kind": "receipt", "user": "ann", "read_at": "2026-01-31T12:00:00.000Z"}),
        _json(
            _HEADER | {"kind": "presence", "user": "a", "online": True, "version": 1, "last_seen_at": None, "conversations": []}
        ),
        envelopes.kept(_json(_SAID), 1_765_432_100_000),
        _SEALS.seal("conversation:other", _json(_HEADER | {"kind": "typing"})),
    ],
    "redis": [
        b"connection-1\0" + _json({"instance_id": "one", "epoch": "1-a", "connected_at": "2026-01-31T12:00:00.000Z"}),
        b"one\0" + b"0001-a\0" + b"1\0healthy\0" + b"12\0ended|0001-a",
        b"team-42\0" + b"1 2 3 4 5 6 7\0" + b"12\0" + b"3\0" + b"2\0" + b"0",
        b"17",
        b"1e3",
    ],
    "store": [
        _json({"instance_id": "one", "epoch": "1", "mode": "ok", "beat": 1, "heads": {"c": 3}, "users": ["ann"]}),
        bytes(range(256)),
        b'\x00\x02\x03ann\x00\x02\x01k\x00\x02\x02hi\x00\x02\x07{"a":1}\x00\x06\x00\x60\x00\x00\x00' * 4,
    ],
}
