"""The mark of a commit in the store: what other instances finish if the instance dies before it has. Pure.

A commit carries its mark where Redis confirmed none. Both are one write, so the mark exists exactly if the messages do.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from holdfast.domain.ids import MAX_SEQ, ConversationId, Seq, is_id
from holdfast.domain.stored import Stored
from holdfast.errors import Undecodable

MAX_MESSAGES: Final = 500  # of one mark: as many as are read at once; an append has at most 200

_OWNER: Final = re.compile(r"[A-Za-z0-9_.:-]{1,400}", re.ASCII)
_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,400}~[A-Za-z0-9_-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class StoredMark:
    """Of the messages `first … last` of a conversation. `mark_id`: `instance:epoch~random`, `owner` is its first part."""

    mark_id: str
    conversation_id: ConversationId
    first: Seq
    last: Seq

    @property
    def owner(self) -> str:
        """The run of the instance that committed them, named as in presence."""
        return self.mark_id.rpartition("~")[0]


@dataclass(frozen=True, slots=True)
class MarkPage:
    """Some of the stored marks, by id.

    Attributes:
        damaged: ids of what stands among the marks and is none.
        last: the id to go on after; empty where there are no more.
    """

    marks: list[StoredMark] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    last: str = ""


def is_owner(text: str) -> bool:
    """Whether marks of an owner of this name can exist, and be asked for."""
    return _OWNER.fullmatch(text) is not None


def decoded(mark_id: str, stored: Stored) -> StoredMark:
    """A mark, given its id and its fields. One without `last`, of a version to come, is of all that follows `first`.

    Raises:
        Undecodable: it is none.
    """
    conversation_id, first = stored.required_text("c"), stored.number("first")
    last = first + MAX_MESSAGES - 1 if stored.of("last") is None else stored.number("last")
    if stored.is_damaged or _ID.fullmatch(mark_id) is None or not is_id(conversation_id):
        raise Undecodable("no mark")
    if not 1 <= first <= last <= MAX_SEQ or last - first >= MAX_MESSAGES:
        raise Undecodable("no messages that one commit could hold")
    return StoredMark(mark_id, ConversationId(conversation_id), first, last)
