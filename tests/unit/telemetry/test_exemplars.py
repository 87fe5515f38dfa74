"""Exemplars lead from a bucket of a histogram to a trace; only OpenMetrics can say them."""

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from holdfast.telemetry import Telemetry
from holdfast.telemetry.collectors import Example
from holdfast.telemetry.formats import exposed

TRACE = "0af7651916cd43dd8448eb211c80319c"
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"


def observed() -> Telemetry:
    """Metrics with one traced observation in each histogram."""
    telemetry = Telemetry("0")
    telemetry.delivery_latency.observe("bus", 0.2, 3, Example(TRACE, 1_700_000_000.5))
    telemetry.delivery_latency.observe("bus", 0.2, 1)
    telemetry.commit_latency.labels("acknowledged").observe(0.2, {"trace_id": TRACE})
    return telemetry


@pytest.mark.parametrize("name", ["holdfast_delivery_latency_seconds", "holdfast_commit_latency_seconds"])
def test_a_bucket_keeps_the_latest_trace(name: str) -> None:
    """From the slow bucket of a panel to the message that was slow."""
    text, media_type = exposed(observed().registry, OPENMETRICS)
    (family,) = (family for family in text_string_to_metric_families(text.decode()) if family.name == name)
    found = [(sample.labels["le"], sample.exemplar) for sample in family.samples if sample.exemplar is not None]
    ((bound, exemplar),) = found
    assert (bound, exemplar.labels, exemplar.value) == ("0.25", {"trace_id": TRACE}, 0.2)
    assert media_type.startswith("application/openmetrics-text")


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain;version=0.0.4", "application/json", "\x00" * 1000])
def test_others_get_the_text_without_exemplars(accept: str) -> None:
    """Their parsers would fail on one."""
    text, media_type = exposed(observed().registry, accept)
    assert media_type.startswith("text/plain")
    assert TRACE.encode() not in text


def test_both_formats_have_the_same_series_and_none_says_when_it_was_made() -> None:
    """Dashboards do not depend on what Prometheus asked for."""
    texts = [exposed(observed().registry, accept)[0].decode() for accept in (OPENMETRICS, "")]
    one, other = ({line.split(" ")[0] for line in text.splitlines() if line.startswith("holdfast_")} for text in texts)
    assert one == other
    assert not any("_created" in text for text in texts)
