"""Tracing is set up by the standard variables; a wrong one turns it off, with its name in the log."""

import sys

import pytest

from holdfast.telemetry import SpanContext, otlp
from holdfast.telemetry.spans import Span
from support.fakes import ManualClock

ON = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}


@pytest.mark.parametrize(
    ("environ", "is_wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_SERVICE_NAME": "chat", "OTEL_TRACES_SAMPLER_ARG": "1"}, False),
        (ON, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"}, True),
        (ON | {"OTEL_SDK_DISABLED": "True"}, False),
        (ON | {"OTEL_SDK_DISABLED": "0"}, True),
        (ON | {"OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_an_endpoint_switches_it_on(environ: dict[str, str], is_wanted: bool) -> None:
    """Off by default, and as the convention says."""
    assert otlp.is_wanted(environ) is is_wanted


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, (1.0, True)),
        ({"OTEL_TRACES_SAMPLER_ARG": "0.01"}, (0.01, True)),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}, (0.5, True)),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}, (0.5, False)),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, (0.0, True)),
        ({"OTEL_TRACES_SAMPLER": "always_on", "OTEL_TRACES_SAMPLER_ARG": "0.5"}, (1.0, False)),
    ],
)
def test_sampler_and_its_argument(environ: dict[str, str], expected: tuple[float, bool]) -> None:
    """The share, and whether callers are followed."""
    assert otlp.sampling(environ) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_SAMPLER_ARG", "1 %"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
        ("OTEL_TRACES_SAMPLER_ARG", "nan"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ],
)
def test_a_wrong_variable_turns_traces_off_and_is_named(name: str, value: str, caplog: pytest.LogCaptureFixture) -> None:
    """Platforms set these variables for all their containers: an instance starts whatever they say."""
    assert otlp.tracing(ON | {name: value}, {}, ManualClock(), _Never()).begin(None, "rest") is None
    assert [(each.levelname, name in each.getMessage()) for each in caplog.records] == [("ERROR", True)]


def test_without_the_extra_the_log_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An install without the extra has no exporter."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    assert otlp.tracing(ON, {}, ManualClock(), _Never()).begin(None, "rest") is None
    assert "holdfast-chat[otlp]" in caplog.text


def test_off_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instances that export no traces do not pay for the library."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    assert otlp.tracing({}, {}, ManualClock(), _Never()).begin(None, "rest") is None


@pytest.mark.parametrize("name", ["receive", "commit", "publish", "deliver"])
def test_every_span_has_a_form_that_exporters_take(name: str) -> None:
    """Ids, parent, links, times and attributes are kept."""
    from opentelemetry.sdk.resources import Resource

    parent, context, link = SpanContext.root(), SpanContext.root(), SpanContext.root()
    taken = otlp.readable(Span(name, context, parent, (link,), 5, 9, {"a": 1}, is_error=True), Resource({}))
    assert (taken.name, taken.start_time, taken.end_time, taken.attributes["a"]) == (name, 5, 9, 1)
    assert f"{taken.context.trace_id:032x}" == context.trace_id
    assert f"{taken.parent.span_id:016x}" == parent.span_id
    assert [f"{each.context.span_id:016x}" for each in taken.links] == [link.span_id]
    assert not taken.status.is_ok


class _Never:
    def spend(self, count: int, now: float) -> float:
        """No token."""
        return 1.0
