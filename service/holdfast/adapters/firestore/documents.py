"""Documents to domain objects and back. Field names are Firestore's, in camelCase, as the acceptance guide reads them."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from google.cloud.firestore_v1 import SERVER_TIMESTAMP
from google.cloud.firestore_v1.async_client import AsyncClient
from google.cloud.firestore_v1.async_document import AsyncDocumentReference

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.conversations import Conversation, LastMessage, Membership, NewConversation
from holdfast.domain.ids import ConversationId, Epoch, InstanceId, Seq, UserId, message_id
from holdfast.domain.messages import Draft, Message
from holdfast.domain.notifications import Notification

Fields = dict[str, Any]

RECORDS_LIVE: Final = timedelta(days=7)  # of notifications; the TTL policy removes them then

MEMBERSHIP_FIELDS = ("membersVersion", "revision", "lastSeq", "lastMessageAt", "memberCount")


def at(ms: int) -> datetime:
    """Unix milliseconds as a timestamp."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def ms(timestamp: datetime) -> int:
    """A timestamp as Unix milliseconds."""
    return round(timestamp.timestamp() * 1000)


def whole_ms(timestamp: datetime) -> int:
    """A time of the store's own, whose full milliseconds count: never later than it was."""
    return math.floor(timestamp.timestamp() * 1000)


def conversation_ref(client: AsyncClient, conversation_id: ConversationId) -> AsyncDocumentReference:
    """`conversations/{c}`."""
    return client.document("conversations", conversation_id)


def message_ref(client: AsyncClient, conversation_id: ConversationId, seq: Seq) -> AsyncDocumentReference:
    """`conversations/{c}/messages/{000000000042}`."""
    return client.document("conversations", conversation_id, "messages", message_id(seq))


def send_ref(client: AsyncClient, conversation_id: ConversationId, key: str) -> AsyncDocumentReference:
    """`conversations/{c}/sends/{key}`."""
    return client.document("conversations", conversation_id, "sends", key)


def message_fields(draft: Draft, seq: Seq, sent_at_ms: int) -> Fields:
    """A new message; nobody has read it."""
    return {
        "seq": seq,
        "sender": draft.sender,
        "clientMessageId": draft.client_message_id,
        "body": draft.body,
        "metadataJson": draft.metadata_json,
        "sentAt": at(sent_at_ms),
        "readBy": [],
    }


def message(conversation_id: ConversationId, fields: Fields) -> Message:
    """A stored message."""
    return Message(
        conversation_id=conversation_id,
        seq=fields["seq"],
        sender=fields["sender"],
        client_message_id=fields["clientMessageId"],
        body=fields["body"],
        metadata_json=fields["metadataJson"],
        sent_at_ms=ms(fields["sentAt"]),
    )


def conversation_fields(new: NewConversation) -> Fields:
    """A new conversation; its activity begins with its creation, so that every one has a place in the order."""
    return {
        "members": list(new.members),
        "memberCount": len(new.members),
        "membersVersion": 1,
        "revision": 1,
        "title": new.title,
        "metadataJson": new.metadata_json,
        "createdAt": at(new.created_at_ms),
        "createdBy": new.created_by,
        "digest": new.digest,
        "lastSeq": 0,
        "lastMessage": None,
        "lastMessageAt": at(new.created_at_ms),
    }


def conversation(conversation_id: str, fields: Fields) -> Conversation:
    """A stored conversation."""
    last = fields.get("lastMessage")
    return Conversation(
        conversation_id=ConversationId(conversation_id),
        members=tuple(fields["members"]),
        members_version=fields["membersVersion"],
        revision=fields["revision"],
        title=fields["title"],
        metadata_json=fields["metadataJson"],
        created_by=fields["createdBy"],
        created_at_ms=ms(fields["createdAt"]),
        digest=fields["digest"],
        last_seq=fields["lastSeq"],
        last_message=None if last is None else LastMessage(last["seq"], last["sender"], last["body"], ms(last["sentAt"])),
        last_active_at_ms=ms(fields["lastMessageAt"]),
        joined=fields.get("joined", {}),
    )


def membership(conversation_id: str, user_id: UserId, fields: Fields) -> Membership:
    """One row of a user's list, read without the members."""
    return Membership(
        conversation_id=ConversationId(conversation_id),
        members_version=fields["membersVersion"],
        revision=fields["revision"],
        last_seq=fields["lastSeq"],
        last_active_at_ms=ms(fields["lastMessageAt"]),
        member_count=fields["memberCount"],
        joined_seq=fields.get("joined", {}).get(user_id, 0),
    )


def last_message_fields(last: LastMessage) -> Fields:
    """The preview."""
    return {"seq": last.seq, "sender": last.sender, "body": last.body, "sentAt": at(last.sent_at_ms)}


def bulletin_fields(bulletin: Bulletin) -> Fields:
    """A bulletin. Maps stay maps: their keys never become paths."""
    return {
        "epoch": bulletin.epoch,
        "beat": bulletin.beat,
        "mode": bulletin.mode,
        "heads": dict(bulletin.heads),
        "members": dict(bulletin.members),
        "users": list(bulletin.users),
        "receipts": dict(bulletin.receipts),
        "left": dict(bulletin.left),
        "earlier": dict(bulletin.earlier),
        "overflow": bulletin.overflow,
        "server": bulletin.server,
        "isCut": bulletin.is_cut,
    }


def bulletin(instance_id: str, fields: Fields, written_at_ms: int) -> Bulletin:
    """A stored bulletin."""
    return Bulletin(
        instance_id=InstanceId(instance_id),
        epoch=Epoch(fields["epoch"]),
        beat=fields["beat"],
        mode=fields["mode"],
        heads=fields["heads"],
        members=fields["members"],
        users=tuple(fields["users"]),
        receipts=fields["receipts"],
        left=fields.get("left", {}),
        earlier=fields.get("earlier", {}),
        overflow=fields["overflow"],
        server=fields.get("server", ""),
        is_cut=fields.get("isCut", False),
        written_at_ms=written_at_ms,
    )


def flag_ms(user_fields: Fields) -> int:
    """Since when somebody is to be caught up; 0, everything, where a flag was set by hand without it."""
    since = user_fields.get("catchupSince")
    return 0 if since is None else ms(since)


def notification_fields(record: Notification, token: str) -> Fields:
    """A new record; `dueAt`, by which it is found while there is something to do, is Firestore's own time.

    Args:
        token: of the call that creates it, so that one whose reply was lost knows its own.
    """
    return {
        "userId": record.user_id,
        "conversationId": record.conversation_id,
        "seq": record.seq,
        "sender": record.sender,
        "preview": record.preview,
        "createdAt": at(record.created_at_ms),
        "state": "pending",
        "dueAt": SERVER_TIMESTAMP,
        "attempts": record.attempts,
        "expireAt": at(record.created_at_ms) + RECORDS_LIVE,
        "token": token,
    }


def notification(notification_id: str, fields: Fields) -> Notification:
    """A stored record."""
    return Notification(
        notification_id=notification_id,
        user_id=fields["userId"],
        conversation_id=fields["conversationId"],
        seq=fields["seq"],
        sender=fields["sender"],
        preview=fields["preview"],
        created_at_ms=ms(fields["createdAt"]),
        attempts=fields["attempts"],
    )
