"""One WebSocket as an asyncio protocol: bytes in, whole messages out, and the guards where bytes come in.

Frames are parsed by `websockets.protocol.Protocol`, which does no I/O; outgoing frames are encoded by us. There is one way out of
a socket: its transport. The transport's buffer is the outgoing queue, bounded: past the bound the peer reads too slowly and is
let go. No task, no queue and no coroutine per connection.
"""

import asyncio
import codecs
import logging
import socket
import struct
from typing import Any, ClassVar, Final

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.frames import Frame, Opcode
from websockets.protocol import SERVER, Protocol, State

from holdfast.protocol.codes import CloseCode
from holdfast.web.handshake import Offer, Refusal, UpgradeRequest, acceptance, refused

MAX_UNSENT_BYTES: Final = 512 * 1024
_PAUSE_BYTES: Final = 64 * 1024
_SLICE_BYTES: Final = 2_048  # fed in slices, so that a read full of frames is counted before all of it is parsed
_CLOSE_SECONDS: Final = 1.0
_MAX_PIECES: Final = 1_024  # of one message: legitimate clients do not cut the largest one into pieces under 128 bytes
_RESET: Final = struct.pack("ii", 1, 0)  # lingering for no time: a reset instead of a FIN
_SILENT: Final = logging.getLogger("holdfast.websocket")

_log = logging.getLogger(__name__)


def _nowhere(data: bytes) -> None:
    """After the end."""


class _Parser(Protocol):
    """The library's, but for one thing: a close frame between the fragments of a message is a close frame (RFC 6455 §5.4)."""

    def recv_frame(self, frame: Frame) -> None:
        """For the library, which takes the message that never becomes whole for a protocol error of the peer."""
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)


class WebSocket(asyncio.Protocol):
    """Lives in the loop. Subclasses say whom to admit and what messages mean.

    Attributes:
        write: the way out; once the end has begun it leads nowhere.
    """

    __slots__ = (
        "_close_timer",
        "_decoder",
        "_is_ending",
        "_is_open",
        "_pieces",
        "_protocol",
        "_transport",
        "_unfinished",
        "_writable",
        "write",
    )
    max_message_bytes: ClassVar[int] = 131_072

    def __init__(self, config: Any = None, server_state: Any = None, app_state: Any = None, _loop: Any = None) -> None:
        self._transport: asyncio.Transport
        self._protocol: Protocol
        self._unfinished: bytearray | None = None
        self._pieces = 0
        self._decoder: codecs.IncrementalDecoder | None = None
        self._close_timer: asyncio.TimerHandle | None = None
        self._writable: asyncio.Future[None] | None = None
        self._is_open = False
        self._is_ending = False
        self.write = _nowhere

    # --- what subclasses say ------------------------------------------------------------------------------------------

    def admit(self, request: UpgradeRequest) -> Offer:
        """Whether this upgrade is accepted.

        Raises:
            Refusal: what is answered instead.
        """
        raise NotImplementedError

    def greeting(self) -> bytes:
        """The bytes that follow the 101 at once."""
        return b""

    def on_open(self) -> None:
        """The 101 is written."""

    def on_frame(self) -> None:
        """A frame of any kind arrived. May `end`."""

    def on_text(self, text: bytes) -> None:
        """A whole text message, valid UTF-8."""

    def on_binary(self, data: bytes) -> None:
        """A whole binary message."""

    def on_broken(self, code: int) -> None:
        """The peer broke the protocol; a close frame with `code` follows whatever is written here."""

    def on_slow(self) -> None:
        """More than `MAX_UNSENT_BYTES` wait for the peer. Must `end`."""

    def on_endless(self) -> None:
        """A message came in more than `_MAX_PIECES` pieces and is not whole yet. Must `end`."""

    def on_pause(self, write: Any) -> None:
        """The way out changed; `write` is the current one."""

    def on_lost(self) -> None:
        """The connection is gone, after `on_open`."""

    # --- the handshake --------------------------------------------------------------------------------------------------

    def adopt(self, transport: asyncio.Transport, request: UpgradeRequest) -> None:
        """Take over a connection whose HTTP request asked for an upgrade."""
        self._transport = transport
        try:
            offer = self.admit(request)
        except Refusal as refusal:
            transport.write(refused(refusal))
            transport.close()
            return
        except Exception:  # noqa: BLE001 - whatever it is, it would leave the connection open for ever
            _log.exception("a handshake failed")
            transport.write(refused(Refusal(500, "internal_error", "this handshake failed")))
            transport.close()
            return
        self._protocol = _Parser(SERVER, state=State.OPEN, max_size=self.max_message_bytes, logger=_SILENT)
        transport.set_write_buffer_limits(high=_PAUSE_BYTES)
        self.write = transport.write
        self._is_open = True
        transport.write(acceptance(offer) + self.greeting())  # together: a write of its own is a system call
        self.on_open()

    # --- bytes in -------------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """For asyncio."""
        if not self._is_open:
            return
        for start in range(0, len(data), _SLICE_BYTES):
            self._feed(data[start : start + _SLICE_BYTES] if len(data) > _SLICE_BYTES else data)
            if self._is_ending and self._protocol.state is not State.OPEN:
                return

    def _feed(self, data: bytes) -> None:
        protocol = self._protocol
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Frame) and not self._is_ending:
                self.on_frame()
                self._take(event)
        error = protocol.parser_exc
        if error is not None and not self._is_ending:
            self._is_ending = True
            self.on_broken(_code_of(error))
        self._send_answers()

    def _take(self, frame: Frame) -> None:
        if self._is_ending:
            return
        opcode = frame.opcode
        if opcode is Opcode.TEXT or opcode is Opcode.BINARY or opcode is Opcode.CONT:
            self._take_data(frame)
        elif opcode is Opcode.CLOSE:
            self._is_ending = True

    def _take_data(self, frame: Frame) -> None:
        data = bytes(frame.data)
        try:
            if frame.opcode is Opcode.CONT:
                self._continue(data, is_last=frame.fin)
            elif not frame.fin:
                self._begin(data, is_text=frame.opcode is Opcode.TEXT)
            elif frame.opcode is Opcode.TEXT:
                if not data.isascii():
                    data.decode()
                self._send_answers()
                self.on_text(data)
            else:
                self._send_answers()
                self.on_binary(data)
        except UnicodeDecodeError:
            self._is_ending = True
            self.on_broken(CloseCode.INVALID_DATA)
            self._protocol.fail(CloseCode.INVALID_DATA)

    def _begin(self, data: bytes, *, is_text: bool) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")() if is_text else None
        if self._decoder is not None:
            self._decoder.decode(data)
        self._unfinished = bytearray(data)
        self._pieces = 1

    def _continue(self, data: bytes, *, is_last: bool) -> None:
        """A fragment; text is checked as it comes, so that what cannot become text is not waited for."""
        if self._decoder is not None:
            self._decoder.decode(data, is_last)
        if self._unfinished is None:
            return
        self._unfinished += data
        self._pieces += 1
        if is_last:
            message, self._unfinished = bytes(self._unfinished), None
            self._send_answers()
            if self._decoder is not None:
                self.on_text(message)
            else:
                self.on_binary(message)
        elif self._pieces >= _MAX_PIECES:
            self.on_endless()

    # --- bytes out ------------------------------------------------------------------------------------------------------

    def _send_answers(self) -> None:
        """What the parser answers by itself (pongs, the close frame): before anything of ours, or the order is wrong."""
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
                if not self._is_ending and self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
                    self.on_slow()  # pings that are not read are as much of a burden as messages
            else:
                self._finish()

    def ping(self) -> None:
        """Ask whether the peer is there."""
        if not self._is_ending:
            self._protocol.send_ping(b"")
            self._send_answers()

    def end(self, code: int, reason: str = "", farewell: bytes = b"") -> None:
        """Close: last words, a close frame, and the end of the connection within a second. Idempotent."""
        if not self._is_open or self._is_ending:
            return
        self._is_ending = True
        if farewell:
            self._transport.write(farewell)
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
        self._send_answers()
        self.write = _nowhere
        self.on_pause(self.write)
        self._abort_later()

    async def writable(self) -> None:
        """Wait until the peer has taken most of what waits for it, or is gone."""
        if self._is_open and self._transport.get_write_buffer_size() > _PAUSE_BYTES:
            if self._writable is None:
                self._writable = asyncio.get_running_loop().create_future()
            await self._writable

    def pause_writing(self) -> None:
        """For asyncio: the peer is behind; from now on every write is measured."""
        if not self._is_ending:
            self.write = self._write_measured
            self.on_pause(self.write)

    def resume_writing(self) -> None:
        """For asyncio: the peer has caught up."""
        if not self._is_ending:
            self.write = self._transport.write
            self.on_pause(self.write)
        self._wake()

    def _write_measured(self, data: bytes) -> None:
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.on_slow()

    def _finish(self) -> None:
        self._is_ending = True
        self.write = _nowhere
        self.on_pause(self.write)
        self._transport.close()
        self._abort_later()

    def _abort_later(self) -> None:
        """A peer that does not take its close frame does not get more time."""
        if self._close_timer is None:
            self._close_timer = asyncio.get_running_loop().call_later(_CLOSE_SECONDS, self._abort)

    def _abort(self) -> None:
        """With a reset if the close frame has not even left us.

        Merely closed, the kernel would keep what it holds for this peer (4 MB on Linux: `tcp_wmem`) and offer it at ever longer
        intervals, for minutes, before the peer learns that it is to come again.
        """
        if self._transport.get_write_buffer_size() > 0:
            reset(self._transport)
        else:
            self._transport.abort()

    def _wake(self) -> None:
        waiter, self._writable = self._writable, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # --- the end --------------------------------------------------------------------------------------------------------

    def eof_received(self) -> bool:
        """For asyncio: the peer half-closed; we close too."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """For asyncio."""
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._wake()
        self.write = _nowhere
        if self._is_open:
            self._is_open = False
            self.on_lost()

    @property
    def peer_close_code(self) -> int | None:
        """The code of the peer's close frame, None without one."""
        received = self._protocol.close_rcvd
        return int(received.code) if received is not None else None

    @property
    def has_peer_begun_close(self) -> bool:
        """Whether the peer's close frame came before ours was sent. A peer that answers ours repeats its code."""
        return bool(self._protocol.close_rcvd_then_sent)

    @property
    def own_close_code(self) -> int | None:
        """The code of our close frame, None without one."""
        sent = self._protocol.close_sent
        return int(sent.code) if sent is not None else None


def _code_of(error: Exception) -> int:
    if isinstance(error, PayloadTooBig):
        return CloseCode.TOO_BIG
    if isinstance(error, ProtocolError):
        return CloseCode.PROTOCOL_ERROR
    return CloseCode.INVALID_DATA if isinstance(error, UnicodeDecodeError) else CloseCode.INTERNAL_ERROR


def reset(transport: Any) -> None:
    """End the connection with a reset: after a FIN the kernel would keep for the peer what it has not read."""
    kernel = transport.get_extra_info("socket")
    if kernel is not None:
        kernel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
