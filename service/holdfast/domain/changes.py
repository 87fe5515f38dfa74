"""The `dirty` mark of a change of a conversation: what others need who find it, when its owner is gone."""

from dataclasses import dataclass

from holdfast.domain.ids import ConversationId, UserId, is_id

_PARTS = 6


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a conversation was attempted. `revision`: its revision before; a higher one means that something changed."""

    user_id: UserId
    conversation_id: ConversationId
    revision: int


def change_mark(user_id: UserId, owner: str, number: int, conversation_id: ConversationId, revision: int) -> str:
    """`user:{id}|instance|epoch|number|conversation|revision`, of a user whose roster may be wrong by it.

    Args:
        owner: `instance|epoch`.
        number: of this change, at that instance.
    """
    return f"user:{user_id}|{owner}|{number}|{conversation_id}|{revision}"


def change_of(mark: str) -> Change | None:
    """What such a mark says; None for every other."""
    parts = mark.split("|")
    if len(parts) != _PARTS or not parts[0].startswith("user:") or not parts[5].isdecimal():
        return None
    user_id, conversation_id = parts[0].removeprefix("user:"), parts[4]
    if not (is_id(user_id) and is_id(conversation_id)):
        return None
    return Change(UserId(user_id), ConversationId(conversation_id), int(parts[5]))
