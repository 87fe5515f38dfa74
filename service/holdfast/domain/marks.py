"""Marks: what an instance is about to do to a conversation, so that other instances finish it if that instance dies. Pure.

A mark is set in Redis before an append, or before a change of members, and removed when all that follows is done. A mark of a
change names one user, whose list of conversations may be wrong by that change. No conversation names a user who was removed.

Where Redis confirmed no mark, a commit carries one into the store. Both are one write, so the mark exists exactly if the messages
do.

Instances of an older version set marks of a commit without `first`, and a second one for the decision about notifications, which
ends in `notify`. Either is finished here like a mark whose `first` is not known. Such instances finish a mark of ours as one of
theirs that is not published: they read no further than its first four parts.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from holdfast.domain.ids import MAX_SEQ, ConversationId, Epoch, InstanceId, Seq, UserId, is_id
from holdfast.domain.stored import Stored
from holdfast.errors import Undecodable

MAX_MESSAGES: Final = 500  # of one mark: as many as are read at once; an append has at most 200

_OWNER: Final = re.compile(r"[A-Za-z0-9_.:-]{1,400}", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,12}", re.ASCII)
_COMMIT: Final = re.compile(r"(?P<c>[^|]+)\|([^|]*)\|([^|]*)\|[^|]*(?:\|(?P<first>[^|]*))?")
_CHANGE: Final = re.compile(r"user:(?P<user>[^|]+)\|([^|]*)\|([^|]*)\|[^|]*\|(?P<c>[^|]+)\|(?P<revision>[0-9]+)", re.ASCII)
_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,400}~[A-Za-z0-9_-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Mark:
    """One mark in Redis.

    Attributes:
        owner: the instance that set it, and its epoch.
        first: of a commit: no message of it has a lower seq; 0 where that is not known.
        user_id: of a change of members: whose list it touches; None for a commit.
        revision: of the conversation before that change; a higher one means that something changed.
    """

    conversation_id: ConversationId
    owner: tuple[InstanceId, Epoch]
    first: Seq = 0
    user_id: UserId | None = None
    revision: int = 0


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


def commit_mark(conversation_id: ConversationId, owner: str, number: int, first: Seq) -> str:
    """`conversation|instance|epoch|number|first`.

    Args:
        owner: `instance|epoch`.
        number: of this attempt, at that instance.
    """
    return f"{conversation_id}|{owner}|{number}|{first}"


def change_mark(user_id: UserId, owner: str, number: int, conversation_id: ConversationId, revision: int) -> str:
    """`user:{id}|instance|epoch|number|conversation|revision`; the arguments are as those of `commit_mark`."""
    return f"user:{user_id}|{owner}|{number}|{conversation_id}|{revision}"


def mark_of(entry: str) -> Mark | None:
    """The mark that an entry in Redis is; None where it is none."""
    if (commit := _COMMIT.fullmatch(entry)) is not None and is_id(commit["c"]):
        return Mark(ConversationId(commit["c"]), (InstanceId(commit[2]), Epoch(commit[3])), _number(commit["first"]))
    change = _CHANGE.fullmatch(entry)
    if change is None or not (is_id(change["user"]) and is_id(change["c"])):
        return None
    owner, user_id = (InstanceId(change[2]), Epoch(change[3])), UserId(change["user"])
    return Mark(ConversationId(change["c"]), owner, user_id=user_id, revision=_number(change["revision"]))


def _number(text: str | None) -> int:
    """0 where it is none."""
    return int(text) if text is not None and _NUMBER.fullmatch(text) else 0


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
