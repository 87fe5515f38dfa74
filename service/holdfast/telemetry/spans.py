"""Finished spans on their way out: a bounded queue, and a thread that exports them in batches, away from the event loop.

Nothing waits for a collector. While it does not answer, the queue fills, and spans that do not fit are dropped and counted.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.telemetry.traceparent import SpanContext

MAX_QUEUED: Final = 4_096  # about 4 MB; at 100 sampled messages a second, a collector may be away for ten seconds
MAX_BATCH: Final = 512  # as OpenTelemetry's batch processor has it
CLOSE_SECONDS: Final = 2.0
_INTERVAL_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


Attributes = Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True)
class Span:
    """One finished span; times are Unix nanoseconds."""

    name: str
    context: SpanContext
    parent: SpanContext | None
    links: tuple[SpanContext, ...]
    began_ns: int
    ended_ns: int
    attributes: Attributes
    is_error: bool = False


Export = Callable[[Sequence[Span]], bool]
"""Sends spans, in the exporting thread, within a bounded time; whether the collector took them."""


class SpanQueue:
    """`put` is called in the event loop and never blocks; the thread starts with the first span.

    Attributes:
        counts: spans by what became of them, as `holdfast_trace_spans_total` shows them.
    """

    def __init__(self, export: Export, interval_seconds: float = _INTERVAL_SECONDS) -> None:
        self.counts = {"exported": 0, "queue_full": 0, "export_failed": 0}
        self._export = export
        self._interval_seconds = interval_seconds
        self._spans: deque[Span] = deque()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_failing = False

    def put(self, span: Span) -> None:
        """Take one span, or drop it where too many wait."""
        if len(self._spans) >= MAX_QUEUED:
            self.counts["queue_full"] += 1
            return
        self._spans.append(span)
        if self._thread is None:
            self._start()

    @property
    def is_exporting(self) -> bool:
        """Whether there ever was a span: until then there is nothing to close."""
        return self._thread is not None

    def close(self, timeout_seconds: float = CLOSE_SECONDS) -> None:
        """Export what waits, within `timeout_seconds`. Blocks: to be called in a thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_seconds)

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="traces", daemon=True)  # it never delays the end of the process
        try:
            thread.start()
        except RuntimeError:  # the machine gives no thread now; the next span tries again, and no message fails for it
            return
        self._thread = thread

    def _run(self) -> None:
        while not self._stop.wait(self._interval_seconds):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        while self._spans:
            batch = [self._spans.popleft() for _ in range(min(MAX_BATCH, len(self._spans)))]
            try:
                is_exported = self._export(batch)
            except Exception:  # noqa: BLE001 - the thread must outlive whatever one batch does to the exporter
                _log.exception("exporting traces failed")
                is_exported = False
            self.counts["exported" if is_exported else "export_failed"] += len(batch)
            self._note(is_exported)

    def _note(self, is_exported: bool) -> None:
        if self._is_failing is is_exported:
            self._is_failing = not is_exported
            _log.warning(
                "traces are exported again" if is_exported else "the collector of traces does not take them; they are dropped"
            )
