"""Names of things, and the one rule for all that come from outside.

An id that enters a path, a key or a channel is checked here first: `document("x/conversations/secret")` would address
another collection, `*` another channel. Source of the alphabet: what Firestore paths, Redis keys and URLs share.
"""

import re
from typing import NewType

from holdfast.errors import InvalidRequest

UserId = NewType("UserId", str)
ConversationId = NewType("ConversationId", str)
ConnectionId = NewType("ConnectionId", str)
InstanceId = NewType("InstanceId", str)
Epoch = NewType("Epoch", str)
RunId = NewType("RunId", str)
"""`instance:epoch`. It never changes in the life of a run, also where the run goes on under another name."""
Seq = int
"""Position of a message in its conversation: 1, 2, 3 … without a gap."""

_ALLOWED = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_RESERVED = re.compile(r"__.*__", re.ASCII)  # Firestore reserves these document ids
_MESSAGE_ID_DIGITS = 12  # zero-padded, so that document order is numeric order: 10^12 messages per conversation
MAX_SEQ = 10**_MESSAGE_ID_DIGITS - 1


def run_id(instance_id: InstanceId, epoch: Epoch) -> RunId:
    """The id of a run: of its `INSTANCE_ID`, and of the epoch that its process made when the run began."""
    return RunId(f"{instance_id}:{epoch}")


def is_id(text: str) -> bool:
    """Whether `text` may name anything at all."""
    return _ALLOWED.fullmatch(text) is not None and _RESERVED.fullmatch(text) is None


def check_id(text: str, field: str) -> str:
    """Return `text`, or raise `InvalidRequest` that names `field`."""
    if not is_id(text):
        raise InvalidRequest("an id is 1 to 128 of A-Z a-z 0-9 _ - and not __…__", field=field)
    return text


def conversation_id(text: str, field: str = "conversation_id") -> ConversationId:
    """Check an id that came from outside."""
    return ConversationId(check_id(text, field))


def user_id(text: str, field: str = "user_id") -> UserId:
    """Check an id that came from outside."""
    return UserId(check_id(text, field))


def message_id(seq: Seq) -> str:
    """The public id of the message at `seq`, which is also its document id: 42 -> '000000000042'."""
    return f"{seq:0{_MESSAGE_ID_DIGITS}d}"


def seq_of(message_id_text: str, field: str = "message_id") -> Seq:
    """The position that a message id names; raises `InvalidRequest` when it names none."""
    text = message_id_text
    if len(text) != _MESSAGE_ID_DIGITS or not (text.isascii() and text.isdecimal()) or int(text) == 0:
        raise InvalidRequest(f"a message id is {_MESSAGE_ID_DIGITS} digits, from 1", field=field)
    return int(text)
