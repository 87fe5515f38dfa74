"""How messages are kept in `recent:{c}`: behind their store's generation, and with a bus secret behind a stamp.

Pure. A stamp covers one conversation, generation and seq. Signed and unsigned entries have different heads. So instances of both
kinds, side by side in a rollout, never read each other's entries: they read the store.
"""

from typing import Final

from holdfast.adapters.redis import keys
from holdfast.domain.ids import ConversationId, Seq
from holdfast.protocol.seals import Seals

_SIGNED: Final = "~signed"


class Kept:
    """Messages as entries, and back."""

    def __init__(self, seals: Seals | None) -> None:
        """`seals`: what signs the entries, where there is a secret."""
        self._seals = seals

    def head(self, generation: str) -> str:
        """The beginning of the entries of this store, before a space. A restored store counts its seqs anew."""
        return generation if self._seals is None else generation + _SIGNED

    def entry(self, conversation_id: ConversationId, generation: str, seq: Seq, message: bytes) -> bytes:
        """The part after the head and its space."""
        if self._seals is None:
            return message
        return b"%b %b" % (self._seals.stamp(keys.recent(conversation_id), _stamped(generation, seq, message)), message)

    def is_of(self, generation: str, entry: bytes) -> bool:
        """Whether the entry is of this store, and of our kind."""
        return entry.startswith(b"%b " % self.head(generation).encode())

    def message(self, conversation_id: ConversationId, generation: str, seq: Seq, entry: bytes) -> bytes | None:
        """The message of an entry that `is_of` this generation; None where no instance kept it under this seq."""
        kept = entry[len(self.head(generation)) + 1 :]
        if self._seals is None:
            return kept
        stamp, _, message = kept.partition(b" ")
        place = keys.recent(conversation_id)
        return message if self._seals.has_stamped(place, _stamped(generation, seq, message), stamp) else None


def _stamped(generation: str, seq: Seq, message: bytes) -> bytes:
    return b"%b %d %b" % (generation.encode(), seq, message)
