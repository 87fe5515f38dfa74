"""What an observer is told of messages and of changes of conversations, as the fields of a record."""

from msgspec import UNSET

from holdfast.client.messages import Message
from holdfast.protocol import frames


def message_fields(message: Message | frames.MessageFrame) -> dict[str, object]:
    """What an observer is told of a message."""
    names = {"conversation": message.conversation_id, "sender": message.sender, "key": message.client_message_id}
    return {**names, "seq": message.seq, "body": message.body}


def notice_fields(notice: frames.ConversationNotice) -> dict[str, object]:
    """What an observer is told of a change of a conversation."""
    about = "" if notice.user_id is UNSET else notice.user_id
    fields: dict[str, object] = {"conversation": notice.conversation_id, "name": notice.event, "about": about}
    if notice.conversation is not UNSET:
        fields |= {"seq": notice.conversation.last_seq, "joined": notice.conversation.joined_seq}
    return fields
