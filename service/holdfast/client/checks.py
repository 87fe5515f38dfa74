"""Finds sends that no instance would accept, before they are queued: such a send must not hold up the others.

Pure. The rules are those of docs/protocol.md; sizes come from the `welcome` of the instance that a frame is about to go to.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from msgspec import UNSET, Raw, UnsetType
from msgspec import json as msgspec_json

from holdfast.client.errors import SendFailed
from holdfast.protocol.frames import CLIENT_CHARACTERS, GENERATION_CHARACTERS, ID_PATTERN, MAX_SEQ, METADATA_LEVELS, Limits, Send

_ID: Final = re.compile(ID_PATTERN.removeprefix("^").removesuffix("$"), re.ASCII)
_RESERVED: Final = re.compile(r"__.*__", re.ASCII)
_TITLE_CHARACTERS: Final = 200
_MESSAGE_ID: Final = re.compile(r"[0-9]{12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Draft:
    """A send that is well-formed. `text`: the frame as it is written; sizes in bytes of UTF-8."""

    frame: Send
    text: str
    frame_bytes: int
    body_bytes: int
    metadata_bytes: int

    @classmethod
    def of(
        cls,
        ref: str,
        conversation_id: str,
        client_message_id: str,
        body: str,
        metadata: Mapping[str, Any] | None,
        *,
        read_seq: int = 0,
    ) -> "Draft":
        """Check and encode. `read_seq`: the last message of the conversation that the application had taken.

        Raises:
            SendFailed: `invalid_request`: no instance would accept it, whatever its limits.
        """
        check_id(conversation_id, "conversation_id")
        check_id(client_message_id, "client_message_id")
        body_bytes = len(_utf8(body, "body"))
        if not body_bytes:
            raise _invalid("body", "at least one character is needed")
        raw: Raw | UnsetType = UNSET if metadata is None else Raw(checked_metadata(metadata))
        frame = Send(
            ref=ref,
            conversation_id=conversation_id,
            client_message_id=client_message_id,
            body=body,
            metadata=raw,
            read_seq=read_seq,
        )
        encoded = msgspec_json.encode(frame)
        metadata_bytes = 0 if raw is UNSET else len(bytes(raw))
        return cls(frame, encoded.decode(), len(encoded), body_bytes, metadata_bytes)

    def excess(self, limits: Limits) -> tuple[str, str] | None:
        """Code and detail of what an instance with these limits would answer; None when it fits."""
        if self.body_bytes > limits.body_bytes:
            return "body_too_large", f"body: at most {limits.body_bytes} bytes of UTF-8"
        if self.metadata_bytes > limits.metadata_bytes:
            return "invalid_request", f"metadata: at most {limits.metadata_bytes} bytes"
        if self.frame_bytes > limits.frame_bytes:
            return "frame_too_large", f"at most {limits.frame_bytes} bytes in one frame"
        return None


def check_id(text: object, field: str) -> None:
    """Whether it may name a conversation or a message.

    Raises:
        SendFailed: it may not.
    """
    if not is_id(text):
        raise _invalid(field, "an id is 1 to 128 of A-Z a-z 0-9 _ - and not __...__")


def check_message_id(text: object) -> None:
    """Whether it may be the id of a stored message.

    Raises:
        SendFailed: it may not.
    """
    if not isinstance(text, str) or _MESSAGE_ID.fullmatch(text) is None or not int(text):
        raise _invalid("message_id", "a message id is 12 digits, from 1")


def check_flag(value: object, field: str) -> None:
    """Whether it is true or false.

    Raises:
        SendFailed: it is neither.
    """
    if not isinstance(value, bool):
        raise _invalid(field, f"true or false expected, not {type(value).__name__}")


def check_number(value: object, field: str, least: int, most: int) -> int:
    """The whole number, if it is one between these.

    Raises:
        SendFailed: it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise _invalid(field, f"a whole number from {least} to {most} expected")
    return value


def checked_title(title: object) -> str | None:
    """The title of a conversation, or None.

    Raises:
        SendFailed: no instance would accept it.
    """
    if title is None:
        return None
    if not isinstance(title, str) or len(title) > _TITLE_CHARACTERS:
        raise _invalid("title", f"text of at most {_TITLE_CHARACTERS} characters expected")
    _utf8(title, "title")
    return title


def is_id(text: object) -> bool:
    """The rule for ids that come from outside."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None and _RESERVED.fullmatch(text) is None


def checked_cursors(cursors: object) -> dict[str, int] | None:
    """A copy of what the application kept.

    Raises:
        TypeError: neither a mapping nor None.
        ValueError: an entry that every instance would refuse.
    """
    if cursors is None:
        return None
    if not isinstance(cursors, Mapping):
        raise TypeError(f"cursors: a mapping or None expected, not {type(cursors).__name__}")
    for conversation_id, seq in cursors.items():
        if not is_id(conversation_id):
            raise ValueError(f"cursors: {_cut(conversation_id)} is no conversation id")
        if not isinstance(seq, int) or isinstance(seq, bool) or not 0 <= seq <= MAX_SEQ:
            raise ValueError(f"cursors: {conversation_id}: a seq from 0 to {MAX_SEQ} expected, not {_cut(seq)}")
    return dict(cursors)


def checked_name(name: object) -> str:
    """The name for the server's log.

    Raises:
        TypeError: not text.
        ValueError: text that every instance would refuse.
    """
    return _checked_text(name, "name", CLIENT_CHARACTERS)


def checked_generation(generation: object) -> str:
    """The generation that goes with an application's cursors.

    Raises:
        TypeError: not text.
        ValueError: text that every instance would refuse.
    """
    return _checked_text(generation, "generation", GENERATION_CHARACTERS)


def _checked_text(text: object, name: str, most: int) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{name}: text expected, not {type(text).__name__}")
    if len(text) > most:
        raise ValueError(f"{name}: at most {most} characters, not {len(text)}")
    if not _is_encodable(text):
        raise ValueError(f"{name}: half a surrogate pair cannot be encoded")
    return text


def checked_metadata(metadata: object) -> bytes:
    """The object as JSON.

    Raises:
        SendFailed: it is no object, nested too deeply, or holds something that JSON does not know.
    """
    if not isinstance(metadata, Mapping):
        raise _invalid("metadata", f"an object expected, not {type(metadata).__name__}")
    plain = _json(metadata, METADATA_LEVELS)
    return json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _json(value: object, levels: int) -> object:
    """The value as JSON knows it. What JSON does not know is refused: it would arrive as something else."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        _utf8(value, "metadata")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _invalid("metadata", f"{value} is not a number that JSON knows")
        return value
    if not isinstance(value, Mapping | list | tuple):
        raise _invalid("metadata", f"JSON knows no {type(value).__name__}")
    if not levels:
        raise _invalid("metadata", f"nested deeper than {METADATA_LEVELS}")
    if isinstance(value, Mapping):
        return {_name(name): _json(each, levels - 1) for name, each in value.items()}
    return [_json(each, levels - 1) for each in value]


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise _invalid("metadata", f"names are text, not {type(name).__name__}")
    _utf8(name, "metadata")
    return name


def _utf8(text: object, field: str) -> bytes:
    if not isinstance(text, str):
        raise _invalid(field, f"text expected, not {type(text).__name__}")
    if not _is_encodable(text):
        raise _invalid(field, "half a surrogate pair cannot be encoded")
    return text.encode()


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _cut(value: object) -> str:
    return ascii(value)[:80]


def _invalid(field: str, detail: str) -> SendFailed:
    return SendFailed("invalid_request", f"{field}: {detail}", retryable=False)
