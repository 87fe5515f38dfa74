"""Commands that are asked once and not repeated: read and typing. What the connection does not answer has failed."""

import asyncio
import uuid
from typing import Final

from msgspec import UNSET, UnsetType

from holdfast.client.checks import check_flag, check_id, check_message_id
from holdfast.client.connection import Connection
from holdfast.client.errors import SendFailed
from holdfast.protocol import frames

_ANSWER_SECONDS: Final = 10.0


class Commands:
    """Of one client. Lives in the loop."""

    def __init__(self) -> None:
        """Nothing is asked."""
        self._answers: dict[str, tuple[Connection, asyncio.Future[frames.Ok]]] = {}

    async def read(self, connection: Connection | None, conversation_id: str, message_id: str) -> frames.Ok:
        """See `Client.read`.

        Raises:
            SendFailed: it cannot succeed, was refused, or the connection ended first.
        """
        check_id(conversation_id, "conversation_id")
        check_message_id(message_id)
        if connection is None:
            raise SendFailed("unreachable", "there is no connection now")
        ref = uuid.uuid4().hex
        answer: asyncio.Future[frames.Ok] = asyncio.get_running_loop().create_future()
        self._answers[ref] = (connection, answer)
        try:
            await connection.send(frames.Read(ref=ref, conversation_id=conversation_id, message_id=message_id))
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await answer
        except TimeoutError:
            raise SendFailed("unreachable", "no answer", outcome="unknown") from None
        finally:
            del self._answers[ref]

    async def typing(self, connection: Connection | None, conversation_id: str, *, active: bool) -> None:
        """See `Client.typing`.

        Raises:
            SendFailed: it cannot succeed.
        """
        check_id(conversation_id, "conversation_id")
        check_flag(active, "active")
        if connection is not None:
            await connection.send(frames.Typing(conversation_id=conversation_id, active=active))

    def answered(self, frame: frames.Ok) -> None:
        """The server did it."""
        if (answer := self._answer(frame.ref)) is not None:
            answer.set_result(frame)

    def failed(self, frame: frames.ErrorFrame) -> bool:
        """Whether the error is about one of ours, which has failed then."""
        if (answer := self._answer(frame.ref)) is None:
            return False
        outcome = "refused" if frame.outcome is UNSET else frame.outcome
        answer.set_exception(SendFailed(frame.code, frame.detail, outcome=outcome, retryable=frame.retryable))
        return True

    def lost(self, connection: Connection) -> None:
        """The connection ended: what was asked there gets no answer."""
        for asked, answer in self._answers.values():
            if asked is connection and not answer.done():
                answer.set_exception(SendFailed("unreachable", "the connection ended", outcome="unknown"))

    def _answer(self, ref: str | UnsetType) -> "asyncio.Future[frames.Ok] | None":
        """Of a command that still waits for it."""
        _, answer = self._answers.get(ref, (None, None)) if ref is not UNSET else (None, None)
        return None if answer is None or answer.done() else answer
