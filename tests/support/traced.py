"""Tracing for tests: every span is kept, in a list, when it ends."""

from holdfast.domain.buckets import TokenBucket
from holdfast.telemetry.spans import Span, SpanQueue
from holdfast.telemetry.tracing import Clock, Tracing


class KeptSpans(SpanQueue):
    """A queue without a way out."""

    def __init__(self) -> None:
        super().__init__(lambda _: True)
        self.spans: list[Span] = []

    def put(self, span: Span) -> None:
        """Keep it."""
        self.spans.append(span)


def traced(clock: Clock, *, ratio: float = 0.0, burst: float = 2.0) -> tuple[Tracing, list[Span]]:
    """Tracing that follows callers `burst` times at once and once a second, and what it recorded."""
    queue = KeptSpans()
    return Tracing(clock, queue, ratio=ratio, callers=TokenBucket(1.0, burst, clock.monotonic())), queue.spans
