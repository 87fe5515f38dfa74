"""REST is counted by route: by ours, whatever callers make up."""

import httpx
import pytest
from fastapi import FastAPI, Response

from holdfast.telemetry import Telemetry
from holdfast.telemetry.labels import ROUTES
from holdfast.web.counting import Counting
from holdfast.web.rest import router


class _Anything:
    """Enough of a gate to list the routes."""

    def __getattr__(self, name: str) -> "_Anything":
        return self


def test_routes_are_those_of_the_public_port() -> None:
    """A new call has its series from the start."""
    found = {
        ("GET" if "GET" in route.methods else next(iter(route.methods)), route.path)  # type: ignore[attr-defined]  # all are APIRoutes
        for route in router(_Anything()).routes  # type: ignore[arg-type]  # the part it uses
    }
    assert found == set(ROUTES) - {("other", "other")}


def _app(telemetry: Telemetry) -> FastAPI:
    app = FastAPI()

    @app.get("/api/conversations/{conversation_id}")
    async def conversation(conversation_id: str) -> Response:
        if conversation_id == "broken":
            raise RuntimeError(conversation_id)
        return Response(status_code=404 if conversation_id == "none" else 200)

    app.add_middleware(Counting, telemetry=telemetry, monotonic=lambda: 1.0)
    return app


@pytest.mark.parametrize(
    ("method", "path", "counted"),
    [
        ("GET", "/api/conversations/c", ("GET", "/api/conversations/{conversation_id}", "2xx")),
        ("GET", "/api/conversations/none", ("GET", "/api/conversations/{conversation_id}", "4xx")),
        ("GET", "/api/conversations/broken", ("GET", "/api/conversations/{conversation_id}", "5xx")),
        ("GET", "/api/conversations/%00%ff", ("GET", "/api/conversations/{conversation_id}", "2xx")),
        ("GET", "/nothing/here", ("other", "other", "4xx")),
        ("BREW", "/api/conversations/c", ("other", "other", "4xx")),
        ("BREW", "/x", ("other", "other", "4xx")),
    ],
)
async def test_each_call_is_counted_once_and_makes_no_series(method: str, path: str, counted: tuple[str, str, str]) -> None:
    """Whatever is asked for: a scanner must not fill the memory of Prometheus."""
    telemetry = Telemetry("test")
    transport = httpx.ASGITransport(_app(telemetry), raise_app_exceptions=False)

    def requests() -> dict[tuple[str, str, str], float]:
        samples = next(each for each in telemetry.registry.collect() if each.name == "holdfast_http_requests").samples
        return {(s.labels["method"], s.labels["route"], s.labels["status"]): s.value for s in samples}

    before = requests()
    async with httpx.AsyncClient(transport=transport, base_url="http://holdfast") as client:
        await client.request(method, path)
    assert requests() == before | {counted: 1.0}
