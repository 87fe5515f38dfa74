"""gRPC's channel as the Firestore library sees it, without gRPC's I/O: each call becomes an `Exchange` with the simulated server.

As the real one does: a request leaves when the call is made; the deadline is the client's own; a call that is cancelled, or whose
channel is closed, is over here, whatever becomes of it over there.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any, Final, NoReturn, Self

import grpc  # type: ignore[import-untyped]  # ships no types
from grpc.aio import AioRpcError, Metadata, UsageError  # type: ignore[import-untyped]  # ships no types

from simulation.firestore.exchange import Exchange
from simulation.firestore.refusals import Refused, Status
from simulation.firestore.server import FirestoreServer

_TOO_LATE: Final = Refused(Status.DEADLINE_EXCEEDED, "Deadline Exceeded")
_Serialize = Callable[[Any], bytes]
_Deserialize = Callable[[bytes], Any]


class Channel(grpc.aio.Channel):  # type: ignore[misc]  # ships no types
    """The way of one client, known to the server by `client`."""

    def __init__(self, server: FirestoreServer, client: str) -> None:
        self._unary_unary_interceptors: list[Any] = []  # the library adds its own, which only logs
        self._server = server
        self._client = client
        self._is_closed = False
        self._calls: dict[_Call, None] = {}

    def unary_unary(self, method: str, request_serializer: _Serialize, response_deserializer: _Deserialize) -> "_Unary":
        """See gRPC."""
        return _Unary(self, method, request_serializer, response_deserializer)

    def unary_stream(self, method: str, request_serializer: _Serialize, response_deserializer: _Deserialize) -> "_Stream":
        """See gRPC."""
        return _Stream(self, method, request_serializer, response_deserializer)

    def stream_unary(self, *_: Any, **__: Any) -> "_Unsupported":
        """Nothing of Firestore's is one."""
        return _Unsupported()

    def stream_stream(self, *_: Any, **__: Any) -> "_Unsupported":
        """Listening and writing by stream are not simulated."""
        return _Unsupported()

    def call(self, method: str, request: bytes, timeout_seconds: float | None) -> tuple[Exchange, asyncio.TimerHandle | None]:
        """A request leaves.

        Raises:
            UsageError: the channel is closed.
        """
        if self._is_closed:
            raise UsageError("Channel is closed.")
        loop = asyncio.get_running_loop()
        exchange = Exchange(self._client, method.rpartition("/")[2], request, loop.create_future())
        self._server.send(exchange)
        if timeout_seconds is None:
            return exchange, None
        # The library takes from it what real time has passed since the call began: that must not decide anything here.
        return exchange, loop.call_later(round(timeout_seconds, 1), exchange.finish, [], _TOO_LATE)

    def keep(self, call: "_Call") -> None:
        """Cancel it when the channel is closed before it is over."""
        self._calls[call] = None

    def drop(self, call: "_Call") -> None:
        """It is over."""
        self._calls.pop(call, None)

    async def close(self, grace: float | None = None) -> None:
        """Calls under way are cancelled."""
        self._is_closed = True
        for call in list(self._calls):
            call.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Not simulated: the library does not call it."""
        raise NotImplementedError

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """See `get_state`."""
        raise NotImplementedError

    async def channel_ready(self) -> None:
        """At once: connecting is part of a call's way."""


class _Call(grpc.aio.Call):  # type: ignore[misc]  # ships no types
    """One call; its outcome is known when the future is done."""

    def __init__(self, channel: Channel, method: str, request: bytes, timeout_seconds: float | None, read: _Deserialize) -> None:
        self._exchange, self._timer = channel.call(method, request, timeout_seconds)
        self._read_one = read
        self._channel = channel
        channel.keep(self)
        self._exchange.outcome.add_done_callback(self._over)

    def _over(self, _: object) -> None:
        self._channel.drop(self)
        if self._timer is not None:
            self._timer.cancel()

    def cancel(self) -> bool:
        """End it here."""
        return self._exchange.outcome.cancel()

    def cancelled(self) -> bool:
        """Whether it was ended here."""
        return self._exchange.outcome.cancelled()

    def done(self) -> bool:
        """Whether it is over."""
        return self._exchange.outcome.done()

    def time_remaining(self) -> float | None:
        """Until its deadline, in seconds."""
        return None if self._timer is None else max(0.0, self._timer.when() - asyncio.get_running_loop().time())

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Called with the call when it is over."""
        self._exchange.outcome.add_done_callback(lambda _: callback(self))

    async def wait_for_connection(self) -> None:
        """The request has left; what became of it is told by the answers."""

    async def initial_metadata(self) -> Metadata:
        """None."""
        return Metadata()

    async def trailing_metadata(self) -> Metadata:
        """None."""
        return Metadata()

    async def code(self) -> grpc.StatusCode:
        """How it ended."""
        _, refusal = await self._exchange.outcome
        return Status.OK if refusal is None else refusal.code

    async def details(self) -> str:
        """What the server said of it."""
        _, refusal = await self._exchange.outcome
        return "" if refusal is None else refusal.text


class _UnaryCall(_Call, grpc.aio.UnaryUnaryCall):  # type: ignore[misc]  # ships no types
    """A call with one answer."""

    def __await__(self) -> Generator[Any, None, Any]:
        answers, refusal = yield from self._exchange.outcome.__await__()
        if refusal is not None:
            _raise(refusal)
        return self._read_one(answers[0])


class _StreamCall(_Call, grpc.aio.UnaryStreamCall):  # type: ignore[misc]  # ships no types
    """A call with any number of answers, which all come at once."""

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._answers()

    async def _answers(self) -> AsyncIterator[Any]:
        answers, refusal = await self._exchange.outcome
        for answer in answers:
            yield self._read_one(answer)
        if refusal is not None:
            _raise(refusal)

    async def read(self) -> Any:
        """The library iterates."""
        raise NotImplementedError


class _Callable:
    """Makes calls of one method."""

    def __init__(self, channel: Channel, method: str, serialize: _Serialize, deserialize: _Deserialize) -> None:
        self._channel = channel
        self._method = method
        self._serialize = serialize
        self._deserialize = deserialize


class _Unary(_Callable, grpc.aio.UnaryUnaryMultiCallable):  # type: ignore[misc]  # ships no types
    """Makes calls with one answer."""

    def __call__(self, request: Any, *, timeout: float | None = None, **_: Any) -> _UnaryCall:
        return _UnaryCall(self._channel, self._method, self._serialize(request), timeout, self._deserialize)


class _Stream(_Callable, grpc.aio.UnaryStreamMultiCallable):  # type: ignore[misc]  # ships no types
    """Makes calls with any number of answers."""

    def __call__(self, request: Any, *, timeout: float | None = None, **_: Any) -> _StreamCall:
        return _StreamCall(self._channel, self._method, self._serialize(request), timeout, self._deserialize)


class _Unsupported(grpc.aio.StreamStreamMultiCallable):  # type: ignore[misc]  # ships no types
    """A method that is not simulated."""

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError


def _raise(refusal: Refused) -> NoReturn:
    raise AioRpcError(refusal.code, Metadata(), Metadata(), refusal.text)
