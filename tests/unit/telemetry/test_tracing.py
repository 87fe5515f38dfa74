"""Which sends are sampled, and what their spans say."""

import pytest

from holdfast.telemetry import Tracing
from holdfast.telemetry.tracing import Arrived
from support.fakes import ManualClock, ShiftedClock
from support.traced import traced

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"


@pytest.mark.parametrize("traceparent", [None, SAMPLED, UNSAMPLED, "garbage"])
def test_off_samples_nothing(traceparent: str | None) -> None:
    """The default: whatever clients write."""
    tracing = Tracing.off()
    assert [tracing.begin(traceparent, "rest") for _ in range(100)] == [None] * 100
    assert tracing.arrived("c", SAMPLED, 1.0) is None


@pytest.mark.parametrize(("ratio", "expected"), [(0.0, 0), (0.25, 250), (1.0, 1000)])
def test_the_ratio_decides_where_no_caller_did(ratio: float, expected: int) -> None:
    """A garbled header counts as none."""
    tracing, _ = traced(ManualClock(), ratio=ratio)
    for traceparent in (None, "garbage"):
        sampled = sum(tracing.begin(traceparent, "websocket") is not None for _ in range(1000))
        assert abs(sampled - expected) <= (100 if 0 < ratio < 1 else 0)


def test_a_caller_is_followed_within_a_limit_for_all() -> None:
    """A client that marks all its messages must not make every instance record everything."""
    clock = ManualClock()
    tracing, _ = traced(clock, burst=2.0)
    assert [tracing.begin(SAMPLED, "websocket") is not None for _ in range(50)] == [True] * 2 + [False] * 48
    clock.now += 1.0
    assert [tracing.begin(SAMPLED, "websocket") is not None for _ in range(3)] == [True, False, False]


def test_a_caller_that_does_not_sample_is_followed_too() -> None:
    """Half a trace is of no use."""
    tracing, _ = traced(ManualClock(), ratio=1.0)
    assert tracing.begin(UNSAMPLED, "rest") is None


def test_a_received_send_continues_the_trace_of_its_caller() -> None:
    """So that the trace of an application and ours are one."""
    clock = ManualClock()
    tracing, spans = traced(clock)
    received = tracing.begin(SAMPLED, "rest")
    assert received is not None
    clock.now += 0.5
    received.answered("c", "store_unavailable", is_error=True)
    (span,) = spans
    assert (span.name, span.context.trace_id, span.is_error) == ("receive", TRACE, True)
    assert span.parent is not None
    assert span.parent.span_id == SPAN
    assert span.ended_ns - span.began_ns == pytest.approx(0.5e9, abs=1e6)
    assert span.ended_ns == pytest.approx(clock.now_ms() * 1e6, abs=1e7)
    assert span.attributes == {
        "holdfast.conversation_id": "c",
        "holdfast.via": "rest",
        "holdfast.outcome": "store_unavailable",
    }
    assert received.exemplar == {"trace_id": TRACE}


def test_a_batch_has_one_commit_and_one_publication_that_link_its_sends() -> None:
    """A span for each send of a batch would say that each waited for the store alone."""
    clock = ManualClock()
    tracing, spans = traced(clock, ratio=1.0)
    first, second = tracing.begin(None, "websocket"), tracing.begin(None, "websocket")
    assert first is not None
    assert second is not None
    after = tracing.committed("c", {4: first, 6: second}, 3)
    carried = tracing.published({seq: Arrived(context, "c", clock.monotonic()) for seq, context in after.items()}, 3)
    commit, publish = spans
    assert commit.links == (first.context, second.context)
    assert commit.parent == first.context
    assert after == {4: commit.context, 6: second.context}
    assert (publish.parent, publish.links) == (commit.context, (commit.context, second.context))
    assert carried == {4: publish.context.traceparent, 6: second.context.traceparent}
    assert (commit.attributes["holdfast.messages"], commit.attributes["holdfast.first_seq"]) == (3, 4)


@pytest.mark.parametrize("traceparent", ["garbage", UNSAMPLED, "x" * 100_000])
def test_garbage_from_another_instance_is_no_trace(traceparent: str) -> None:
    """A pod may be compromised."""
    tracing, _ = traced(ManualClock())
    assert tracing.arrived("c", traceparent, 1.0) is None


def test_spans_stay_in_order_while_clocks_disagree_by_milliseconds_and_follow_a_clock_that_is_set() -> None:
    """The wall clock is read in milliseconds; within one trace only the monotonic clock counts."""
    clock = ShiftedClock(0.0)
    tracing, spans = traced(clock, ratio=1.0)
    received = tracing.begin(None, "rest")
    assert received is not None
    received.answered("c", "acknowledged", is_error=False)
    clock.ahead_seconds = 0.03
    received.answered("c", "acknowledged", is_error=False)
    clock.ahead_seconds = 60.0
    received.answered("c", "acknowledged", is_error=False)
    assert spans[0].ended_ns == spans[1].ended_ns
    assert spans[2].ended_ns - spans[0].ended_ns == pytest.approx(60e9, abs=1e8)
