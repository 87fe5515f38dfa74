"""A sampled send on its way through an instance: its spans, its exemplars, and what it adds to an envelope."""

import json
from typing import Any

import msgspec
import pytest

from holdfast.node.sending.append import Appender, Batch, Commit, Settled, Waiting
from holdfast.protocol import envelopes
from holdfast.telemetry import SpanContext, Telemetry
from holdfast.telemetry.formats import exposed
from holdfast.telemetry.spans import Span
from support.delivery_scene import C, Scene, delivered
from support.fakes import FakeStore, draft
from support.identities import identity_of
from support.traced import traced
from support.virtual_time import LoopClock, in_virtual_time, passed, settled


def traced_scene() -> tuple[Scene, list[Span]]:
    """An instance that exports traces, and what it recorded."""
    tracing, spans = traced(LoopClock(), ratio=1.0)
    scene = Scene(telemetry=Telemetry("test", tracing=tracing))
    scene.store_clock.note(1_000_000, scene.clock.monotonic())
    return scene, spans


def published(scene: Scene) -> Any:
    """The one envelope, as text has it."""
    ((_, _, envelope),) = scene.bus.commits
    return json.loads(envelope)


class BeforeEnvelope(envelopes.Header, frozen=True, kw_only=True):
    """`MessagesEnvelope` as instances of before know it."""

    instance: str
    age_ms: int
    messages: list[msgspec.Raw]
    accepted_ms: list[int]


@in_virtual_time
async def test_sampled_message_is_published_with_its_trace_and_delivered_here_in_one_span() -> None:
    """Once for all sockets: a span for each recipient would be a thousand for one message."""
    scene, spans = traced_scene()
    await scene.join("alice", "bob", "bob")
    context, now = SpanContext.root(), scene.clock.monotonic()
    scene.delivery.hand_over(Commit(C, [delivered(1), delivered(2)], now, None, [], {1: now, 2: now}, {2: context}))
    await settled()
    publish, deliver = spans
    assert (publish.name, publish.parent, publish.attributes["holdfast.messages"]) == ("publish", context, 2)
    assert published(scene)["traceparents"] == {"2": publish.context.traceparent}
    assert list(published(scene))[-1] == "traceparents"
    assert (deliver.name, deliver.parent) == ("deliver", context)
    assert {**deliver.attributes, "holdfast.held_seconds": 0.0} == {
        "holdfast.conversation_id": C,
        "holdfast.seq": 2,
        "holdfast.path": "local",
        "holdfast.recipients": 3,
        "holdfast.held_seconds": 0.0,
    }
    text = exposed(scene.telemetry.registry, "application/openmetrics-text")[0].decode()
    assert f'trace_id="{context.trace_id}"' in text


@in_virtual_time
async def test_instances_of_before_read_an_envelope_with_traces() -> None:
    """During a rolling update both versions are there."""
    scene, _ = traced_scene()
    scene.delivery.hand_over(Commit(C, [delivered(1)], 0.0, None, traces={1: SpanContext.root()}))
    ((_, _, envelope),) = scene.bus.commits
    assert len(msgspec.json.decode(envelope, type=BeforeEnvelope).messages) == 1


@in_virtual_time
async def test_envelope_without_a_sampled_message_is_as_before() -> None:
    """Byte for byte: a send that is not sampled costs nothing on the wire."""
    scene, spans = traced_scene()
    await scene.join("alice")
    scene.delivery.hand_over(Commit(C, [delivered(1)], 0.0, None))
    scene.receive(2)
    await settled()
    assert "traceparents" not in published(scene)
    assert spans == []


@in_virtual_time
async def test_delivery_of_another_instances_message_says_how_long_it_was_held() -> None:
    """Behind a gap, a message waits for the one before it: that is where its time went."""
    scene, spans = traced_scene()
    await scene.join("alice")
    context = SpanContext.root()
    scene.receive(2, traceparents={2: context.traceparent})
    await passed(0.1)
    assert spans == []
    scene.receive(1)
    await settled()
    (deliver,) = spans
    assert (deliver.parent, deliver.attributes["holdfast.path"]) == (context, "bus")
    assert deliver.attributes["holdfast.held_seconds"] == pytest.approx(0.1, abs=0.01)
    assert deliver.ended_ns - deliver.began_ns == pytest.approx(0.1e9, abs=1e7)


@pytest.mark.parametrize("traceparents", [{1: "garbage"}, {1: ""}, {7: SpanContext.root().traceparent}])
def test_message_whose_trace_is_garbage_is_delivered_all_the_same(traceparents: dict[int, str]) -> None:
    """A trace is never worth a message."""

    @in_virtual_time
    async def scenario() -> None:
        scene, spans = traced_scene()
        await scene.join("alice")
        scene.receive(1, traceparents=traceparents)
        await settled()
        assert scene.delivery.head(C) == 1
        assert spans == []

    scenario()


@in_virtual_time
async def test_traces_of_others_are_passed_over_where_tracing_is_off() -> None:
    """Tracing may be switched on one instance after the other."""
    scene = Scene()
    await scene.join("alice")
    scene.receive(1, traceparents={1: SpanContext.root().traceparent})
    await settled()
    assert scene.delivery.head(C) == 1


@in_virtual_time
async def test_commit_is_one_span_for_its_batch_and_names_its_trace_in_the_histogram() -> None:
    """From the slow bucket to the slow commit."""
    tracing, spans = traced(LoopClock())
    telemetry, commits = Telemetry("test", tracing=tracing), list[Commit]()
    appender = Appender(identity_of(), FakeStore(), LoopClock(), telemetry, commits.append)  # type: ignore[arg-type]  # the part it uses
    received = tracing.begin(SpanContext.root().traceparent, "websocket")
    assert received is not None
    batch = Batch(C, {})
    for name, trace in (("k1", None), ("k2", received)):
        each = draft(key=name)
        batch.sends[each.key] = [Waiting(each, LoopClock().monotonic(), lambda _: None, bypass_membership=False, trace=trace)]
    assert batch.log_fields == {"conversation_id": C, "trace_id": received.context.trace_id}
    await appender.run(batch)
    (span,) = spans
    assert (span.name, span.parent, span.attributes["holdfast.messages"]) == ("commit", received.context, 2)
    assert commits[0].traces == {2: span.context}
    assert received.context.trace_id in exposed(telemetry.registry, "application/openmetrics-text")[0].decode()


@in_virtual_time
async def test_commit_without_a_sampled_send_has_no_trace() -> None:
    """Nothing is allocated for it."""
    tracing, spans = traced(LoopClock())
    commits, answers = list[Commit](), list[object]()
    appender = Appender(identity_of(), FakeStore(), LoopClock(), Telemetry("test", tracing=tracing), commits.append)  # type: ignore[arg-type]  # the part it uses
    each = draft(key="k1")
    batch = Batch(C, {each.key: [Waiting(each, LoopClock().monotonic(), answers.append, bypass_membership=False)]})
    assert batch.log_fields == {"conversation_id": C}
    await appender.run(batch)
    assert isinstance(answers[0], Settled)
    assert (commits[0].traces, spans) == (None, [])
