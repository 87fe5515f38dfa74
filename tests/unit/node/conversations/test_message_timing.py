"""How long deliveries took, by every path, on the one clock that all instances know: the store's."""

from dataclasses import replace

import pytest

from holdfast.domain.ids import Seq
from holdfast.domain.messages import Message
from holdfast.errors import StoreTimeout
from holdfast.node.connections.encoded import encoded
from holdfast.node.sending.append import Commit
from holdfast.protocol import envelopes
from holdfast.telemetry import PATHS
from support.delivery_scene import C, Scene, delivered
from support.fakes import connection
from support.virtual_time import in_virtual_time, passed, settled

AGO_MS = 700


def test_paths_are_those_that_dashboards_know() -> None:
    """A new one has to be documented."""
    assert PATHS == ("local", "bus", "gap_fill", "poll", "replay", "again")


def known_clock() -> Scene:
    """A scene in which the store has said its time, and three seconds have passed since everything that is to be old."""
    scene = Scene()
    scene.store_clock.note(1_000_000, scene.clock.monotonic())
    return scene


def ago(scene: Scene, milliseconds: int = AGO_MS) -> int:
    """A time of the store's."""
    return scene.store_clock.now() - milliseconds


def committed(scene: Scene, *seqs: Seq) -> list[Message]:
    """Messages that the store has, and says when it got them."""
    found = [replace(delivered(seq), committed_at_ms=ago(scene)) for seq in seqs]
    scene.store.messages[C] = found
    return found


def observed(scene: Scene, path: str) -> tuple[float, float]:
    """How many observations there are, and their sum in seconds."""
    value = scene.telemetry.registry.get_sample_value
    name = "holdfast_delivery_latency_seconds"
    return value(f"{name}_count", {"path": path}) or 0.0, value(f"{name}_sum", {"path": path}) or 0.0


def unmeasured(scene: Scene, path: str) -> float:
    """How many deliveries have no observation."""
    return scene.telemetry.registry.get_sample_value("holdfast_delivery_unmeasured_total", {"path": path}) or 0.0


@in_virtual_time
async def test_the_way_over_the_bus_counts_from_the_acceptance_elsewhere() -> None:
    """How long the other instance, Redis and we kept it: the time of the store says it, not the arrival."""
    scene = known_clock()
    await scene.join("alice", "bob")
    scene.receive(1, 2, accepted_ms=[ago(scene), ago(scene, 100)])
    await settled()
    assert observed(scene, "bus") == pytest.approx((4.0, 2 * 0.7 + 2 * 0.1), abs=0.02)


@pytest.mark.parametrize("is_kept", [True, False])
def test_what_fills_a_hole_keeps_the_time_of_its_acceptance(is_kept: bool) -> None:
    """From Redis and from the store alike: the wait for the envelope that was lost is part of the delivery."""

    @in_virtual_time
    async def scenario() -> None:
        scene = known_clock()
        await scene.join("alice")
        (first,) = committed(scene, 1)
        text = encoded(first, "bus", 0.0).text
        scene.bus.kept = [(1, envelopes.kept(text, ago(scene)))] if is_kept else []
        scene.receive(2, accepted_ms=[ago(scene)])
        await scene.ticks(0.5)
        count, seconds = observed(scene, "gap_fill")
        assert (count, observed(scene, "bus")[0]) == (1.0, 1.0)
        assert 0.7 + 0.15 <= seconds < 0.7 + 0.5

    scenario()


@in_virtual_time
async def test_what_is_fetched_by_polling_counts_from_its_commit() -> None:
    """Without Redis this is the way of all messages between instances."""
    scene = known_clock()
    await scene.join("alice")
    committed(scene, 1, 2)
    await scene.delivery.gaps.catch_up(C, 2)
    await settled()
    assert observed(scene, "poll") == pytest.approx((2.0, 2 * 0.7), abs=0.02)


@in_virtual_time
async def test_what_is_published_again_counts_from_its_commit_here_and_elsewhere() -> None:
    """Its instance died before it could publish: the time until another one did is what the client waited."""
    scene = known_clock()
    await scene.join("alice")
    scene.delivery.publish_again(C, committed(scene, 1))
    await settled()
    assert observed(scene, "again") == pytest.approx((1.0, 0.7), abs=0.02)
    ((_, _, envelope),) = scene.bus.commits
    told = envelopes.decode(envelope)
    assert isinstance(told, envelopes.MessagesEnvelope)
    assert told.accepted_ms == pytest.approx([ago(scene)], abs=3)


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_replay_counts_from_the_acceptance(is_kept: bool) -> None:
    """A client that comes back waited for these since then."""

    @in_virtual_time
    async def scenario() -> None:
        scene = known_clock()
        await scene.join("alice")
        (first,) = committed(scene, 1)
        scene.bus.kept = [(1, envelopes.kept(encoded(first, "bus", 0.0).text, ago(scene)))] if is_kept else []
        bob = connection("bob")
        async for items in scene.replay.pages(bob, C, 0, 1):
            scene.delivery.timing.replayed(bob, items)
            assert [item.text for item in items] == [encoded(first, "bus", 0.0).text]
        assert observed(scene, "replay") == pytest.approx((1.0, 0.7), abs=0.02)

    scenario()


@in_virtual_time
async def test_each_message_of_a_commit_has_its_own_acceptance() -> None:
    """What waited for an append together may have begun to wait seconds apart."""
    scene = known_clock()
    await scene.join("alice")
    await passed(3.0)
    now = scene.clock.monotonic()
    scene.delivery.hand_over(Commit(C, [delivered(1), delivered(2)], now - 2, None, [], {1: now - 2, 2: now - 1}))
    await settled()
    assert observed(scene, "local") == pytest.approx((2.0, 3.0), abs=0.02)
    ((_, kept, envelope),) = scene.bus.commits
    told = envelopes.decode(envelope)
    assert isinstance(told, envelopes.MessagesEnvelope)
    assert told.accepted_ms == pytest.approx([ago(scene, 2_000), ago(scene, 1_000)], abs=3)
    assert [envelopes.taken(entry)[1] for entry in kept] == told.accepted_ms


@in_virtual_time
async def test_where_the_acceptance_is_not_known_nothing_is_observed_and_that_is_counted() -> None:
    """An instance of before, a message that an earlier attempt stored, a forged list: to say `now` would be a lie."""
    scene = known_clock()
    await scene.join("alice")
    scene.receive(1)
    scene.receive(2, accepted_ms=[0])
    scene.receive(3, accepted_ms=[1, 2, 3])
    scene.delivery.hand_over(Commit(C, [delivered(4)], scene.clock.monotonic(), None))
    await settled()
    assert (observed(scene, "bus")[0], observed(scene, "local")[0]) == (0.0, 0.0)
    assert (unmeasured(scene, "bus"), unmeasured(scene, "local")) == (3.0, 1.0)


@in_virtual_time
async def test_without_the_time_of_the_store_nothing_is_observed() -> None:
    """Before its first answer, and after a jump of our clock, two clocks would be compared that have nothing in common."""
    scene = Scene()
    await scene.join("alice")
    scene.receive(1, accepted_ms=[1_000_000])
    now = scene.clock.monotonic()
    scene.delivery.hand_over(Commit(C, [delivered(2)], now, None, [], {2: now}))
    await settled()
    assert (observed(scene, "bus")[0], unmeasured(scene, "bus")) == (0.0, 1.0)
    assert observed(scene, "local")[0] == 1.0  # one clock
    ((_, kept, envelope),) = scene.bus.commits
    told = envelopes.decode(envelope)
    assert isinstance(told, envelopes.MessagesEnvelope)
    assert (told.accepted_ms, [envelopes.taken(entry)[1] for entry in kept]) == ([0], [0])


@in_virtual_time
async def test_a_delivery_is_observed_when_its_bytes_are_at_the_sockets() -> None:
    """Time spent between the decision and the write belongs to it."""
    scene = known_clock()
    (alice,) = await scene.join("alice")
    written: list[float] = []
    alice.deliver = lambda _data: written.append(observed(scene, "bus")[0])
    scene.receive(1, accepted_ms=[ago(scene)])
    assert (written, observed(scene, "bus")[0]) == ([], 0.0)
    await settled()
    assert (written, observed(scene, "bus")[0]) == ([0.0], 1.0)


@in_virtual_time
async def test_age_of_the_oldest_hole_is_shown_while_it_is_open() -> None:
    """A message that is not delivered is observed nowhere: this grows meanwhile."""
    scene = known_clock()
    await scene.join("alice")
    committed(scene, 1)
    scene.store.fail("read_messages", *[StoreTimeout("away")] * 30)
    scene.receive(2, accepted_ms=[ago(scene)])
    await scene.ticks(1.0)
    value = scene.telemetry.registry.get_sample_value
    assert 0.9 <= (value("holdfast_oldest_gap_seconds") or 0.0) <= 1.0
    await scene.ticks(3.0)
    assert value("holdfast_oldest_gap_seconds") == 0.0
