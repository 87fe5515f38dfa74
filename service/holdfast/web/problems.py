"""Errors as problem documents: one shape for everything that REST refuses."""

import logging

import msgspec
from fastapi import FastAPI, Request, Response
from msgspec import UNSET
from starlette.exceptions import HTTPException
from starlette.routing import Match

from holdfast.errors import CommandError, StoreError
from holdfast.protocol.codes import CODES
from holdfast.protocol.rest import Problem

_log = logging.getLogger(__name__)
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_FRAMEWORK_CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large", 415: "unsupported_media_type"}


def problem(error: CommandError) -> Response:
    """The answer for an error."""
    row = CODES[error.code]
    status = row.status or 400
    body = Problem(
        type=f"urn:holdfast:problem:{error.code}",
        title=row.title,
        status=status,
        code=error.code,
        detail=error.detail,
        retryable=row.is_retryable,
        outcome=UNSET if error.outcome is None else error.outcome,  # type: ignore[arg-type]  # CommandError keeps it as text
        retry_after_ms=UNSET if error.retry_after_ms is None else error.retry_after_ms,
        field=UNSET if error.field is None else error.field,
    )
    headers = {"Cache-Control": "no-store"}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status in (429, 503) or error.retry_after_ms is not None:
        headers["Retry-After"] = str(max(1, -(-(error.retry_after_ms or 1000) // 1000)))
    return Response(msgspec.json.encode(body), status, headers, "application/problem+json")


def _methods_at(app: FastAPI, request: Request) -> list[str]:
    """What an address may be called with: the framework names the methods of the first route there, and forgets the others'."""
    return [
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in app.routes)
    ]


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem document."""

    @app.exception_handler(CommandError)
    async def refused(_: Request, error: CommandError) -> Response:
        return problem(error)

    @app.exception_handler(StoreError)
    async def unavailable(_: Request, __: StoreError) -> Response:
        return problem(CommandError("store_unavailable", "the store did not answer", retry_after_ms=1000))

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> Response:
        code = _FRAMEWORK_CODES.get(error.status_code, "invalid_request")
        answer = problem(CommandError(code, str(error.detail)[:200]))
        answer.headers.update(error.headers or {})
        if error.status_code == 405:
            answer.headers["Allow"] = ", ".join(_methods_at(app, request))
        return answer

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        _log.error("a call failed", exc_info=error, extra={"fields": {"method": request.method}})
        return problem(CommandError("internal_error", "a fault of this service"))
