"""Spans leave by a thread of their own; a collector that is slow, broken or gone costs spans and nothing else."""

import asyncio
import logging
import threading
from collections.abc import Sequence

import pytest

from holdfast.telemetry import SpanContext
from holdfast.telemetry.spans import MAX_BATCH, MAX_QUEUED, Span, SpanQueue
from support.eventually import eventually


def span(name: str = "receive") -> Span:
    """One."""
    return Span(name, SpanContext.root(), None, (), 1, 2, {})


async def test_spans_are_exported_in_batches_away_from_the_loop() -> None:
    """The loop serves clients."""
    batches: list[int] = []
    threads: set[threading.Thread] = set()

    def export(spans: Sequence[Span]) -> bool:
        batches.append(len(spans))
        threads.add(threading.current_thread())
        return True

    queue = SpanQueue(export, interval_seconds=0.01)
    for _ in range(MAX_BATCH + 1):
        queue.put(span())
    await eventually(lambda: queue.counts["exported"] == MAX_BATCH + 1)
    await asyncio.to_thread(queue.close)
    assert max(batches) <= MAX_BATCH
    assert threading.current_thread() not in threads


async def test_while_a_collector_hangs_the_queue_is_bounded_and_the_end_is_not_delayed() -> None:
    """Memory of an instance belongs to its clients; a drain has its own time."""
    is_over = threading.Event()
    queue = SpanQueue(lambda _: is_over.wait(60), interval_seconds=0.01)
    queue.put(span())
    await eventually(lambda: not queue._spans)
    for _ in range(MAX_QUEUED + 7):
        queue.put(span())
    assert queue.counts == {"exported": 0, "queue_full": 7, "export_failed": 0}
    await asyncio.to_thread(queue.close, 0.05)
    assert queue._thread is not None
    assert queue._thread.is_alive()  # it is left behind, as a daemon
    is_over.set()
    await asyncio.to_thread(queue._thread.join, 30)


async def test_what_a_collector_refuses_is_counted_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """A line for each batch would be the only thing in the log."""
    answers: list[bool | None] = [False, None, False, True]

    def export(_: Sequence[Span]) -> bool:
        answer = answers.pop(0)
        if answer is None:
            raise RuntimeError("a fault of the exporter")
        return answer

    queue = SpanQueue(export, interval_seconds=0.01)
    with caplog.at_level(logging.WARNING, "holdfast.telemetry.spans"):
        for done in range(1, 5):
            queue.put(span())
            await eventually(lambda done=done: sum(queue.counts.values()) == done)  # type: ignore[misc]  # mypy cannot infer the type of a default
        await asyncio.to_thread(queue.close, 30)
    assert queue.counts == {"exported": 1, "queue_full": 0, "export_failed": 3}
    said = [record.getMessage() for record in caplog.records if record.exc_info is None]
    assert said == ["the collector of traces does not take them; they are dropped", "traces are exported again"]


async def test_what_waits_at_the_end_is_exported() -> None:
    """The trace of the last message before a drain is one that is looked for."""
    taken: list[str] = []
    queue = SpanQueue(lambda spans: bool(taken.extend(each.name for each in spans)) or True, interval_seconds=60)
    queue.put(span("deliver"))
    await asyncio.to_thread(queue.close, 30)
    assert taken == ["deliver"]


def test_without_a_span_there_is_no_thread() -> None:
    """Tracing that is off costs nothing, not even at the end."""
    queue = SpanQueue(lambda _: True)
    queue.close()
    assert not queue.is_exporting


def test_where_no_thread_can_be_had_a_span_waits_for_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod at its limit of processes: the message, which is stored by now, must be delivered all the same."""

    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    taken: list[Span] = []
    queue = SpanQueue(lambda spans: bool(taken.extend(spans)) or True, interval_seconds=60)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        queue.put(span())
    assert not queue.is_exporting
    queue.put(span())
    queue.close(30)
    assert len(taken) == 2
