"""The client's first frame on a connection: its cursors, as many as the instance takes in one frame.

Nothing is lost by a cursor that does not fit. The instance then replays that conversation from the beginning of the membership.
Known messages are not shown again, and messages that the replay leaves out are paged from the cursor on. Two checks remain:
whether a cursor lies beyond the end, because the store was restored (`Streams.synced`), or is of another store
(`Greeting.resets`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from msgspec import UNSET

from holdfast.protocol.frames import Hello, Limits, Reset, Synced, Welcome

_AROUND_BYTES: Final = 768  # all of the frame but its cursors: type, ref, generation, 64 characters of a name of up to 6 bytes
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

    def resets(self, welcome: Welcome, synced: Synced) -> list[Reset]:
        """What the instance would have told of the cursors that were left out: none of another store's is valid."""
        if self.frame.generation in (UNSET, welcome.generation) or welcome.generation is UNSET:
            return []
        heads = synced.heads
        return [Reset(conversation_id=each, last_seq=heads[each]) for each in self.left_out if each in heads]


def greeting(cursors: Mapping[str, int] | None, limits: Limits, *, name: str, number: int, generation: str = "") -> Greeting:
    """With the highest cursors where not all fit: the lower a cursor, the fewer messages are replayed for nothing.

    `generation`: of the store that the cursors are of; "" where it is not known.
    """
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
        Hello(ref=ref, cursors=said, generation=generation or UNSET, client=name or UNSET),
        number,
        tuple(each for each in cursors if each not in said),
    )
