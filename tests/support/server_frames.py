"""Frames as an instance sends them, for tests of the client's rules."""

from holdfast.protocol.frames import Limits, MessageFrame, Synced
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
