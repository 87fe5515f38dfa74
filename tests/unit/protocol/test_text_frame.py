"""The one place that writes WebSocket headers, read back by the library that browsers' servers are tested with."""

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, Protocol, State

from holdfast.protocol.frames import Pong, frame, text_frame


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
def test_a_header_of_every_length(size: int) -> None:
    """RFC 6455 §5.2: 7, 16 or 64 bits of length, at their borders; unmasked, final, text."""
    peer = Protocol(CLIENT, state=State.OPEN, max_size=None)
    peer.receive_data(text_frame(b"x" * size) + text_frame(b"next"))
    first, second = peer.events_received()
    assert isinstance(first, Frame)
    assert (first.opcode, first.fin, bytes(first.data)) == (Opcode.TEXT, True, b"x" * size)
    assert isinstance(second, Frame)
    assert bytes(second.data) == b"next"


def test_what_is_absent_is_not_on_the_wire() -> None:
    """Optional fields are absent, never null."""
    assert frame(Pong()) == b'\x81\x0f{"type":"pong"}'
