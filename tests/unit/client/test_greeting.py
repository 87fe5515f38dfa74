"""The first frame: as many cursors as fit, whatever an application kept."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from holdfast.client.greeting import greeting
from holdfast.protocol.frames import MAX_SEQ
from support.server_frames import limits

_IDS = st.text("abz_-09", min_size=1, max_size=128)


@given(
    st.dictionaries(_IDS, st.integers(0, MAX_SEQ), max_size=40), st.integers(0, 40), st.integers(0, 4000), st.text(max_size=64)
)
def test_whatever_the_cursors_are_the_frame_is_within_the_limits(
    cursors: dict[str, int], most: int, frame_bytes: int, name: str
) -> None:
    """An instance ends a socket that writes a larger frame: the client would come back with the same one for ever."""
    said = greeting(cursors, limits(cursors=most, frame_bytes=frame_bytes + 600), name=name, number=7)
    assert len(msgspec.json.encode(said.frame)) <= frame_bytes + 600
    assert isinstance(said.frame.cursors, dict)
    assert len(said.frame.cursors) <= most
    assert {*said.frame.cursors, *said.left_out} == cursors.keys()


def test_the_highest_cursors_are_said_where_not_all_fit() -> None:
    """A conversation that is left out is replayed from its beginning: the lower the cursor, the less is sent for nothing."""
    said = greeting({"a": 1, "b": 900, "c": 30}, limits(cursors=2), name="", number=1)
    assert (said.frame.cursors, said.left_out) == ({"b": 900, "c": 30}, ("a",))


def test_without_cursors_nothing_is_replayed() -> None:
    assert b"cursors" not in msgspec.json.encode(greeting(None, limits(), name="n", number=1).frame)
