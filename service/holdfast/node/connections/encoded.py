"""A message on its way to sockets: encoded once for all recipients, header included."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import UNSET, Raw, UnsetType

from holdfast.domain.ids import ConversationId, InstanceId, Seq, message_id
from holdfast.domain.messages import Message
from holdfast.protocol import envelopes, frames
from holdfast.protocol.jsontext import rfc3339
from holdfast.telemetry import Arrived

_ENVELOPE_BYTES: Final = 512 * 1024  # half of what the bus carries at most, because the last message comes on top


@dataclass(frozen=True, slots=True)
class Encoded:
    """One message, encoded.

    Attributes:
        text: the `message` frame as JSON, as it also goes into envelopes and `recent`.
        path: how it came here, one of `telemetry.PATHS`.
        accepted_at: our monotonic seconds of its acceptance at the instance that committed it; None where that is not known.
        trace: of a sampled message.
    """

    seq: Seq
    text: bytes
    path: str
    accepted_at: float | None
    trace: Arrived | None = None


def message_frame(message: Message) -> frames.MessageFrame:
    """A stored message as clients see it."""
    return frames.MessageFrame(
        conversation_id=message.conversation_id,
        seq=message.seq,
        message_id=message_id(message.seq),
        sender=message.sender,
        body=message.body,
        client_message_id=message.client_message_id,
        sent_at=rfc3339(message.sent_at_ms),
        metadata=UNSET if message.metadata_json is None else Raw(message.metadata_json.encode()),
    )


def encoded(message: Message, path: str, accepted_at: float | None) -> Encoded:
    """Encode a stored message, once."""
    return Encoded(message.seq, frames.encode(message_frame(message)), path, accepted_at)


def decoded(
    conversation_id: str, texts: Iterable[bytes | Raw], path: str, acceptances: Iterable[float | None]
) -> Iterable[Encoded]:
    """Encoded messages that came from Redis, each checked; foreign ones are left out. `acceptances`: one for each."""
    for text, accepted_at in zip(texts, acceptances, strict=True):
        frame = envelopes.decode_message(text)
        if frame is not None and frame.conversation_id == conversation_id:
            yield Encoded(frame.seq, bytes(text), path, accepted_at)


def enveloped(
    conversation_id: ConversationId,
    run: Sequence[Encoded],
    accepted_ms: list[int],
    age_ms: int,
    generation: str,
    instance_id: InstanceId,
    traceparents: dict[int, str] | UnsetType = UNSET,
) -> tuple[bytes, list[bytes]]:
    """A run as an envelope, and each of its messages as `recent` keeps it. Arguments as in `MessagesEnvelope`."""
    envelope = envelopes.MessagesEnvelope(
        v=envelopes.VERSION,
        kind="messages",
        c=conversation_id,
        seq=run[-1].seq,
        generation=generation,
        instance=instance_id,
        age_ms=age_ms,
        messages=[Raw(item.text) for item in run],
        accepted_ms=accepted_ms,
        traceparents=traceparents,
    )
    kept = [envelopes.kept(item.text, at_ms) for item, at_ms in zip(run, accepted_ms, strict=True)]
    return envelopes.encode(envelope), kept


def runs(items: list[Encoded]) -> list[list[Encoded]]:
    """Groups for one envelope each: without a gap (messages found by a settlement may lie apart), and not too large."""
    found: list[list[Encoded]] = []
    size = 0
    for item in items:
        if found and found[-1][-1].seq + 1 == item.seq and size < _ENVELOPE_BYTES:
            found[-1].append(item)
        else:
            found.append([item])
            size = 0
        size += len(item.text)
    return found
