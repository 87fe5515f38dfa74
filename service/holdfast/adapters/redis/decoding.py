"""Values read back from Redis, where any program with access may have written: each is valid, or `Undecodable`.

Pure. Nothing else is raised here, whatever the bytes are.
"""

import json
import re
from typing import Final

from holdfast.domain.ids import ConnectionId, Epoch, InstanceId, Seq, UserId
from holdfast.domain.registry import ConnectionRecord, InstanceLease
from holdfast.errors import Undecodable

MAX_TEXT_BYTES: Final = 1_024
"""More than any name, mark or small record of ours has: three ids of 128 bytes and some numbers."""

_MAX_NUMBER_DIGITS: Final = 18  # Redis and SQLite hold as many in 64 bits
_MAX_SEQ: Final = 999_999_999_999  # as `protocol.frames.SeqNumber`: 12 digits
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,200}", re.ASCII)  # `INSTANCE_ID`, perhaps with `.epoch` behind it
_EPOCH: Final = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)


def text(raw: object) -> str:
    """UTF-8 of at most 1,024 bytes."""
    if not isinstance(raw, bytes) or len(raw) > MAX_TEXT_BYTES:
        raise Undecodable("no text, or a longer one than any of ours")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Undecodable("no UTF-8") from None


def number(raw: object) -> int:
    """A whole number from 0, in decimal digits."""
    if isinstance(raw, int) and 0 <= raw < 10**_MAX_NUMBER_DIGITS:
        return raw
    if not isinstance(raw, bytes) or not raw.isdigit() or len(raw) > _MAX_NUMBER_DIGITS:
        raise Undecodable("no number")
    return int(raw)


def seq(raw: object) -> Seq:
    """A position in a conversation, 0 for none."""
    found = number(raw)
    if found > _MAX_SEQ:
        raise Undecodable("no position")
    return found


def score(raw: object) -> Seq:
    """The score of a sorted set that holds positions."""
    try:
        found = float(raw) if isinstance(raw, bytes | float | int) else -1.0
    except (ValueError, OverflowError):
        found = -1.0
    if not (0 <= found <= _MAX_SEQ and found.is_integer()):
        raise Undecodable("no position")
    return int(found)


def instance_name(raw: object) -> InstanceId:
    """What an instance may be called."""
    found = text(raw)
    if _NAME.fullmatch(found) is None:
        raise Undecodable("no name of an instance")
    return InstanceId(found)


def epoch(raw: object) -> Epoch:
    """One start of an instance."""
    found = text(raw)
    if _EPOCH.fullmatch(found) is None:
        raise Undecodable("no epoch")
    return Epoch(found)


def connection(user_id: UserId, connection_id: object, record: object) -> ConnectionRecord:
    """One field of `connections:{user_id}`."""
    try:
        fields = json.loads(text(record))
    except (ValueError, RecursionError):
        raise Undecodable("no JSON") from None
    if not isinstance(fields, dict):
        raise Undecodable("no record of a connection")
    try:
        instance_id = str(fields.get("instance_id", "")).encode()
    except UnicodeEncodeError:
        raise Undecodable("surrogates") from None
    connected_at = fields.get("connected_at", "")
    return ConnectionRecord(
        user_id=user_id,
        connection_id=ConnectionId(text(connection_id)),
        instance_id=instance_name(instance_id),
        connected_at=connected_at if isinstance(connected_at, str) and _is_encodable(connected_at) else "",
    )


def lease(name: object, of_epoch: object, registered: object, state: object, connections: object, fate: object) -> InstanceLease:
    """One member of `instances`, with its lease and its termination record; if one of these two cannot be read, it counts as
    missing."""
    instance_id = instance_name(name)
    kind, ended = _fate(fate)
    return InstanceLease(
        instance_id=instance_id,
        epoch=_or_none(of_epoch),
        is_registered=registered == b"1",
        state=_word(state),
        connections=_count(connections),
        ended_epoch=ended if kind == "ended" else None,
        removed_epoch=ended if kind == "removed" else None,
    )


def _is_encodable(value: str) -> bool:
    """JSON may say half of a surrogate pair, which no text has."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _or_none(raw: object) -> Epoch | None:
    try:
        return epoch(raw)
    except Undecodable:
        return None


def _fate(raw: object) -> tuple[str, Epoch | None]:
    try:
        kind, _, of_epoch = text(raw).partition("|")
    except Undecodable:
        return "", None
    return kind, _or_none(of_epoch.encode())


def _word(raw: object) -> str:
    try:
        return text(raw)
    except Undecodable:
        return ""


def _count(raw: object) -> int:
    try:
        return number(raw)
    except Undecodable:
        return 0
