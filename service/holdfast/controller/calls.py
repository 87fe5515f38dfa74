"""Requests to the API server, counted by what was asked and whether it was answered."""

from collections.abc import Awaitable, Callable
from typing import Any

from holdfast.ports import Orchestrator
from holdfast.telemetry import API_REQUESTS, ControllerTelemetry

Call = Callable[..., Awaitable[Any]]


def counted(orchestrator: Orchestrator, telemetry: ControllerTelemetry) -> Orchestrator:
    """The same orchestrator, whose requests are counted from now on."""
    for name in API_REQUESTS:
        setattr(orchestrator, name, _counted(getattr(orchestrator, name), name, telemetry))
    return orchestrator


def _counted(ask: Call, name: str, telemetry: ControllerTelemetry) -> Call:
    ok, failed = (telemetry.api_requests.labels(name, result) for result in ("ok", "failed"))

    async def call(*args: Any, **kwargs: Any) -> Any:
        try:
            result = await ask(*args, **kwargs)
        except Exception:
            failed.inc()
            raise
        ok.inc()
        return result

    return call
