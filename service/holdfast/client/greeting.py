"""The client's first frame on a connection: its cursors, as many as the instance takes in one frame.

A cursor that finds no place loses nothing. The instance then replays that conversation from the beginning of the membership; what
is known of it is not shown again, and what the replay leaves out is paged from the cursor on. Only one thing remains to be asked:
whether a cursor lies beyond the end, because the store was restored (`Streams.synced`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from msgspec import UNSET

from holdfast.protocol.frames import Hello, Limits

_AROUND_BYTES: Final = 512  # all of the frame but its cursors: type, ref and 64 characters of a name, each up to 6 bytes
_PUNCTUATION_BYTES: Final = 4  # of one cursor: two quotes, a colon, a comma


@dataclass(frozen=True, slots=True)
class Greeting:
    """A `hello`, and what it does not say.

    Attributes:
        frame: to be written.
        number: of this client's greetings, from 1.
        left_out: conversations whose cursors found no place.
    """

    frame: Hello
    number: int
    left_out: tuple[str, ...]


def greeting(cursors: Mapping[str, int] | None, limits: Limits, *, name: str, number: int) -> Greeting:
    """With the highest cursors where not all fit: the lower a cursor, the fewer messages are replayed for nothing."""
    ref = f"hello-{number}"
    if cursors is None:
        return Greeting(Hello(ref=ref, client=name or UNSET), number, ())
    said: dict[str, int] = {}
    room = limits.frame_bytes - _AROUND_BYTES
    for conversation_id, seq in sorted(cursors.items(), key=lambda cursor: cursor[1], reverse=True)[: limits.cursors]:
        room -= len(conversation_id) + len(str(seq)) + _PUNCTUATION_BYTES
        if room < 0:
            break
        said[conversation_id] = seq
    return Greeting(
        Hello(ref=ref, cursors=said, client=name or UNSET), number, tuple(each for each in cursors if each not in said)
    )
