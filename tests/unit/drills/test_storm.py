"""The storm's clients judge what they are shown: a drill that counts nothing proves nothing."""

from holdfast.drills.storm import _Device
from holdfast.protocol import frames


def _message(seq: int) -> bytes:
    return frames.encode(
        frames.MessageFrame(
            conversation_id="c",
            seq=seq,
            message_id=str(seq),
            client_message_id=f"k{seq}",
            sender="user",
            body="in the storm",
            metadata=None,
            sent_at="2026-01-01T00:00:00.000Z",
        )
    )


def _shown(*texts: bytes) -> _Device:
    device = _Device("user", "token")
    for text in texts:
        device._take(text)
    return device


def test_messages_in_order_are_counted_as_shown() -> None:
    """And what is no message is passed over."""
    device = _shown(_message(1), b'{"type":"presence","user_id":"other","online":true,"last_seen_at":null}', _message(2))
    assert (device.cursors, device.broken) == ({"c": 2}, 0)


def test_message_twice_after_a_gap_or_out_of_order_breaks_a_stream() -> None:
    """Each of them, and a message that is left out by the server's own word."""
    assert _shown(_message(1), _message(1)).broken == 1
    assert _shown(_message(2)).broken == 1
    assert _shown(_message(1), _message(3), _message(2)).broken == 2
    truncated = frames.Truncated(conversation_id="c", from_seq=1, to_seq=4)
    assert _shown(frames.encode(truncated)).broken == 1
