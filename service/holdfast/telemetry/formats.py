"""The formats of metrics: OpenMetrics, which has exemplars, for clients that ask for it; Prometheus' text format for all
others."""

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics


def exposed(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """The metrics and their media type. `accept`: the header of the request, whatever is in it."""
    if "application/openmetrics-text" in accept:
        return openmetrics.generate_latest(registry), openmetrics.CONTENT_TYPE_LATEST  # type: ignore[no-untyped-call]  # it has no types
    return generate_latest(registry), CONTENT_TYPE_LATEST
