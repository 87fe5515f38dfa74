"""The endpoints for Kubernetes and Prometheus: no I/O here, only the findings of the evaluator."""

from collections.abc import Callable

from fastapi import APIRouter, Request, Response

from holdfast.node.health.evaluator import Health
from holdfast.telemetry import Telemetry
from holdfast.telemetry.formats import exposed
from holdfast.web.calls import GET, answer

_NO_STORE = {"Cache-Control": "no-store"}


def router(health: Health) -> APIRouter:
    """`/livez`, `/readyz`, `/startupz`: plain `ok` or the state; `?verbose` lists the checks."""
    routes = APIRouter()
    checks: dict[str, Callable[[], bool]] = {
        "/livez": lambda: health.is_live,
        "/readyz": lambda: health.is_ready,
        "/startupz": lambda: health.has_started,
    }
    for path, check in checks.items():
        routes.add_api_route(path, _probe(path, health, check), methods=GET, include_in_schema=False)
    return routes


def health_router(health: Health) -> APIRouter:
    """`/api/health` as on the public port, for the neighbours."""
    routes = APIRouter()

    @routes.api_route("/api/health", methods=GET, include_in_schema=False)
    async def body() -> Response:
        return answer(health.body(), 200 if health.is_ok else 503)

    return routes


def metrics_router(telemetry: Telemetry) -> APIRouter:
    """`/metrics`, for the internal port: OpenMetrics, with exemplars, where `Accept` asks for it, else Prometheus' text."""
    routes = APIRouter()

    @routes.api_route("/metrics", methods=GET, include_in_schema=False)
    async def metrics(request: Request) -> Response:
        text, media_type = exposed(telemetry.registry, request.headers.get("accept", ""))
        return Response(text, headers=_NO_STORE, media_type=media_type)

    return routes


def _probe(path: str, health: Health, check: Callable[[], bool]) -> Callable[[Request], Response]:
    async def probe(request: Request) -> Response:
        is_ok = check()
        lines = ["ok" if is_ok else health.state]
        if path == "/readyz" and (isolated := health.conditions["Isolated"]).status:
            lines.append(isolated.message)
        if "verbose" in request.query_params:
            lines += [f"[{'+' if c.status else '-'}] {c.type}: {c.reason}" for c in health.conditions.values()]
        return Response("\n".join(lines) + "\n", 200 if is_ok else 503, _NO_STORE, "text/plain; charset=utf-8")

    return probe  # type: ignore[return-value]  # FastAPI takes coroutines where it says callables
