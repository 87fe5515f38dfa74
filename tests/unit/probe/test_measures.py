"""The metrics of the probe, as Prometheus reads them."""

from prometheus_client import generate_latest

from holdfast.probe.judge import KINDS, Verdict, Violation
from holdfast.probe.measures import RESULTS, STEPS, Measures


def _value(measures: Measures, name: str, **labels: str) -> float | None:
    return measures.registry.get_sample_value(name, labels)


def test_every_series_is_there_before_anything_happened() -> None:
    """The first violation is an increase only where a 0 came before it."""
    measures = Measures()
    assert all(_value(measures, "holdfast_probe_violations_total", kind=kind) == 0 for kind in KINDS)
    for step in STEPS:
        assert all(_value(measures, "holdfast_probe_attempts_total", step=step, result=result) == 0 for result in RESULTS)
    for name in ("connect", "ack", "delivery", "resume"):
        assert _value(measures, f"holdfast_probe_{name}_seconds_count") == 0


def test_a_verdict_is_counted_and_adds_no_series() -> None:
    """By kind, delivery by delivery."""
    measures = Measures()
    before = generate_latest(measures.registry).count(b"\n")
    violations = [Violation(kind, 1, "c", 7, "") for kind in KINDS] + [Violation("lost", 0, "c", 8, "")]
    measures.judged(Verdict(violations, delivered=3, undelivered=2, latencies=[0.2, 0.4]))
    assert {kind: _value(measures, "holdfast_probe_violations_total", kind=kind) for kind in KINDS} == {
        **dict.fromkeys(KINDS, 1),
        "lost": 2,
    }
    assert _value(measures, "holdfast_probe_attempts_total", step="deliver", result="ok") == 3
    assert _value(measures, "holdfast_probe_attempts_total", step="deliver", result="failed") == 2
    assert _value(measures, "holdfast_probe_delivery_seconds_count") == 2
    assert generate_latest(measures.registry).count(b"\n") == before
