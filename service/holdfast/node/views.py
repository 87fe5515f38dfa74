"""Conversations as clients see them."""

from msgspec import Raw

from holdfast.domain.conversations import Conversation, LastMessage
from holdfast.domain.ids import Seq, message_id
from holdfast.protocol.frames import LastMessageView, Summary
from holdfast.protocol.jsontext import rfc3339

_MEMBERS_SHOWN = 10
_PREVIEW_CHARACTERS = 200


def summary(conversation: Conversation, *, last_read_seq: Seq, indicator_members: int, head: Seq = 0) -> Summary:
    """The summary for one user. `head`: what this instance knows of the tail; the stored hint may lag behind it."""
    last_seq = max(conversation.last_seq, head)
    last = conversation.last_message
    return Summary(
        conversation_id=conversation.conversation_id,
        title=conversation.title,
        metadata=None if conversation.metadata_json is None else Raw(conversation.metadata_json.encode()),
        created_by=conversation.created_by,
        created_at=rfc3339(conversation.created_at_ms),
        member_count=len(conversation.members),
        members=conversation.members[:_MEMBERS_SHOWN],
        last_seq=last_seq,
        last_read_seq=last_read_seq,
        unread_count=max(0, last_seq - last_read_seq),
        last_message=None if last is None else _preview(last),
        last_message_at=None if last is None else rfc3339(last.sent_at_ms),
        revision=conversation.revision,
        indicators=len(conversation.members) <= indicator_members,
    )


def _preview(last: LastMessage) -> LastMessageView:
    return LastMessageView(
        seq=last.seq,
        message_id=message_id(last.seq),
        sender=last.sender,
        body=last.body[:_PREVIEW_CHARACTERS],
        sent_at=rfc3339(last.sent_at_ms),
    )
