"""The chat's socket: the bytes between one client and the instance.

The session interprets messages, the commands carry them out; this module connects both with the transport. Sends and reads are
answered through callbacks, so a message costs no task.
"""

import logging
import math
import secrets
from typing import Any, ClassVar, assert_never

from msgspec import UNSET, Raw, UnsetType

from holdfast import __version__
from holdfast.domain.ids import ConnectionId, ConversationId, message_id
from holdfast.errors import CommandError, StoreError
from holdfast.node.connections.connection import Connection, Grant
from holdfast.node.requests.commands import Caller
from holdfast.node.sending.append import Settled
from holdfast.node.sessions.session import KEEPALIVE_SECONDS, End, Output, Ping, Session, end
from holdfast.node.users.reading import Seen, shown_live
from holdfast.node.users.receipts import ReadDone
from holdfast.protocol import commands, frames
from holdfast.protocol.codes import CODES, CloseCode
from holdfast.protocol.jsontext import rfc3339
from holdfast.web.gate import Gate
from holdfast.web.handshake import Offer, Refusal, UpgradeRequest, examine, refusal_of
from holdfast.web.websocket import WebSocket

_EXPLAINED = frozenset(("unauthenticated", "token_expired", "token_revoked", "token_too_early", "connection_limit"))

_log = logging.getLogger(__name__)


class ChatSocket(WebSocket):
    """One client. A subclass made by `bound_to` knows its instance."""

    __slots__ = ("_address", "_caller", "_connection", "_identity", "_let_go_at", "_rejection", "_session", "_was_refused")
    gate: ClassVar[Gate]

    @classmethod
    def bound_to(cls, gate: Gate) -> type["ChatSocket"]:
        """The class that uvicorn makes sockets of, for one instance."""
        limit = gate.node.settings.limits.frame_bytes
        return type("BoundChatSocket", (cls,), {"__slots__": (), "gate": gate, "max_message_bytes": limit})

    # --- the handshake --------------------------------------------------------------------------------------------------

    def admit(self, request: UpgradeRequest) -> Offer:
        """Check the token and whether there is room; a page that offered a bad token is told why on the open socket."""
        self._rejection: CommandError | None = None
        self._let_go_at = math.inf
        node = self.gate.node
        try:
            offer = examine(request, node.settings.http.allowed_origins)
        except Refusal as refusal:
            node.telemetry.handshake_failures.labels(refusal.code).inc()
            raise
        try:
            self._identity = self.gate.identify(offer.token)
            peer = self._transport.get_extra_info("peername") or ("",)
            self._address = self.gate.addresses.of(peer[0], request.values(b"x-forwarded-for"))
            self.gate.addresses.enter(self._address)
        except CommandError as error:
            node.telemetry.handshake_failures.labels(error.code).inc()
            if not (offer.may_explain and error.code in _EXPLAINED):
                raise refusal_of(error) from None
            self._rejection = error
        return offer

    def greeting(self) -> bytes:
        """Welcome, or why not."""
        if self._rejection is not None:
            return _farewell(self._rejection)
        node, identity = self.gate.node, self._identity
        now_ms, now = node.cluster.store_clock.now_ms(), node.clock.monotonic()
        self._caller = Caller(identity.user_id, identity.is_admin)
        self._session = Session(node.settings.limits, node.telemetry, self.gate.sends, identity.user_id, identity.expires_at, now)
        self._connection = Connection(
            ConnectionId(secrets.token_hex(8)),
            identity,
            self,
            connected_at_ms=now_ms,
            opened_at=now,
        )
        return frames.frame(self._welcome(identity, now_ms))

    def on_open(self) -> None:
        """Take the client in, or let it go again."""
        if self._rejection is not None:
            row = CODES[self._rejection.code]
            self.end(row.close or CloseCode.POLICY_VIOLATION, self._rejection.code)
            return
        self.gate.node.telemetry.connections_opened.inc()
        self.gate.sockets[self] = None
        self.gate.node.connecting.open(self._connection)

    def _welcome(self, identity: Grant, now_ms: int) -> frames.Welcome:
        node = self.gate.node
        return frames.Welcome(
            protocol=frames.PROTOCOL,
            user_id=identity.user_id,
            connection_id=self._connection.connection_id,
            instance_id=node.instance_id,
            server_version=__version__,
            server_time=rfc3339(now_ms),
            expires_at=rfc3339(identity.expires_at * 1000),
            keepalive_ms=int(KEEPALIVE_SECONDS * 1000),
            degraded=node.health.degraded,
            limits=self.gate.limits,
            generation=node.conversations.delivery.generation or UNSET,
        )

    # --- in ---------------------------------------------------------------------------------------------------------------

    def on_frame(self) -> None:
        """Count it, whatever it is."""
        if self._rejection is None:
            self._put_out(self._session.count_frame(self.gate.node.clock.monotonic()))

    def on_text(self, text: bytes) -> None:
        """A frame of the protocol."""
        if self._rejection is None:
            try:
                self._put_out(self._session.receive(text, self.gate.node.clock.monotonic()))
            except Exception:  # noqa: BLE001 - a fault of ours ends this socket, not the instance
                _log.exception("a frame failed")
                self._put_out(end("internal_error", "this frame failed"))

    def on_binary(self, data: bytes) -> None:
        """Text only."""
        self._put_out(end("unsupported_media_type", "only text frames are accepted"))

    def on_broken(self, code: int) -> None:
        """Say what was too much, where a code of ours stands for it."""
        if code == CloseCode.TOO_BIG and self._rejection is None:
            limit = self.gate.node.settings.limits.frame_bytes
            self._transport.write(_farewell(CommandError("frame_too_large", f"at most {limit} bytes")))

    def on_slow(self) -> None:
        """It resumes by cursor, when it reads again."""
        self.gate.node.telemetry.slow_consumers.inc()
        self._put_out(end("slow_consumer", "too much is waiting for this client"))

    def on_endless(self) -> None:
        """No legitimate client needs that many pieces."""
        self._put_out(end("policy_violation", "a message in too many pieces"))

    def on_pause(self, write: Any) -> None:
        """Fan-out takes the same way."""
        if self._rejection is None:
            self._connection.redirect(write)

    def tick(self, now: float, now_ms: int) -> None:
        """Time passed."""
        self._put_out(self._session.tick(now, now_ms))

    def on_lost(self) -> None:
        """Gone."""
        if self._rejection is not None:
            return
        self.gate.sockets.pop(self, None)
        self.gate.addresses.leave(self._address)
        own, peer = self.own_close_code, self.peer_close_code
        initiator = "none" if own is None and peer is None else "client" if self.has_peer_begun_close else "server"
        self.gate.node.telemetry.connections_closed.labels(_label(own, peer), initiator).inc()
        # A client that closes, or answers our close, has read everything before it. A client that disappeared was last heard of
        # earlier. After our close nothing was written to it any more.
        heard_at = self._session.heard_at if peer is None else self.gate.node.clock.monotonic()
        self.gate.node.connecting.close(self._connection, min(heard_at, self._let_go_at))

    # --- out --------------------------------------------------------------------------------------------------------------

    def close(self, code: int, reason: str = "") -> None:
        """For `ports.Transport`: say why, then end."""
        row = CODES.get(reason)
        words = b"" if row is None or code == CloseCode.SERVICE_RESTART else _farewell(CommandError(reason, row.title))
        self._let_go()
        self.end(code, reason, words)

    def _let_go(self) -> None:
        self._connection.end()
        self._let_go_at = min(self.gate.node.clock.monotonic(), self._let_go_at)

    def _put_out(self, output: Output) -> None:
        if output is None:
            return
        if isinstance(output, bytes):
            self.write(output)
        elif isinstance(output, End):
            if self._rejection is None:
                self._let_go()
            self.end(output.code, output.error.code, frames.frame(output.error))
        elif isinstance(output, Ping):
            self.ping()
        else:
            self._carry_out(output)

    def _carry_out(self, command: frames.Command) -> None:
        try:
            match command:
                case frames.Send():
                    self._send(command)
                case frames.Read():
                    self._read(command)
                case frames.Typing():
                    self._type(command)
                case frames.Refresh():
                    self._refresh(command)
                case frames.Hello():
                    self._resume(command)
                case _:
                    assert_never(command)
        except CommandError as error:
            self._refuse(error, command)

    def _resume(self, command: frames.Hello) -> None:
        cursors = None if command.cursors is UNSET else command.cursors
        self.gate.node.connecting.resume(self._connection, cursors, command.generation or "")

    def _send(self, command: frames.Send) -> None:
        connection, node = self._connection, self.gate.node
        if connection.inflight_sends >= node.settings.limits.inflight_sends:
            raise CommandError("rate_limited", "too many sends are unanswered", retry_after_ms=200, outcome="refused")

        def answer(result: Settled | CommandError) -> None:
            connection.inflight_sends -= 1
            if isinstance(result, CommandError):
                self._refuse(result, command)
            else:
                self.write(frames.frame(_ack(command.ref, result)))

        connection.inflight_sends += 1
        given = command.traceparent
        try:
            node.commands.send(
                self._caller,
                command.conversation_id,
                command.client_message_id,
                command.body,
                command.metadata,
                answer,
                self._seen(command),
                node.telemetry.tracing.begin(None if given is UNSET else _unquoted(given), "websocket"),
            )
        except CommandError:
            connection.inflight_sends -= 1
            raise

    def _seen(self, command: frames.Send) -> Seen:
        if command.read_seq is not UNSET:
            return Seen(upto=command.read_seq)
        local = self.gate.node.conversations.delivery.locals.get(ConversationId(command.conversation_id))
        return shown_live(self._connection, local)

    def _read(self, command: frames.Read) -> None:
        self.gate.count_call(self._caller.user_id)

        def answer(result: ReadDone | CommandError) -> None:
            if isinstance(result, CommandError):
                self._refuse(result, command)
            elif command.ref is not UNSET:
                self.write(frames.frame(_read_ok(command, command.ref, result)))

        self.gate.node.commands.read(self._caller, command.conversation_id, command.message_id, answer)

    def _type(self, command: frames.Typing) -> None:
        self.gate.count_call(self._caller.user_id)
        node = self.gate.node
        if node.commands.typing_now(self._caller, command.conversation_id, is_active=command.active):
            self._ok(command.ref)
        else:
            node.tasks.start(self._type_later(command))

    async def _type_later(self, command: frames.Typing) -> None:
        try:
            await self.gate.node.commands.typing(self._caller, command.conversation_id, is_active=command.active)
            self._ok(command.ref)
        except CommandError as error:
            self._refuse(error, command)
        except StoreError:
            self._refuse(CommandError("store_unavailable", "the store did not answer", retry_after_ms=1000), command)

    def _refresh(self, command: frames.Refresh) -> None:
        try:
            identity = self.gate.authenticate(command.token)
        except CommandError as error:
            raise CommandError("refresh_rejected", error.detail, field="token") from None
        if identity.user_id != self._identity.user_id or identity.expires_at <= self._session.expires_at:
            raise CommandError("refresh_rejected", "same subject, later expiry", field="token")
        self._identity = identity
        self._session.expires_at = identity.expires_at
        self._connection.grant = identity
        self._caller = Caller(identity.user_id, identity.is_admin)
        if command.ref is not UNSET:
            self.write(frames.frame(frames.Ok(ref=command.ref, expires_at=rfc3339(identity.expires_at * 1000))))

    def _ok(self, ref: str | UnsetType) -> None:
        if ref is not UNSET:
            self.write(frames.frame(frames.Ok(ref=ref)))

    def _refuse(self, error: CommandError, command: frames.Command) -> None:
        self.gate.node.telemetry.commands_refused.labels(error.code).inc()
        is_send = isinstance(command, frames.Send)
        frame = commands.error_frame(
            error,
            ref=command.ref,
            conversation_id=_echoed(getattr(command, "conversation_id", UNSET)),
            client_message_id=_echoed(getattr(command, "client_message_id", UNSET)),
            is_send=is_send,
        )
        self.write(frames.frame(frame))


def _echoed(text: str | UnsetType) -> str | UnsetType:
    return text if text is not UNSET and len(text) <= 128 else UNSET


def _unquoted(traceparent: Raw) -> str:
    """A string of JSON without its quotes. Text that is something else in JSON is malformed with or without its ends."""
    return bytes(traceparent).decode("latin-1")[1:-1]


def _farewell(error: CommandError) -> bytes:
    return frames.frame(commands.error_frame(error))


def _ack(ref: str | UnsetType, settled: Settled) -> frames.Ack:
    message = settled.message
    return frames.Ack(
        ref=ref,
        conversation_id=message.conversation_id,
        client_message_id=message.client_message_id,
        message_id=message_id(message.seq),
        seq=message.seq,
        sent_at=rfc3339(message.sent_at_ms),
        duplicate=settled.is_duplicate,
    )


def _read_ok(command: frames.Read, ref: str, done: ReadDone) -> frames.Ok:
    return frames.Ok(
        ref=ref,
        conversation_id=command.conversation_id,
        message_id=message_id(done.seq),
        seq=done.seq,
        read_at=done.read_at,
    )


def _label(own: int | None, peer: int | None) -> str:
    """A close code as a label: those we know, the rest by range, so that peers cannot make up new series."""
    code = own if own is not None else peer
    if code is None:
        return "1006"
    return str(code) if code in _KNOWN_CODES else "other"


_KNOWN_CODES = frozenset(int(code) for code in CloseCode) | {1001}
