"""Documents to domain objects and back. Field names are Firestore's, in camelCase, as the acceptance guide reads them."""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from google.api_core.datetime_helpers import DatetimeWithNanoseconds
from google.cloud.firestore_v1 import SERVER_TIMESTAMP, WriteOption
from google.cloud.firestore_v1.async_client import AsyncClient
from google.cloud.firestore_v1.async_document import AsyncDocumentReference

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.conversations import Conversation, LastMessage, Membership, NewConversation
from holdfast.domain.ids import ConversationId, Epoch, InstanceId, RunId, Seq, UserId, message_id, run_id
from holdfast.domain.marks import StoredMark
from holdfast.domain.messages import Draft, Message
from holdfast.domain.notifications import Notification
from holdfast.domain.stored import Stored
from holdfast.errors import Undecodable

Fields = dict[str, Any]

_SEQ_DIGITS: Final = 12
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


def version_of(update_time: Any) -> str:
    """The version of a document: the time of its last write, as Firestore says it, to the nanosecond."""
    return str(update_time.rfc3339())


def at_version(client: AsyncClient, version: str) -> WriteOption:
    """The condition that a document is of that version."""
    parse: Callable[[str], datetime] = DatetimeWithNanoseconds.from_rfc3339
    return client.write_option(last_update_time=parse(version))


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
    """A new message, read by no user."""
    return {
        "seq": seq,
        "sender": draft.sender,
        "clientMessageId": draft.client_message_id,
        "body": draft.body,
        "metadataJson": draft.metadata_json,
        "sentAt": at(sent_at_ms),
        "readBy": [],
    }


def message(conversation_id: ConversationId, document_id: str, stored: Stored, committed_at_ms: int = 0) -> Message:
    """A stored message. A damaged message keeps its place: without it no client could show the messages behind it.

    Raises:
        Undecodable: the document's name is not a position.
    """
    if len(document_id) != _SEQ_DIGITS or not (document_id.isascii() and document_id.isdecimal()):
        raise Undecodable("no message")
    return Message(
        conversation_id=conversation_id,
        seq=int(document_id),
        sender=UserId(stored.text("sender")),
        client_message_id=stored.text("clientMessageId"),
        body=stored.text("body"),
        metadata_json=_json_object(stored, "metadataJson"),
        sent_at_ms=moment(stored, "sentAt"),
        committed_at_ms=committed_at_ms,
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


def conversation(conversation_id: str, stored: Stored) -> Conversation:
    """A stored conversation."""
    members = tuple(UserId(member) for member in stored.texts("members"))
    joined = stored.numbers("joined")
    return Conversation(
        conversation_id=ConversationId(conversation_id),
        members=members,
        members_version=stored.number("membersVersion"),
        revision=stored.number("revision"),
        title=stored.optional_text("title"),
        metadata_json=_json_object(stored, "metadataJson"),
        created_by=UserId(stored.text("createdBy")),
        created_at_ms=moment(stored, "createdAt"),
        digest=stored.text("digest"),
        last_seq=stored.number("lastSeq"),
        last_message=_last_message(stored),
        last_active_at_ms=moment(stored, "lastMessageAt"),
        joined=joined,
    )


def _last_message(stored: Stored) -> LastMessage | None:
    if stored.of("lastMessage") is None:
        return None
    last = Stored(stored.of("lastMessage"))
    found = LastMessage(last.number("seq"), UserId(last.text("sender")), last.text("body"), moment(last, "sentAt"))
    stored.is_damaged |= last.is_damaged
    return None if last.is_damaged else found


def membership(conversation_id: str, user_id: UserId, stored: Stored) -> Membership:
    """One row of a user's list, read without the members."""
    return Membership(
        conversation_id=ConversationId(conversation_id),
        members_version=stored.number("membersVersion"),
        revision=stored.number("revision"),
        last_seq=stored.number("lastSeq"),
        last_active_at_ms=moment(stored, "lastMessageAt"),
        member_count=stored.number("memberCount"),
        joined_seq=stored.numbers("joined").get(user_id, 0),
    )


def last_message_fields(last: LastMessage) -> Fields:
    """The preview."""
    return {"seq": last.seq, "sender": last.sender, "body": last.body, "sentAt": at(last.sent_at_ms)}


def bulletin_fields(bulletin: Bulletin) -> Fields:
    """A bulletin. Maps stay maps: their keys never become paths."""
    return {
        "name": bulletin.instance_id,
        "epoch": bulletin.epoch,
        "beat": bulletin.beat,
        "mode": bulletin.mode,
        "heads": dict(bulletin.heads),
        "members": dict(bulletin.members),
        "users": list(bulletin.users),
        "receipts": dict(bulletin.receipts),
        "left": dict(bulletin.left),
        "earlier": bulletin.stored_earlier,
        "overflow": bulletin.overflow,
        "server": bulletin.server,
        "isCut": bulletin.is_cut,
        "isOut": bulletin.is_out,
        "isEnded": bulletin.is_ended,
        "beats": bulletin.beats,
    }


def death_fields(bulletin: Bulletin) -> Fields:
    """The fields that change in the bulletin of a run that is declared dead. The time of its last write is kept beside it."""
    return {"isDead": True, "aliveAt": at(bulletin.written_at_ms), "earlier": bulletin.entries}


def bulletin(name: str, stored: Stored, written_at: datetime) -> Bulletin:
    """A stored bulletin. Of an instance of an older version it has no `name`: the document is named after the instance.

    Raises:
        Undecodable: it does not say of which epoch it is.
    """
    epoch = Epoch(stored.required_text("epoch"))
    instance_id = stored.of("name")
    is_older = not isinstance(instance_id, str) or not instance_id
    run = run_id(InstanceId(name), epoch) if is_older else RunId(name)
    is_dead, alive_at = stored.flag("isDead"), stored.of("aliveAt")
    return Bulletin(
        instance_id=InstanceId(name) if is_older else InstanceId(stored.text("name")),
        epoch=epoch,
        beat=stored.number("beat"),
        mode=stored.required_text("mode"),
        heads=stored.numbers("heads"),
        members=stored.numbers("members"),
        users=tuple(UserId(user_id) for user_id in stored.texts("users")),
        receipts=stored.numbers("receipts"),
        left=stored.numbers("left"),
        earlier={entry: alive_ms for entry, alive_ms in stored.numbers("earlier").items() if entry != run},
        overflow=stored.flag("overflow"),
        server=stored.text("server") if stored.of("server") is not None else "",
        is_cut=stored.flag("isCut"),
        is_out=stored.flag("isOut"),
        run=run,
        is_ended=stored.flag("isEnded"),
        beats=stored.flag("beats"),
        is_dead=is_dead,
        is_older=is_older,
        written_at_ms=ms(alive_at) if is_dead and isinstance(alive_at, datetime) else whole_ms(written_at),
        version=version_of(written_at),
    )


def mark_fields(mark: StoredMark) -> Fields:
    """A mark, without its id."""
    return {"c": mark.conversation_id, "first": mark.first, "last": mark.last}


def flag_ms(user_fields: Fields) -> int:
    """The start of the offline backfill of a user; 0, everything, where a flag was set by hand without it."""
    since = user_fields.get("catchupSince")
    return ms(since) if isinstance(since, datetime) else 0


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


def notification(notification_id: str, stored: Stored) -> Notification:
    """A stored record.

    Raises:
        Undecodable: it does not say who is to be notified of what.
    """
    return Notification(
        notification_id=notification_id,
        user_id=UserId(stored.required_text("userId")),
        conversation_id=ConversationId(stored.required_text("conversationId")),
        seq=stored.number("seq"),
        sender=UserId(stored.text("sender")),
        preview=stored.text("preview"),
        created_at_ms=moment(stored, "createdAt"),
        attempts=stored.number("attempts"),
    )


def revoked_at_ms(stored: Stored) -> int:
    """When a user was revoked last, in Unix milliseconds; older versions say it in `notBefore` (seconds) only.

    Raises:
        Undecodable: the document does not say.
    """
    exact = stored.of("revokedAt")
    told = [ms(exact)] if isinstance(exact, datetime) else []
    if stored.of("notBefore") is not None:
        told.append((stored.number("notBefore") - 1) * 1000)
    if not told:
        raise Undecodable("no revokedAt")
    return max(0, *told)


def revoked_until_ms(stored: Stored) -> int:
    """Until when one token is revoked, in Unix milliseconds.

    Raises:
        Undecodable: the document does not say.
    """
    if not isinstance(ends_at := stored.of("expireAt"), datetime):
        raise Undecodable("no expireAt")
    return max(0, ms(ends_at))


def moment(stored: Stored, name: str) -> int:
    """A timestamp as Unix milliseconds, 0 where there is none."""
    value = stored.of(name)
    if not isinstance(value, datetime):
        stored.is_damaged = True
        return 0
    return max(0, ms(value))


def _json_object(stored: Stored, name: str) -> str | None:
    """A client's object as text, None where it cannot be one: frames carry it verbatim."""
    text = stored.optional_text(name)
    if text is None:
        return None
    try:
        is_object = isinstance(msgspec.json.decode(text), dict)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        is_object = False
    stored.is_damaged |= not is_object
    return text if is_object else None
