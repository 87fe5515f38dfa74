"""The local connections, and the one way a frame reaches many of them.

A frame is encoded once. Frames for one conversation within a tick of the loop are joined, and each connection gets one write for
them. `transport.write` never blocks, so nothing here is awaited and no connection waits for another. Why coalescing matters: a
write is a system call (about 5 us) when it stands alone, and a list append (0.2 us) when it does not.

What a client leaves unread waits in the buffer of its socket. `web/websocket.py` bounds that buffer and ends the connection.
"""

import asyncio
from collections.abc import Iterable

from holdfast.domain.ids import ConnectionId, UserId
from holdfast.node.connections.connection import Connection
from holdfast.node.connections.local import LocalConversation
from holdfast.protocol import frames
from holdfast.telemetry import Telemetry


class Hub:
    """Lives in the loop. Holds every accepted connection until its rim says that it ended."""

    def __init__(self, telemetry: Telemetry) -> None:
        self.connections: dict[ConnectionId, Connection] = {}
        self._by_user: dict[UserId, dict[Connection, None]] = {}  # in the order in which they came, as everything here
        self._unflushed: list[LocalConversation] = []
        self._telemetry = telemetry

    def add(self, connection: Connection) -> bool:
        """Take in a connection; True when it is its user's first here."""
        self.connections[connection.connection_id] = connection
        devices = self._by_user.setdefault(connection.user_id, {})
        devices[connection] = None
        return len(devices) == 1

    def remove(self, connection: Connection) -> bool:
        """Let a connection go; True when it was its user's last here."""
        if self.connections.pop(connection.connection_id, None) is None:
            return False
        devices = self._by_user[connection.user_id]
        devices.pop(connection, None)
        if devices:
            return False
        del self._by_user[connection.user_id]
        return True

    def connections_of(self, user_id: UserId) -> tuple[Connection, ...]:
        """A user's connections here."""
        return tuple(self._by_user.get(user_id, ()))

    def count_of(self, user_id: UserId) -> int:
        """How many connections a user has here."""
        return len(self._by_user.get(user_id, ()))

    def absent(self, user_ids: Iterable[UserId]) -> list[UserId]:
        """Those of these users who have no connection here."""
        present = self._by_user
        return [user_id for user_id in user_ids if user_id not in present]

    @property
    def users(self) -> Iterable[UserId]:
        """Everyone who is connected here."""
        return self._by_user.keys()

    def fan_out(self, local: LocalConversation, frame: bytes) -> int:
        """Give an encoded frame to every local connection of a conversation, at the end of this tick; how many that is."""
        if not local.pending:
            if not self._unflushed:
                asyncio.get_running_loop().call_soon(self.flush)
            self._unflushed.append(local)
        local.pending.append(frame)
        return len(local.connections)

    def flush(self) -> None:
        """Write the frames that this tick collected. Also before a connection joins or leaves a conversation: frames go to the
        connections of their time."""
        unflushed, self._unflushed = self._unflushed, []
        for local in unflushed:
            self._flush_one(local)

    def join(self, local: LocalConversation, connection: Connection) -> None:
        """From the next frame on, `connection` hears `local`."""
        self._flush_one(local)
        local.connections[connection] = None
        local.idle_since = None
        if connection.conversations is None:
            connection.conversations = {}
        connection.conversations[local.conversation_id] = local.shown

    def leave(self, local: LocalConversation, connection: Connection, now: float) -> None:
        """`connection` hears `local` no more."""
        self._flush_one(local)
        local.connections.pop(connection, None)
        if connection.conversations is not None:
            connection.conversations.pop(local.conversation_id, None)
        if not local.connections:
            local.idle_since = now

    def tell(self, local: LocalConversation, value: frames.ServerFrame, *, except_user: str | None = None) -> None:
        """Give an indicator (typing, receipt …) to local connections, those of `except_user` excluded."""
        frame = frames.frame(value)
        if except_user is None:
            self.fan_out(local, frame)
            return
        self._flush_one(local)
        for connection in local.connections:
            if connection.user_id != except_user:
                connection.deliver(frame)

    def tell_user(self, user_id: UserId, value: frames.ServerFrame) -> None:
        """Give a frame to all of a user's connections here."""
        frame = frames.frame(value)
        for connection in self._by_user.get(user_id, ()):
            connection.deliver(frame)

    def tell_all(self, value: frames.ServerFrame) -> None:
        """Give a frame to everybody here."""
        frame = frames.frame(value)
        for connection in self.connections.values():
            connection.deliver(frame)

    def _flush_one(self, local: LocalConversation) -> None:
        pending = local.pending
        if not pending:
            return
        data = pending[0] if len(pending) == 1 else b"".join(pending)
        local.pending = []
        for connection in local.connections:
            connection.deliver(data)
