"""A connection as the other instances find it: its record in the registry, and the channel of its user."""

from holdfast.node.cluster.lease import Lease
from holdfast.node.connections.connection import Connection
from holdfast.ports import Bus


class Registration:
    """Lives in the loop."""

    def __init__(self, lease: Lease, bus: Bus, connections_per_user: int) -> None:
        """`connections_per_user`: the most that a user may have, at all instances."""
        self._lease = lease
        self._bus = bus
        self._connections_per_user = connections_per_user

    async def enter(self, connection: Connection) -> bool:
        """Register the connection and hear its user's channel; whether the user has no more connections than allowed."""
        registering = self._lease.register(connection)
        await self._bus.subscribe([f"user:{connection.user_id}"])
        return await registering <= self._connections_per_user

    def leave(self, connection: Connection, *, is_last: bool) -> None:
        """The connection has ended. `is_last`: the user has no other one at this instance."""
        if is_last:
            self._bus.unsubscribe([f"user:{connection.user_id}"])
        self._lease.unregister(connection)
