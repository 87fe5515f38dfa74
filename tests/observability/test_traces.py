"""One sampled send is one trace over instances, in a real collector; and exemplars lead from the histograms to it."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from support.chatting import Chatter, new_conversation
from support.eventually import eventually
from support.instances import Instances, Serving, token
from support.otlp_receiver import OtlpReceiver, ReceivedSpan

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
REST_TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER_SPAN_ID = "b7ad6b7169203331"
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """A collector."""
    collector = OtlpReceiver()
    yield collector
    collector.close()


def traceparent(trace_id: str) -> str:
    """As a sampled caller sends it."""
    return f"00-{trace_id}-{CALLER_SPAN_ID}-01"


def named(spans: list[ReceivedSpan], name: str, instance: str) -> ReceivedSpan:
    """The one span with that name of that instance."""
    (span,) = (span for span in spans if span.name == name and span.instance == instance)
    return span


async def test_one_sampled_send_is_one_trace_across_two_instances(sqlite_instances: Instances, receiver: OtlpReceiver) -> None:
    """An SRE sees in one picture where a message spent its time: at the store, in Redis, behind a gap.

    A send that is not sampled leaves no span at all, and a caller's garbage changes nothing.
    """
    one, two = await sqlite_instances.start(
        "one", "two", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url, OTEL_TRACES_SAMPLER_ARG="0", HOLDFAST_LOG__FORMAT="json"
    )
    c = await new_conversation(one, "alice", "bob", "carol")
    async with Chatter(one, "alice") as alice, Chatter(two, "bob") as bob, Chatter(two, "carol") as carol:
        for garbage in ("", "x" * 100_000, "00-0-0-01", traceparent(TRACE_ID)[:-1] + "0", 5, None, {"a": []}):
            assert (await alice.say(c, "not sampled", traceparent=garbage))["type"] == "ack"
        ack = await alice.say(c, "sampled", traceparent=traceparent(TRACE_ID))
        await asyncio.gather(*(each.receive("message", seq=ack["seq"]) for each in (alice, bob, carol)))
        await eventually(lambda: len(receiver.trace(TRACE_ID)) >= 5)
        await _post(one, c, {"traceparent": traceparent(REST_TRACE_ID)})
        await eventually(lambda: len(receiver.trace(REST_TRACE_ID)) >= 5)
        exposed = [(await _metrics(each, OPENMETRICS)).text for each in (one, two)]

    assert {span.trace_id for span in receiver.spans} == {TRACE_ID, REST_TRACE_ID}
    spans = receiver.trace(TRACE_ID)
    receive, commit, publish = (named(spans, name, "one") for name in ("receive", "commit", "publish"))
    near, far = named(spans, "deliver", "one"), named(spans, "deliver", "two")
    assert len(spans) == 5
    assert [span.parent_id for span in (receive, commit, publish, near, far)] == [
        CALLER_SPAN_ID,
        receive.span_id,
        commit.span_id,
        commit.span_id,
        publish.span_id,
    ]
    assert (commit.links, publish.links) == ((receive.span_id,), (commit.span_id,))
    assert all(span.attributes["holdfast.conversation_id"] == c for span in spans)
    assert all(span.began_ns <= span.ended_ns for span in spans)
    assert receive.began_ns <= commit.began_ns <= publish.began_ns
    assert (receive.attributes["holdfast.via"], receive.attributes["holdfast.outcome"]) == ("websocket", "acknowledged")
    assert (near.attributes["holdfast.path"], near.attributes["holdfast.recipients"]) == ("local", 1)
    assert (far.attributes["holdfast.path"], far.attributes["holdfast.recipients"]) == ("bus", 2)
    assert near.attributes["holdfast.held_seconds"] >= 0
    assert receive.service["service.name"] == "holdfast"
    assert named(receiver.trace(REST_TRACE_ID), "receive", "one").attributes["holdfast.via"] == "rest"
    assert _exemplars(exposed[0], "holdfast_commit_latency_seconds") <= {TRACE_ID, REST_TRACE_ID}
    assert _exemplars(exposed[0], "holdfast_commit_latency_seconds")
    assert _exemplars(exposed[1], "holdfast_delivery_latency_seconds")


async def test_metrics_are_openmetrics_where_asked_for_and_text_otherwise(sqlite_instances: Instances) -> None:
    """Prometheus asks for OpenMetrics and gets exemplars; a person with curl, and tools of before, get the text.

    A collector that cannot be reached changes nothing for clients, and is seen in the metrics.
    """
    (one,) = await sqlite_instances.start("one", OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="http://127.0.0.1:1/v1/traces")
    c = await new_conversation(one, "alice", "bob")
    async with Chatter(one, "alice") as alice:
        await alice.say(c, "hello")
    asked, plain = [await _metrics(one, accept) for accept in (OPENMETRICS, "*/*")]
    assert asked.headers["content-type"].startswith("application/openmetrics-text")
    families = {family.name: family for family in text_string_to_metric_families(asked.text)}
    assert asked.text.endswith("# EOF\n")
    assert families["holdfast_commit_latency_seconds"].type == "histogram"
    assert plain.headers["content-type"].startswith("text/plain")
    assert "# {" not in plain.text
    assert "_created" not in asked.text + plain.text
    assert one.stop() == 0


def _exemplars(text: str, name: str) -> set[str]:
    """The traces that the buckets of a histogram name."""
    (family,) = (family for family in text_string_to_metric_families(text) if family.name == name)
    return {sample.exemplar.labels["trace_id"] for sample in family.samples if sample.exemplar is not None}


async def _metrics(instance: Serving, accept: str) -> httpx.Response:
    async with httpx.AsyncClient(verify=False) as client:
        return (await client.get(f"{instance.internal_url}/metrics", headers={"Accept": accept})).raise_for_status()


async def _post(instance: Serving, conversation_id: str, headers: dict[str, str]) -> None:
    async with httpx.AsyncClient(verify=False, headers={"Authorization": f"Bearer {token('alice')}"} | headers) as client:
        call = {"client_message_id": "by-rest", "body": "hello"}
        answer = await client.post(f"{instance.url}/api/conversations/{conversation_id}/messages", json=call)
        assert answer.status_code == 201
