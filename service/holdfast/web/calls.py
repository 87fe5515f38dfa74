"""The needs of every REST call: the caller, the caller's rights, and the body as one of our types."""

from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TypeVar

import msgspec
from fastapi import Request, Response
from starlette.requests import ClientDisconnect

from holdfast.errors import CommandError, InvalidRequest
from holdfast.node.connections.connection import Grant
from holdfast.node.requests.commands import Caller
from holdfast.protocol.jsontext import decode
from holdfast.web.gate import Gate
from holdfast.web.shielded import HELD

T = TypeVar("T")
GET = ["GET", "HEAD"]
"""The methods of a call that reads: balancers check health by HEAD, which every GET must answer (RFC 9110 §9.1)."""


def identity(request: Request, gate: Gate) -> Grant:
    """The caller.

    Raises:
        CommandError: `unauthenticated` and its kind.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if len(request.headers.getlist("authorization")) > 1:
        raise CommandError("unauthenticated", "one Authorization header: of two identities none is guessed")
    if scheme.lower() != "bearer" or not token.strip():
        raise CommandError("unauthenticated", "a bearer token is needed: Authorization: Bearer <jwt>")
    return gate.authenticate(token.strip())


def caller(request: Request, gate: Gate) -> Caller:
    """The caller, counted.

    Raises:
        CommandError: `unauthenticated` and its kind, `rate_limited`.
    """
    who = identity(request, gate)
    gate.count_call(who.user_id)
    return Caller(who.user_id, who.is_admin)


async def body(request: Request, kind: type[T], max_bytes: int, *, default: T | None = None) -> T:
    """The body as `kind`; `default` where it may be absent.

    Raises:
        CommandError: `body_too_large`, `unsupported_media_type`, `invalid_json`, `invalid_request`.
    """
    data = bytearray()
    try:
        async for chunk in request.stream():
            data += chunk
            if len(data) > max_bytes:
                raise CommandError("body_too_large", f"at most {max_bytes} bytes")
    except ClientDisconnect:
        raise InvalidRequest("the body ended early") from None  # the caller has left; it is no fault of ours either
    if not data and default is not None:
        return default
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise CommandError("unsupported_media_type", "the body is application/json")
    if not data:
        raise InvalidRequest("a body is needed")
    return decode(msgspec.json.Decoder(kind), bytes(data))


def number(request: Request, name: str, default: int | None = None) -> int | None:
    """A query parameter as a whole number, not negative.

    Raises:
        InvalidRequest: it is not.
    """
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 12):
        raise InvalidRequest("a whole number, not negative", field=name)
    return int(text)


async def until_sent(request: Request, held: AbstractAsyncContextManager[None]) -> None:
    """Enter `held`, and leave it once the answer is sent or its connection has ended.

    Raises:
        CommandError: as `held` does.
    """
    stack: AsyncExitStack = request.scope[HELD]
    await stack.enter_async_context(held)


def answer(value: object, status: int = 200) -> Response:
    """`value` as JSON."""
    return Response(msgspec.json.encode(value), status, {"Cache-Control": "no-store"}, "application/json")
