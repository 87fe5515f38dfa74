"""The life cycle of a connection: handshake, `hello`, live delivery, end.

At the handshake the connection is registered and subscribed, and its user is made present in the store. `resuming` answers
`hello`.

`rosters` has the user's conversations with their heads and read cursors, mostly without the store. It is read once the user is
subscribed, again when the conversations are, and before `synced`; each later change is received.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from holdfast.domain.ids import Seq
from holdfast.node.connections.connection import Connection
from holdfast.node.conversations.local_side import LocalSide
from holdfast.node.conversations.replay import insist
from holdfast.node.foundation import Process
from holdfast.node.sessions.registration import Registration
from holdfast.node.sessions.resuming import Hello, Resuming
from holdfast.node.users.parts import UserParts
from holdfast.node.users.rosters import Roster
from holdfast.protocol.codes import CloseCode


class Connecting:
    """Lives in the loop."""

    def __init__(
        self, registration: Registration, resuming: Resuming, local: LocalSide, users: UserParts, process: Process
    ) -> None:
        self._registration = registration
        self._resuming = resuming
        self._hub = local.hub
        self._delivery = local.delivery
        self._presence = users.presence
        self._rosters = users.rosters
        self._clock = process.clock
        self._tasks = process.tasks
        self._opening: dict[Connection, asyncio.Task[None]] = {}
        self._found: dict[Connection, Roster] = {}

    def open(self, connection: Connection) -> None:
        """Take in an accepted connection; the rest happens in the background."""
        self._hub.add(connection)
        self._presence.expect(connection.user_id)
        task = self._tasks.start(self._or_close(connection, partial(self._open, connection)))
        self._opening[connection] = task

    def resume(self, connection: Connection, cursors: Mapping[str, Seq] | None, generation: str = "") -> None:
        """Answer its `hello`. `generation`: of the store that the cursors are of; "" where the client does not say."""
        hello = Hello(connection, cursors, generation)
        self._tasks.start(self._or_close(connection, partial(self._answer, hello)))

    def close(self, connection: Connection, heard_at: float) -> None:
        """Let an ended connection go; its user goes offline after the grace, if nothing else is connected.

        `heard_at`: until then its client was shown what was written to it (monotonic seconds).
        """
        connection.end()
        self._opening.pop(connection, None)
        self._found.pop(connection, None)
        now = self._clock.monotonic()
        for conversation_id in tuple(connection.conversations or ()):
            if (local := self._delivery.locals.get(conversation_id)) is not None:
                self._hub.leave(local, connection, now)
        if connection.has_been_live:
            self._presence.heard(connection.user_id, heard_at)
        is_last = self._hub.remove(connection)
        if is_last:
            self._presence.left(connection.user_id)
        self._registration.leave(connection, is_last=is_last)

    async def _or_close(self, connection: Connection, work: Callable[[], Awaitable[None]]) -> None:
        """A mistake on the way ends the connection: its client would wait for ever for what does not come."""
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the client must be told
            self._tasks.note_failure("connecting", error)
            connection.transport.close(CloseCode.INTERNAL_ERROR, "internal_error")

    async def _open(self, connection: Connection) -> None:
        if connection.is_ended:
            return
        if not await self._registration.enter(connection):
            connection.transport.close(CloseCode.CONNECTION_LIMIT, "connection_limit")
            return
        roster = await insist(connection, partial(self._rosters.of, connection.user_id))
        if roster is None or self._is_gone(connection):
            self._presence.missed(connection.user_id, connection.opened_at)
            return
        self._found[connection] = roster
        self._presence.note_conversations(connection.user_id, roster.memberships)
        await self._presence.arrived(connection.user_id, connection.opened_at)

    @staticmethod
    def _is_gone(connection: Connection) -> bool:
        return connection.is_ended

    async def _answer(self, hello: Hello) -> None:
        began = self._clock.monotonic()
        if (opening := self._opening.pop(hello.connection, None)) is not None:
            await asyncio.shield(opening)
        await self._resuming.answer(hello, self._found.pop(hello.connection, Roster([])), began)
