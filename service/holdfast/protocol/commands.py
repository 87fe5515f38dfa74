"""Client text to a command frame, or to an error that still carries what the client needs to match it."""

import msgspec
from msgspec import UNSET, UnsetType

from holdfast.errors import CommandError, InvalidRequest
from holdfast.protocol import frames
from holdfast.protocol.codes import CODES
from holdfast.protocol.jsontext import decode

_decoder: "msgspec.json.Decoder[frames.AnyClientFrame]" = msgspec.json.Decoder(frames.AnyClientFrame)


class _Echo(msgspec.Struct):
    """What an error repeats, read leniently from a frame that is refused."""

    type: object = None
    ref: object = None
    conversation_id: object = None
    client_message_id: object = None


_echo_decoder = msgspec.json.Decoder(_Echo)


def parse(text: bytes) -> frames.AnyClientFrame:
    """Decode one client frame.

    Raises:
        CommandError: `invalid_json`, `invalid_request` or `unknown_type`.
    """
    try:
        return decode(_decoder, text)
    except InvalidRequest as error:
        kind = _echo(text).type
        if isinstance(kind, str) and kind not in frames.CLIENT_TYPES:
            raise CommandError("unknown_type", "no such type of frame", field="type") from None
        if error.field is None and not isinstance(kind, str):
            raise InvalidRequest("every frame is an object with a type", field="type") from None
        raise


def refusal(error: CommandError, text: bytes) -> frames.ErrorFrame:
    """The error frame for a frame that could not even be parsed, with its `ref` where that was readable."""
    echo = _echo(text)
    return error_frame(
        error,
        ref=_short(echo.ref),
        conversation_id=_short(echo.conversation_id),
        client_message_id=_short(echo.client_message_id),
        is_send=echo.type == "send",
    )


def error_frame(
    error: CommandError,
    *,
    ref: str | UnsetType = UNSET,
    conversation_id: str | UnsetType = UNSET,
    client_message_id: str | UnsetType = UNSET,
    is_send: bool = False,
) -> frames.ErrorFrame:
    """`error` as a frame. A refused send always says what became of it."""
    outcome = error.outcome or ("refused" if is_send else None)
    return frames.ErrorFrame(
        code=error.code,
        detail=error.detail,
        retryable=CODES[error.code].is_retryable,
        ref=ref,
        conversation_id=conversation_id,
        client_message_id=client_message_id,
        outcome=UNSET if outcome is None else outcome,  # type: ignore[arg-type]  # CommandError keeps it as text
        retry_after_ms=UNSET if error.retry_after_ms is None else error.retry_after_ms,
        field=UNSET if error.field is None else error.field,
    )


def _echo(text: bytes) -> _Echo:
    try:
        return _echo_decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _Echo()


def _short(value: object) -> str | UnsetType:
    return value if isinstance(value, str) and len(value) <= 128 else UNSET
