"""One socket of the client: opened, kept alive, read until its end."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from holdfast.client import backoff
from holdfast.client.greeting import Greeting
from holdfast.client.problems import foreign_answer, problem_in, retry_after_seconds
from holdfast.client.tls import authorities
from holdfast.errors import HoldfastError
from holdfast.protocol import frames

_OPEN_SECONDS: Final = 10.0
_WELCOME_SECONDS: Final = 10.0
_CLOSE_SECONDS: Final = 2.0
_PONG_SECONDS: Final = 10.0
_MAX_FRAME_BYTES: Final = 8 * 1024 * 1024  # `synced` of 1,000 conversations takes half a megabyte

_decoder: "msgspec.json.Decoder[frames.AnyServerFrame]" = msgspec.json.Decoder(frames.AnyServerFrame)


class Refused(HoldfastError):
    """A connection was not accepted.

    Attributes:
        status: of HTTP; 0 when there was no answer.
        code: the problem's, or `unreachable`.
        retry_after_seconds: the pause that the server asks for, 0 where it names none.
        is_final: asking again would be answered in the same way.
    """

    def __init__(self, status: int, code: str, detail: str, *, is_final: bool = False, retry_after_seconds: float = 0.0) -> None:
        super().__init__(f"{code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.is_final = is_final
        self.retry_after_seconds = retry_after_seconds


class Connection:
    """An accepted socket. It belongs to its opener, and ends with `close`, `abort` or by itself.

    Attributes:
        welcome: how the instance greeted.
        code: 0 while it is open, then why it ended.
        reason: the last error that the server named without a command of ours: it comes before it closes.
        synced: replay is over.
        taken_over: sends go, or have gone, by this connection.
        ended: set with `code`.
        greeting: our `hello` on it; None before it was said.
        is_draining: the server has said so.
        is_refreshing: a new token is being fetched for it.
    """

    def __init__(self, socket: ClientConnection, welcome: frames.Welcome) -> None:
        self.welcome = welcome
        self.code = 0
        self.reason: frames.ErrorFrame | None = None
        self.synced = asyncio.Event()
        self.taken_over = asyncio.Event()
        self.ended = asyncio.Event()
        self.greeting: Greeting | None = None
        self.is_draining = False
        self.is_refreshing = False
        self._socket = socket
        self._heard_at = 0.0

    @classmethod
    async def open(cls, url: str, token: str) -> "Connection":
        """Connect and wait for `welcome`.

        Raises:
            Refused: we are not accepted there now, or ever (`is_final`: the service itself says so).
        """
        try:
            socket = await _Connect(
                url,
                additional_headers={"Authorization": f"Bearer {token}"},
                subprotocols=[Subprotocol(frames.PROTOCOL)],
                compression=None,
                max_size=_MAX_FRAME_BYTES,
                open_timeout=_OPEN_SECONDS,
                close_timeout=_CLOSE_SECONDS,
                ping_interval=None,
                proxy=None,
                ssl=authorities() if url.startswith("wss:") else None,
            )
        except InvalidStatus as error:
            raise _refusal(error) from None
        except (OSError, TimeoutError, WebSocketException, EOFError, ValueError) as error:
            raise Refused(0, "unreachable", f"{url}: {_in_short(error)}") from None
        try:
            return cls(socket, await _greeting(socket, url))
        except BaseException:
            socket.transport.abort()
            raise

    async def send(self, frame: frames.ClientFrame) -> None:
        """Write one frame; nothing happens when the socket has ended: its reader notices."""
        await self.write(msgspec.json.encode(frame).decode())

    async def write(self, text: str) -> None:
        """Write one frame that is encoded already."""
        try:
            await self._socket.send(text)
        except ConnectionClosed:
            return

    async def read(self, on_frame: Callable[[frames.AnyServerFrame], None]) -> None:
        """Hand every frame over until the end; unknown ones are passed over. Sets `code`."""
        loop = asyncio.get_running_loop()
        self._heard_at = loop.time()
        watch = loop.create_task(self._watch())
        try:
            async for text in self._socket:
                self._heard_at = loop.time()
                if (frame := decode(text)) is not None:
                    on_frame(frame)
        except ConnectionClosed:
            pass
        finally:
            watch.cancel()
            self._socket.transport.abort()
            self.code = self._close_code()
            self.ended.set()

    async def close(self, code: int = 1000) -> None:
        """End it politely, within 2 s; at once where this is cancelled."""
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):  # the library's own bound begins when the close frame is written
                await self._socket.close(code)
        except TimeoutError:
            pass
        finally:
            self.abort()

    def abort(self) -> None:
        """End it now, without a word."""
        self._socket.transport.abort()

    def _close_code(self) -> int:
        """Why it ended. A code that blames the other side blames us only where it is not ours that is echoed."""
        code = self._socket.close_code or 1006
        is_echo = self._socket.protocol.close_rcvd_then_sent is False
        return 1006 if is_echo and backoff.is_our_mistake(code) else code

    async def _watch(self) -> None:
        """After `keepalive_ms` of silence ask; 10 s later let go."""
        loop = asyncio.get_running_loop()
        keepalive = max(1.0, self.welcome.keepalive_ms / 1000)
        while True:
            await asyncio.sleep(max(0.0, self._heard_at + keepalive - loop.time()))
            asked_at = loop.time()
            if asked_at - self._heard_at < keepalive:
                continue
            with contextlib.suppress(TimeoutError):  # a peer that stopped reading does not take the ping either
                async with asyncio.timeout(_PONG_SECONDS):
                    await self.send(frames.Ping())
            await asyncio.sleep(max(0.0, asked_at + _PONG_SECONDS - loop.time()))
            if self._heard_at < asked_at:
                self.abort()
                return


def decode(text: str | bytes) -> frames.AnyServerFrame | None:
    """A frame; None for one of a type or shape that this version does not know."""
    try:
        return _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


class _Connect(connect):
    """Follows no redirect: the token is for the address that the application named, and REST is asked there, too."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Whatever a server answers, it is the answer."""
        return exc


async def _greeting(socket: ClientConnection, url: str) -> frames.Welcome:
    try:
        async with asyncio.timeout(_WELCOME_SECONDS):
            first = decode(await socket.recv())
    except (TimeoutError, ConnectionClosed) as error:
        raise Refused(0, "unreachable", f"{url}: no welcome ({type(error).__name__})") from None
    if not isinstance(first, frames.Welcome):
        raise Refused(0, "unreachable", f"{url}: does not begin with a welcome")
    return first


def _in_short(error: BaseException) -> str:
    """What went wrong, without a word that the other side said: a foreign server may repeat our headers."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__


def _refusal(error: InvalidStatus) -> Refused:
    response = error.response
    retry_after = retry_after_seconds(response.headers.get("Retry-After", ""))
    problem = problem_in(bytes(response.body or b""))
    if problem is not None:
        is_final = not problem.retryable
        return Refused(response.status_code, problem.code, problem.detail, is_final=is_final, retry_after_seconds=retry_after)
    return Refused(response.status_code, *foreign_answer(response.status_code), retry_after_seconds=retry_after)
