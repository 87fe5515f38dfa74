"""Conversations as clients see them."""

from msgspec import UNSET, Raw

from holdfast.domain.conversations import Conversation, LastMessage
from holdfast.domain.ids import Seq, UserId, message_id
from holdfast.protocol.frames import ConversationEvent, ConversationNotice, LastMessageView, Summary
from holdfast.protocol.jsontext import rfc3339

_MEMBERS_SHOWN = 10
_PREVIEW_CHARACTERS = 200


def summary(
    conversation: Conversation,
    user_id: UserId,
    *,
    last_read_seq: Seq,
    indicator_members: int,
    head: Seq = 0,
    last_seq: Seq | None = None,
) -> Summary:
    """The summary for one user.

    Args:
        head: what this instance knows of the tail; the stored hint may lag behind it.
        last_seq: what is said instead, where live delivery depends on it.
    """
    joined_seq, last = conversation.joined_seq(user_id), conversation.last_message
    last_read_seq = max(last_read_seq, joined_seq)
    if last_seq is None:
        last_seq = max(conversation.last_seq, head)
    return Summary(
        conversation_id=conversation.conversation_id,
        title=conversation.title,
        metadata=Raw((conversation.metadata_json or "null").encode()),
        created_by=conversation.created_by,
        created_at=rfc3339(conversation.created_at_ms),
        member_count=len(conversation.members),
        members=conversation.members[:_MEMBERS_SHOWN],
        joined_seq=joined_seq,
        last_seq=last_seq,
        last_read_seq=last_read_seq,
        unread_count=max(0, last_seq - last_read_seq),
        last_message=None if last is None else _preview(last),
        last_message_at=None if last is None else rfc3339(last.sent_at_ms),
        revision=conversation.revision,
        indicators=len(conversation.members) <= indicator_members,
    )


def beginning(
    conversation: Conversation,
    user_id: UserId,
    event: ConversationEvent,
    by: UserId,
    *,
    start: Seq,
    last_read_seq: Seq,
    indicator_members: int,
) -> ConversationNotice:
    """What a device is told of a conversation that is new to it: messages are delivered after `start`."""
    view = summary(conversation, user_id, last_read_seq=last_read_seq, indicator_members=indicator_members, last_seq=start)
    return ConversationNotice(
        conversation_id=conversation.conversation_id,
        event=event,
        user_id=user_id if event == "member_added" else UNSET,
        by=by,
        revision=conversation.revision,
        conversation=view,
    )


def _preview(last: LastMessage) -> LastMessageView:
    return LastMessageView(
        seq=last.seq,
        message_id=message_id(last.seq),
        sender=last.sender,
        body=last.body[:_PREVIEW_CHARACTERS],
        sent_at=rfc3339(last.sent_at_ms),
    )
