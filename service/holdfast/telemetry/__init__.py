"""Metrics, logs and traces: what an operator sees of one instance.

Every metric is declared in `metrics`, prefix `holdfast_`, base units, label values from the fixed sets of `labels` only. One
registry per `Telemetry`: nothing is global, two instances in one test do not meet.
"""

from holdfast.telemetry.controller import ControllerTelemetry
from holdfast.telemetry.labels import API_REQUESTS, CONTROLLER_LOOPS, LOOPS, OTHER, PATHS, SOURCES, STORE_OPERATIONS
from holdfast.telemetry.logs import configure_logging
from holdfast.telemetry.metrics import Telemetry
from holdfast.telemetry.traceparent import SpanContext
from holdfast.telemetry.tracing import Arrived, Received, Tracing

__all__ = [
    "API_REQUESTS",
    "CONTROLLER_LOOPS",
    "LOOPS",
    "OTHER",
    "PATHS",
    "SOURCES",
    "STORE_OPERATIONS",
    "Arrived",
    "ControllerTelemetry",
    "Received",
    "SpanContext",
    "Telemetry",
    "Tracing",
    "configure_logging",
]
