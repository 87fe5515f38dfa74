"""The two HTTP applications of one instance: the public port, and the internal one with metrics."""

import base64
import hashlib
import re
from importlib.resources import files

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.middleware.cors import CORSMiddleware

from holdfast.errors import CommandError
from holdfast.web import probes, problems, rest, schema
from holdfast.web.abandoned import Abandoned
from holdfast.web.calls import GET
from holdfast.web.counting import Counting
from holdfast.web.gate import Gate
from holdfast.web.shielded import POLICY


def public_app(gate: Gate) -> FastAPI:
    """`/api`, the probes, the documents. No cookies anywhere; CORS and the socket's Origin check share one list."""
    app = FastAPI(title="Holdfast", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    problems.install(app)
    app.include_router(_documents())
    app.include_router(probes.router(gate.node.health))
    app.include_router(rest.router(gate))
    origins = gate.node.settings.http.allowed_origins
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Retry-After"],
        )
    app.add_middleware(Counting, telemetry=gate.node.telemetry, monotonic=gate.node.clock.monotonic)
    app.add_middleware(Abandoned)
    return app


def internal_app(gate: Gate) -> FastAPI:
    """Metrics, probes and health, for the neighbours in the cluster."""
    app = FastAPI(title="Holdfast internal", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    problems.install(app)
    app.include_router(probes.router(gate.node.health))
    app.include_router(probes.health_router(gate.node.health))
    app.include_router(probes.metrics_router(gate.node.telemetry))
    return app


def _documents() -> APIRouter:
    routes = APIRouter()
    page = files("holdfast.web").joinpath("docs.html").read_bytes()
    policy = f"{POLICY}; connect-src 'self'; script-src {_hash_of(page, b'script')}; style-src {_hash_of(page, b'style')}"

    @routes.get("/ws", include_in_schema=False)
    async def plain_ws(_: Request) -> Response:
        answer = problems.problem(CommandError("upgrade_required", "this address speaks WebSocket, subprotocol holdfast.v1"))
        answer.headers["Upgrade"] = "websocket"
        return answer

    @routes.api_route("/api/openapi.json", methods=GET, include_in_schema=False)
    async def openapi() -> Response:
        return Response(schema.openapi(), media_type="application/json")

    @routes.api_route("/api/asyncapi.json", methods=GET, include_in_schema=False)
    async def asyncapi() -> Response:
        return Response(schema.asyncapi(), media_type="application/json")

    @routes.api_route("/api/docs", methods=GET, include_in_schema=False)
    async def docs() -> Response:
        return Response(page, headers={"Content-Security-Policy": policy}, media_type="text/html; charset=utf-8")

    return routes


def _hash_of(page: bytes, element: bytes) -> str:
    """The page's one inline element of this name, as a policy names it: nothing else runs."""
    (content,) = re.findall(rb"<%b>(.*?)</%b>" % (element, element), page, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode()}'"
