"""A `traceparent` is the caller's, or any text that looks like one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.telemetry import SpanContext
from holdfast.telemetry.traceparent import Parent, parse

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("text", "is_sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"cc-{TRACE}-{SPAN}-01", True),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-brings", True),
    ],
)
def test_ids_and_the_decision_of_the_caller_are_read(text: str, is_sampled: bool) -> None:
    """Later versions are read as far as this one knows them, as the standard says."""
    assert parse(text) == Parent(SpanContext(TRACE, SPAN), is_sampled)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{'٣' * 32}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01-" + "x" * 1_000_000,
        "\x00" * 55,
    ],
)
def test_malformed_is_none(text: str) -> None:
    """It is ignored: no message fails for it."""
    assert parse(text) is None


@given(st.text(max_size=80))
def test_no_text_raises(text: str) -> None:
    """Clients choose it."""
    parse(text)


def test_what_is_made_here_is_read_elsewhere() -> None:
    """New traces and new spans have ids of their own."""
    root = SpanContext.root()
    child = root.child()
    assert parse(child.traceparent) == Parent(child, is_sampled=True)
    assert child.trace_id == root.trace_id
    assert child.span_id != root.span_id
    assert SpanContext.root().trace_id != root.trace_id
