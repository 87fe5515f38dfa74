"""Frames as an instance sends them, for tests of the client's rules."""

import msgspec

from holdfast.protocol.frames import ConversationNotice, Limits, MessageFrame, Synced
from holdfast.settings import LimitSettings


def message(seq: int, conversation_id: str = "c") -> MessageFrame:
    """Whose body is its number."""
    return MessageFrame(
        conversation_id=conversation_id,
        seq=seq,
        message_id=f"{seq:012d}",
        sender="ann",
        body=str(seq),
        client_message_id=f"k{seq}",
        sent_at="2026-01-31T12:00:00.000Z",
    )


def synced(**heads: int) -> Synced:
    """Conversations and where they end."""
    return Synced(heads=heads, read_seqs={}, revisions={})


def limits(**changed: int) -> Limits:
    """What an instance announces by default."""
    settings = LimitSettings()
    return Limits(**{name: getattr(settings, name) for name in Limits.__struct_fields__} | changed)


def notice(conversation_id: str, event: str, revision: int, last_seq: int | None = None) -> ConversationNotice:
    """About Ann; without `last_seq` it has no summary, as for a user who was removed."""
    summary = {
        "created_by": "ben",
        "created_at": "",
        "metadata": msgspec.Raw(b"null"),
        "member_count": 2,
        "members": [],
        "last_seq": last_seq,
        "revision": revision,
    }
    absent = dict.fromkeys(("title", "last_message", "last_message_at"))
    zero = dict.fromkeys(("last_read_seq", "unread_count"), 0)
    return msgspec.convert(
        {
            "type": "conversation",
            "conversation_id": conversation_id,
            "event": event,
            "user_id": "ann",
            "by": "ben",
            "revision": revision,
            **(
                {}
                if last_seq is None
                else {"conversation": {"conversation_id": conversation_id, "indicators": True, **summary, **absent, **zero}}
            ),
        },
        ConversationNotice,
    )
