"""Export of traces by OTLP over HTTP: the only place that imports OpenTelemetry, and only where traces are asked for.

It is set up by the standard variables (`OTEL_*`), the exporter's own (headers, certificates, timeout, compression) among them,
which OpenTelemetry's library reads itself.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from holdfast.errors import ConfigurationError
from holdfast.telemetry.spans import Export, Span, SpanQueue
from holdfast.telemetry.traceparent import SpanContext
from holdfast.telemetry.tracing import Bucket, Clock, Tracing

_log = logging.getLogger(__name__)

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_SAMPLERS: Final = ("always_on", "always_off", "traceidratio")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SPOKEN: Final = "http/protobuf"
_PARENT_BASED: Final = "parentbased_"
_KINDS: Final = {"receive": "SERVER", "commit": "INTERNAL", "publish": "PRODUCER", "deliver": "CONSUMER"}


def tracing(environ: Mapping[str, str], identity: Mapping[str, str], clock: Clock, callers: Bucket) -> Tracing:
    """Tracing as the environment wants it; off without an endpoint.

    Off, with an error in the log, where a variable cannot be understood or the exporter is not installed: platforms set these
    variables for all their containers, and what they say of traces must not keep an instance from its messages.

    Args:
        identity: attributes of the service in every export, such as `service.instance.id`.
        callers: how often a caller's decision to sample is followed.
    """
    if not is_wanted(environ):
        return Tracing.off()
    try:
        ratio, is_parent_based = sampling(environ)
        export = _otlp({**_service(environ), **identity})
    except ConfigurationError as error:
        _log.error("traces are off: %s", error)
        return Tracing.off()
    return Tracing(clock, SpanQueue(export), ratio=ratio, callers=callers if is_parent_based else None)


def is_wanted(environ: Mapping[str, str]) -> bool:
    """Whether traces are exported at all."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        return False
    return any(environ.get(name) for name in _ENDPOINTS)


def sampling(environ: Mapping[str, str]) -> tuple[float, bool]:
    """The share of sends that is sampled, and whether the decision of a caller is followed.

    Raises:
        ConfigurationError: the sampler is not known, its argument is not a number from 0 to 1, or another protocol is wanted.
    """
    for variable in _PROTOCOLS:
        if environ.get(variable) not in (None, "", _SPOKEN):
            raise ConfigurationError(f"{variable}: only {_SPOKEN} is spoken, at the collector's port for it (4318)")
    name = environ.get("OTEL_TRACES_SAMPLER") or "parentbased_traceidratio"
    sampler = name.removeprefix(_PARENT_BASED)
    if sampler not in _SAMPLERS:
        known = ", ".join((*_SAMPLERS, *(_PARENT_BASED + each for each in _SAMPLERS)))
        raise ConfigurationError(f"OTEL_TRACES_SAMPLER: one of {known}")
    ratio = {"always_on": 1.0, "always_off": 0.0}.get(sampler)
    return _ratio(environ) if ratio is None else ratio, name != sampler


def _ratio(environ: Mapping[str, str]) -> float:
    text = environ.get("OTEL_TRACES_SAMPLER_ARG") or "1"
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise ConfigurationError(f"OTEL_TRACES_SAMPLER_ARG: {text!r} is not a number from 0 to 1")
    return ratio


def _service(environ: Mapping[str, str]) -> dict[str, str]:
    """Our name, where the standard variables give none: those are read by the library."""
    is_named = environ.get("OTEL_SERVICE_NAME") or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return {} if is_named else {"service.name": "holdfast"}


def _otlp(identity: Mapping[str, str]) -> Export:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import SpanExportResult
    except ImportError as error:
        raise ConfigurationError(f"{_ENDPOINTS[1]}: traces need the extra holdfast-chat[otlp] ({error})") from None
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # `SpanQueue` says once what its loggers repeat every second
    try:
        exporter, resource = OTLPSpanExporter(), Resource.create(dict(identity))
    except ValueError as error:
        raise ConfigurationError(f"OTEL_EXPORTER_OTLP_*: {error}") from None

    def export(spans: Sequence[Span]) -> bool:
        return exporter.export([readable(span, resource) for span in spans]) is SpanExportResult.SUCCESS

    return export


def readable(span: Span, resource: Any) -> Any:
    """A span in the form that exporters of OpenTelemetry take."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import Link, SpanKind, Status, StatusCode

    return ReadableSpan(
        span.name,
        _context(span.context),
        None if span.parent is None else _context(span.parent),
        resource,
        dict(span.attributes),
        links=[Link(_context(each)) for each in span.links],
        kind=SpanKind[_KINDS[span.name]],
        status=Status(StatusCode.ERROR if span.is_error else StatusCode.UNSET),
        start_time=span.began_ns,
        end_time=span.ended_ns,
        instrumentation_scope=InstrumentationScope("holdfast"),
    )


def _context(context: SpanContext) -> Any:
    from opentelemetry.trace import SpanContext as Context
    from opentelemetry.trace import TraceFlags

    return Context(
        int(context.trace_id, 16), int(context.span_id, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )
