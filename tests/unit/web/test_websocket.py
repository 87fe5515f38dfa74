"""The rim of one WebSocket against a transport that remembers: what is counted, what is kept, and what ends it."""

import asyncio
from typing import Any

import pytest

from holdfast.web.handshake import Offer, UpgradeRequest
from holdfast.web.websocket import MAX_UNSENT_BYTES, WebSocket
from support.raw_socket import CLOSE, CONTINUATION, PING, TEXT, ws_frame


class Transport:
    """Takes everything; `unsent` is what it says that it could not send yet."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.unsent = 0
        self.is_aborted = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def set_write_buffer_limits(self, high: int) -> None:
        assert high > 0

    def close(self) -> None:
        """Nothing is kept."""

    def abort(self) -> None:
        self.is_aborted = True


class Listening(WebSocket):
    """Admits everybody and remembers; `frames_left`: how many frames it takes before it ends."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[bytes] = []
        self.told: list[str] = []
        self.frames_left = 10**9

    def admit(self, request: UpgradeRequest) -> Offer:
        return Offer(b"", None, None, may_explain=False)

    def on_frame(self) -> None:
        self.frames_left -= 1
        if self.frames_left < 0:
            self.end(1008)

    def on_text(self, text: bytes) -> None:
        self.texts.append(text)

    def on_slow(self) -> None:
        self.told.append("slow")
        self.end(4000)

    def on_endless(self) -> None:
        self.told.append("endless")
        self.end(1008)


@pytest.fixture
async def pair() -> tuple[Listening, Transport]:
    """An accepted socket and its transport."""
    socket, transport = Listening(), Transport()
    adopted: Any = transport
    socket.adopt(adopted, UpgradeRequest("GET", b"/ws", []))
    return socket, transport


async def test_pongs_that_are_not_read_count_as_unread(pair: tuple[Listening, Transport]) -> None:
    """A client below the frame rate that never reads would otherwise grow our buffer for ever, 12 KB a second."""
    socket, transport = pair
    socket.data_received(ws_frame(PING, b"x" * 125))
    assert socket.told == []
    transport.unsent = MAX_UNSENT_BYTES + 1
    socket.data_received(ws_frame(PING, b"x" * 125))
    assert socket.told == ["slow"]
    assert transport.written[-1][:4] == bytes([0x88, 2]) + (4000).to_bytes(2, "big")


async def test_a_message_in_endless_pieces(pair: tuple[Listening, Transport]) -> None:
    """Slow enough for the bucket, small enough for the limit: it still ends."""
    socket, _ = pair
    socket.data_received(ws_frame(TEXT, b"x", fin=False))
    for _ in range(1_022):
        socket.data_received(ws_frame(CONTINUATION, fin=False))
    assert socket.told == []
    socket.data_received(ws_frame(CONTINUATION, b"x", fin=False))
    assert socket.told == ["endless"]


async def test_a_whole_message_in_pieces_bytewise(pair: tuple[Listening, Transport]) -> None:
    """However the bytes are cut: characters, frames and headers may be split anywhere."""
    socket, _ = pair
    text = "zwölf Boxkämpfer \N{GRINNING FACE}".encode()
    stream = ws_frame(TEXT, text[:3], fin=False) + ws_frame(PING) + ws_frame(CONTINUATION, text[3:20], fin=False)
    stream += ws_frame(CONTINUATION, text[20:]) + ws_frame(TEXT, b"next")
    for at in range(len(stream)):
        socket.data_received(stream[at : at + 1])
    assert socket.texts == [text, b"next"]


async def test_nothing_is_heard_after_the_end(pair: tuple[Listening, Transport]) -> None:
    """The frame that was one too many is not carried out, nor are those behind it in the same read."""
    socket, transport = pair
    socket.frames_left = 2
    socket.data_received(ws_frame(TEXT, b"a") + ws_frame(TEXT, b"b") + ws_frame(TEXT, b"c") * 5_000)
    assert socket.texts == [b"a", b"b"]
    assert socket.write(b"late") is None
    assert b"late" not in transport.written


async def test_a_peer_that_does_not_take_its_close_frame_is_cut(pair: tuple[Listening, Transport]) -> None:
    """A second, then the connection is gone whatever the peer does."""
    socket, transport = pair
    asked: list[float] = []
    loop = asyncio.get_running_loop()
    timer = loop.call_later

    def call_later(delay: float, call: Any, *args: Any) -> Any:
        asked.append(delay)
        return timer(0, call, *args)

    loop.call_later = call_later  # type: ignore[method-assign]  # the test does not wait the second
    socket.end(4000)
    socket.end(1000)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert asked == [1.0]
    assert transport.is_aborted
    assert sum(data[:1] == b"\x88" for data in transport.written) == 1


async def test_a_close_frame_between_the_fragments_of_a_message_ends_the_connection_normally(
    pair: tuple[Listening, Transport],
) -> None:
    """A control frame may come between fragments (RFC 6455 §5.4): a client may leave in the middle of a message."""
    socket, transport = pair
    socket.data_received(ws_frame(TEXT, b"frag", fin=False) + ws_frame(CLOSE, (1000).to_bytes(2, "big")))
    assert (socket.peer_close_code, socket.own_close_code) == (1000, 1000)
    assert transport.written[-1] == b"\x88\x02\x03\xe8"
    assert socket.texts == []
