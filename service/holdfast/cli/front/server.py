"""The front's listening socket: read one head, then answer it here or hand the connection to an instance.

Invariants: nothing is read before it is bounded (16 KB, 3 s); every connection is counted at its instance exactly while it
lasts; `close` ends all of them. On failure: an instance that refuses is passed over. When none answers, the client gets 503 with
`Retry-After`, because trying again helps.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from holdfast.cli.front import answers, fleet, forms, page, pipe
from holdfast.cli.front.backends import Backend, Backends, Health
from holdfast.cli.front.head import MAX_BYTES, Head, HeadRefused, parse
from holdfast.cli.token import mint
from holdfast.errors import InvalidRequest

_HEAD_SECONDS = 3.0  # as at the instances
_CONNECT_SECONDS = 1.0  # on one machine a connection is made at once or never
_ANY_INSTANCE_SECONDS = 5.0  # all attempts together
_TOKEN_TTL_SECONDS = 3_600
_BACKLOG = 1_024  # as many clients as reconnect at once when an instance dies


class Front:
    """One listening front. Owned by one event loop; the caller of `start` also calls `close`."""

    def __init__(self, backends: Backends, secret: str, assets: Mapping[str, page.Asset], parts: fleet.Fleet) -> None:
        """`parts`: what `/fleet` shows, breaks and mends."""
        self._backends = backends
        self._secret = secret
        self._assets = assets
        self._fleet = parts
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._poll: asyncio.Task[None] | None = None
        self.port = 0

    async def start(self, port: int) -> None:
        """Listen on the loopback addresses only, because every caller can get a token.

        Raises:
            OSError: the port is taken.
        """
        first = await asyncio.start_server(self._accept, "127.0.0.1", port, limit=MAX_BYTES, backlog=_BACKLOG)
        self._servers.append(first)
        self.port = first.sockets[0].getsockname()[1]
        with contextlib.suppress(OSError):  # `localhost` may mean ::1 first; a machine without IPv6 does not need it
            second = await asyncio.start_server(self._accept, "::1", self.port, limit=MAX_BYTES, backlog=_BACKLOG)
            self._servers.append(second)
        self._poll = asyncio.create_task(self._backends.poll())

    async def close(self) -> None:
        """Stop listening and end every connection."""
        for server in self._servers:
            server.close()
        tasks = [*self._connections, *([self._poll] if self._poll else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            reply = await self._respond(reader, writer)
            if reply:
                writer.write(reply)
                async with asyncio.timeout(_HEAD_SECONDS):
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
        except (OSError, EOFError, TimeoutError):
            pass  # the client left or will not read: it gets no answer
        finally:
            writer.transport.abort()

    async def _respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
        """The front's own answer, or None after an instance has dealt with the connection."""
        try:
            head = await _read_head(reader)
            if head.path == "/demo/token":
                return await self._demo_token(head, reader)
            if head.path in fleet.PATHS:
                return await fleet.answer(self._fleet, head, reader)
            if head.method in ("GET", "HEAD") and page.is_of_a_page(head.path):
                if head.path == "/" and not self._backends.has_ready:
                    return page.unreachable(head)
                asset = self._assets.get(head.path)
                return asset.answer_to(head) if asset else answers.problem(404, "there is no such file")
        except HeadRefused as refused:
            return answers.problem(refused.status, refused.detail)
        return await self._pass_on(head, (reader, writer))

    async def _pass_on(self, head: Head, client: pipe.Stream) -> bytes | None:
        found = await self._connect()
        if found is None:
            return answers.problem(503, "no instance answers", retry_after_seconds=1)
        backend, instance = found
        self._backends.take(backend)
        try:
            instance[1].write(head.for_instance())
            await pipe.join(client, instance)
        finally:
            instance[1].close()
            self._backends.release(backend)
        return None

    async def _connect(self) -> tuple[Backend, pipe.Stream] | None:
        """A connection to the first instance that accepts one."""
        deadline = time.monotonic() + _ANY_INSTANCE_SECONDS
        for backend in self._backends.candidates():
            if (left := deadline - time.monotonic()) <= 0:
                break
            try:
                async with asyncio.timeout(min(_CONNECT_SECONDS, left)):
                    return backend, await asyncio.open_connection(backend.host, backend.port)
            except (OSError, TimeoutError):
                backend.health = Health.AWAY  # sooner than the next poll
        return None

    async def _demo_token(self, head: Head, reader: asyncio.StreamReader) -> bytes:
        """A token for every caller: only here, only on the loopback, and never for a page of another site."""
        (user_id,) = await forms.fields(head, reader, "user_id")
        try:
            token, expires_at = mint(self._secret, user_id, ttl_seconds=_TOKEN_TTL_SECONDS)
        except InvalidRequest as error:
            return answers.problem(400, f"user_id: {error.detail}")
        expiry = datetime.fromtimestamp(expires_at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return answers.json_answer(200, {"token": token, "expires_at": expiry})


async def _read_head(reader: asyncio.StreamReader) -> Head:
    try:
        async with asyncio.timeout(_HEAD_SECONDS):
            return parse(await reader.readuntil(b"\r\n\r\n"))
    except asyncio.LimitOverrunError:
        raise HeadRefused(431, f"a request head has at most {MAX_BYTES} bytes") from None
    except TimeoutError:
        raise HeadRefused(408, f"the request head took more than {_HEAD_SECONDS:g} s") from None
