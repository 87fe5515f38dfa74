"""All connections of an instance lead to one Redis server.

While two primaries exist after a failover, existing connections stay at the old one and new connections lead to the new one. An
instance with its commands at one and its subscriptions at the other looks as if it used the new primary, and misses what is
published there. So each new connection asks for the server's run id. If that is another one than before, all older connections
are ended, and made again where they are needed. Where an ACL forbids `INFO`, no connection is ended.
"""

import asyncio
import logging
import re
from typing import Final

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from holdfast.adapters.redis.wire import Wire

_TOLD_SECONDS: Final = 60.0
_RUN_ID: Final = re.compile(rb"run_id:(\w+)")

_log = logging.getLogger("holdfast.redis")


class OneServer:
    """Used from one event loop. Told of every new connection, in its handshake (`met`), and of each dedicated one (`opened`)."""

    def __init__(self) -> None:
        self._run_id = b""
        self._wires: dict[str, Wire] = {}
        self._told_at = float("-inf")

    def opened(self, purpose: str, wire: Wire) -> None:
        """The connection that serves a purpose from now on; the one before it has ended."""
        self._wires[purpose] = wire

    async def met(self, connection: AbstractConnection, pool: BlockingConnectionPool) -> None:
        """Ask a new connection for its server, and end the older connections if they are with another one.

        Raises:
            RedisError, OSError: the connection failed.
        """
        await connection.send_command("INFO", "server")
        try:
            about = await connection.read_response(disable_decoding=True)
        except ResponseError:
            return
        found = _RUN_ID.search(about) if isinstance(about, bytes) else None
        if found is None or found[1] == self._run_id:
            return
        before, self._run_id = self._run_id, found[1]
        if before:
            try:
                await self._end_older(pool)
            except BaseException:
                self._run_id = before  # some are left: the next new connection ends them
                raise

    async def _end_older(self, pool: BlockingConnectionPool) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._told_at >= _TOLD_SECONDS:  # a name may lead to two servers for long
            self._told_at = now
            _log.warning("redis: a new connection leads to another server than before: older connections are ended")
        for wire in self._wires.values():
            wire.abort()
        # Those in use are ended when they are given back.
        await pool.update_active_connections_for_reconnect()  # type: ignore[no-untyped-call]  # redis-py left it so
        await pool.disconnect(inuse_connections=False)
