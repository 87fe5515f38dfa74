"""The sequencer: many paths in, each message out once and in order.

Local hand-over, the bus, gap fill and polling all offer their messages. `head + 1` passes, a lower seq is dropped, a higher one
waits until the gap before it is filled. So redundancy is harmless, and no path has to be reliable.

The sequencer finds gaps (`hole`) and fetches nothing: `node/conversations/gap_fill.py` asks for them at each tick, reads the
missing messages from Redis or the store, and offers them here. `hint` and `settle_tail` say how far the conversation goes. So a
gap at its end is found as well, and a wrong report of its end is forgotten.
"""

from typing import Final, Generic, TypeVar

from holdfast.domain.ids import Seq

T = TypeVar("T")

HOLE_PATIENCE_SECONDS: Final = 0.15  # envelopes of two instances cross within a few ms; a hole this old is a lost one
MAX_WAITING: Final = 1_000  # what is beyond is dropped and fetched again: the store has it


class Sequencer(Generic[T]):
    """One conversation's stream. Not thread-safe; lives in the loop.

    Until `start` the head is unknown and everything waits.
    """

    __slots__ = ("_hole_since", "_known_tail", "_waiting", "head")

    def __init__(self) -> None:
        self.head: Seq | None = None
        self._waiting: dict[Seq, T] = {}
        self._known_tail: Seq = 0
        self._hole_since: float | None = None

    def start(self, head: Seq, now: float) -> list[T]:
        """Begin after `head` (again, too: a restored store may put it back); what waited and follows is released."""
        self.head = head
        self._waiting = {seq: item for seq, item in self._waiting.items() if seq > head}
        return self._release(now)

    def offer(self, seq: Seq, item: T, now: float) -> list[T]:
        """Take one message; return what may be shown now, in order."""
        head = self.head
        if head is not None:
            if seq <= head:
                return []
            if seq == head + 1 and not self._waiting:
                self.head = seq
                if self._known_tail <= seq:
                    self._hole_since = None
                return [item]
        if seq in self._waiting or (len(self._waiting) >= MAX_WAITING and (head is None or seq > head + 1)):
            self.hint(seq, now)
            return []
        self._waiting[seq] = item
        return [] if head is None else self._release(now)

    def hint(self, tail: Seq, now: float) -> None:
        """The conversation is reported to have reached `tail`; a lower head here means a gap."""
        self._known_tail = max(self._known_tail, tail)
        if self._hole_since is None and self.head is not None and self._known_tail > self.head:
            self._hole_since = now

    @property
    def known_tail(self) -> Seq:
        """The highest seq of the conversation that was reported from any source."""
        return self._known_tail

    def settle_tail(self, tail: Seq, claimed: Seq) -> None:
        """The store says that the conversation ends at `tail`; when it was asked, `known_tail` was `claimed`.

        Reports of a higher seq from before the question were wrong. Later reports may be newer than the answer, and stay.
        """
        if self._known_tail > max(tail, claimed):
            return
        self._waiting = {seq: item for seq, item in self._waiting.items() if seq <= tail}
        self._known_tail = tail
        if self.head is not None and self.head >= tail:
            self._hole_since = None

    def hole(self, now: float, patience_seconds: float = HOLE_PATIENCE_SECONDS) -> tuple[Seq, Seq] | None:
        """(last seq before, last seq inside) of the first hole that is older than `patience_seconds`."""
        if self.head is None or self._hole_since is None or now - self._hole_since < patience_seconds:
            return None
        return self.head, min(self._waiting) - 1 if self._waiting else self._known_tail

    def hole_age(self, now: float) -> float:
        """For how many seconds the stream has waited for something; 0.0 when it waits for nothing."""
        return 0.0 if self.head is None or self._hole_since is None else max(0.0, now - self._hole_since)

    def _release(self, now: float) -> list[T]:
        head = self.head or 0
        released = []
        while (item := self._waiting.pop(head + 1, None)) is not None:
            released.append(item)
            head += 1
        self.head = head
        tail = max(self._waiting, default=self._known_tail)
        self._known_tail = max(self._known_tail, tail)
        if self._known_tail <= head:
            self._hole_since = None
        elif released or self._hole_since is None:
            self._hole_since = now
        return released
