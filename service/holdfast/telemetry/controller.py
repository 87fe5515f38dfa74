"""Every metric of `holdfast controller`, in a registry of its own: what instances export is no business of its."""

from itertools import product
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from holdfast.telemetry import labels

STATUSES: Final = ("True", "False", "Unknown")
RESULTS: Final = ("ok", "failed")


class ControllerTelemetry:
    """Every metric of one controller."""

    def __init__(self) -> None:
        """All zero."""
        self.registry = registry = CollectorRegistry()
        self.is_leader = Gauge(
            "holdfast_controller_is_leader",
            "1 while the lease is this controller's and was renewed within 10 s",
            registry=registry,
        )
        self.lease_age = Gauge(
            "holdfast_controller_lease_age_seconds",
            "since this controller renewed the lease, or was told that another one has it. Normally below 3",
            registry=registry,
        )
        self.pods = Gauge("holdfast_controller_pods", "chat pods that it follows", registry=registry)
        self.conditions_written = Counter(
            "holdfast_controller_conditions_written", "conditions written on pods, by status", ["status"], registry=registry
        )
        for status in STATUSES:
            self.conditions_written.labels(status)
        self.api_requests = Counter(
            "holdfast_controller_api_requests",
            "what was asked of the API server; `watch`: one for each watch that ended, at least one a minute",
            ["request", "result"],
            registry=registry,
        )
        for request, result in product(labels.API_REQUESTS, RESULTS):
            self.api_requests.labels(request, result)
        self.loop_failures = Counter(
            "holdfast_loop_failures",
            "unexpected errors in background loops, which went on. 0 is normal",
            ["loop"],
            registry=registry,
        )
        for loop in labels.CONTROLLER_LOOPS:
            self.loop_failures.labels(loop)
