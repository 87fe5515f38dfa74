"""The two formats between the bench and its load client."""

from array import array
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from holdfast.bench.dialects import DIALECTS
from holdfast.bench.load import Heard, Load, decode, read_load

PLAIN = DIALECTS["plain"]
LOAD = Load(
    port=4321,
    dialect=PLAIN,
    speeches=[PLAIN.speech(4321, "token", "room", f"key{number}") for number in range(2)],
    senders=2,
    copies=2,
    seconds=1.5,
    log=Path("heard"),
    window=7,
    by_acks=True,
)


def test_load_is_read_as_it_was_written() -> None:
    """The Python client reads what the C client reads."""
    assert replace(read_load(BytesIO(LOAD.encode())), dialect=PLAIN) == LOAD


def test_connections_that_do_not_send_bring_no_message() -> None:
    """A thousand members have ten senders."""
    last = read_load(BytesIO(replace(LOAD, senders=1).encode())).speeches[-1]
    assert (last.head, last.middle, last.tail) == (b"", b"", b"")


def test_too_many_senders_for_a_message_are_refused() -> None:
    """Their numbers would be those of other senders."""
    with pytest.raises(ValueError, match="256 senders"):
        replace(LOAD, senders=256).encode()


def test_log_is_read_as_it_was_written() -> None:
    """Connections that received nothing keep their place."""
    heard = [Heard(2, array("I", [1, 2, 3]), array("I", [7, 8, 9]), array("I", [5])), Heard(0, *(array("I") for _ in range(3)))]
    assert list(decode(b"".join(each.encode() for each in heard))) == heard


@pytest.mark.parametrize("name", DIALECTS)
def test_speech_fills_room_and_key(name: str) -> None:
    """A placeholder that stays would put all rounds into one room."""
    dialect = DIALECTS[name]
    speech = dialect.speech(4321, "a.b.c", "room-7", "key-8")
    said = b"".join((speech.opening, *speech.greetings, speech.head, speech.middle, speech.tail))
    assert b"room-7" in said
    assert b"key-8" in said
    assert b"<" not in said
    assert b"Authorization: Bearer a.b.c\r\n" in speech.opening
    assert len(dialect.waits) == len(speech.greetings)
