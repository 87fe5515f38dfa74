"""Finds the tail of a conversation by asking for documents by name, because Firestore does not scan keys backwards.

Seqs have no gaps, so a message exists exactly when it is not beyond the tail. A lower bound is usually the tail itself: two
documents confirm it. Otherwise the distance is found by doubling (first as far as a conversation grows while a client is away,
then as far as ids reach), then narrowed 32-fold a round. Many conversations share each round.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from google.cloud.firestore_v1.base_document import DocumentSnapshot

from holdfast.adapters.firestore import documents
from holdfast.adapters.firestore.client import Calls
from holdfast.adapters.firestore.reads import get_many
from holdfast.domain.bounded import BoundedDict
from holdfast.domain.ids import ConversationId, Seq

_MAX_KNOWN: Final = 20_000
_FANOUT: Final = 32
_NEAR_DOUBLINGS: Final = 8  # 128 messages: every read is paid for, those of documents that do not exist too
_DOUBLINGS: Final = 39  # 12 digits of seq


@dataclass(frozen=True, slots=True)
class Tail:
    """The last message of a conversation, `seq` 0 without one, and Firestore's time of its creation."""

    seq: Seq
    created_at: datetime | None


class _Search:
    """One conversation: the tail is in [low, high)."""

    def __init__(self, known: Seq) -> None:
        self.known = known
        self.low: Seq | None = None if known else 0
        self.high: Seq | None = None
        self.created_at: datetime | None = None  # of message `low`
        self._rounds = 0

    @property
    def is_over(self) -> bool:
        return self.low is not None and self.high == self.low + 1

    def probes(self) -> list[Seq]:
        """Which messages to ask for next."""
        self._rounds += 1
        if self._rounds == 1:
            return [self.known, self.known + 1] if self.known else [1]
        low = self.low or 0
        if self.high is None:
            powers = range(_NEAR_DOUBLINGS) if self._rounds == 2 else range(_NEAR_DOUBLINGS, _DOUBLINGS)
            return [low + 2**power for power in powers]
        step = max(1, (self.high - low) // (_FANOUT + 1))
        return list(range(low + step, self.high, step))[: 2 * _FANOUT]

    def learn(self, answers: Mapping[Seq, datetime | None]) -> None:
        """Which messages are there, each with the time of its creation; None for those that are not."""
        there = [seq for seq, created_at in answers.items() if created_at is not None]
        missing = [seq for seq, created_at in answers.items() if created_at is None]
        self.low = max([self.low or 0, *there])
        self.created_at = answers.get(self.low) or self.created_at
        above = [seq for seq in missing if seq > self.low]
        if above:
            self.high = min([*above, *([self.high] if self.high is not None else [])])


class Tails:
    """Remembers lower bounds; a wrong one costs a few more reads, nothing else."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._known = BoundedDict[ConversationId, Seq](_MAX_KNOWN)

    def note(self, conversation_id: ConversationId, tail: Seq) -> None:
        """A conversation was seen to reach `tail`."""
        self._known[conversation_id] = tail

    async def find(self, known: Mapping[ConversationId, Seq]) -> dict[ConversationId, Seq]:
        """The tail of each conversation; `known`: where to begin."""
        return {conversation_id: tail.seq for conversation_id, tail in (await self.search(known)).items()}

    async def search(self, known: Mapping[ConversationId, Seq]) -> dict[ConversationId, Tail]:
        """As `find`, with the time of each tail's creation."""
        searches = {c: _Search(max(seq, self._known.get(c, 0))) for c, seq in known.items()}
        while open_ones := {c: search for c, search in searches.items() if not search.is_over}:
            await self._round(open_ones)
        for conversation_id, search in searches.items():
            self.note(conversation_id, search.low or 0)
        return {c: Tail(search.low or 0, search.created_at) for c, search in searches.items()}

    async def find_one(self, conversation_id: ConversationId) -> Seq:
        """The tail of one conversation."""
        return (await self.find({conversation_id: 0}))[conversation_id]

    async def _round(self, searches: Mapping[ConversationId, _Search]) -> None:
        client = self._calls.client
        references = {
            c: {seq: documents.message_ref(client, c, seq) for seq in search.probes()} for c, search in searches.items()
        }
        every = [reference for asked in references.values() for reference in asked.values()]
        found = await get_many(self._calls, every, ["seq"])
        for conversation_id, asked in references.items():
            answers = {seq: _created_at(found.get(reference.path)) for seq, reference in asked.items()}
            searches[conversation_id].learn(answers)


def _created_at(snapshot: DocumentSnapshot[Any] | None) -> datetime | None:
    return snapshot.create_time if snapshot is not None else None
