"""`Bus` over a real Redis: what is said arrives, deafness is noticed, and every return is announced."""

import asyncio
import json
import logging
from functools import partial

import pytest
from redis.asyncio import Redis

from holdfast.adapters.redis.publisher import MAX_ENVELOPE_BYTES
from holdfast.domain.ids import ConversationId, InstanceId, UserId
from holdfast.errors import RedisUnavailable
from holdfast.ports import Bus, PublishedChange, PublishedCommit
from holdfast.protocol.seals import Seals
from support.eventually import eventually
from support.fixtures_redis import NewNode, RedisNode
from support.redis_server import RedisServer

C = ConversationId("c1")
CHANNEL = "conversation:c1"
ENVELOPE = b'{"v":1,"kind":"typing","c":"c1"}'
MARK = "c1|one|0000|1"


def confirmed(one: RedisNode) -> set[str]:
    """The channels whose subscription is confirmed."""
    return set(one.bus._listener.subscriptions.confirmed)


async def test_a_confirmed_subscription_hears_what_is_published_afterwards(redis_server: RedisServer, new_node: NewNode) -> None:
    """`subscribe` returning True is what lets a session read the store next without a hole."""
    one, two = await new_node("one").start(), await new_node("two").start()
    assert await two.bus.subscribe([CHANNEL]) is True
    one.bus.publish(CHANNEL, ENVELOPE)
    await eventually(lambda: two.ears.envelopes == [(CHANNEL, ENVELOPE)])


async def test_the_adapter_is_the_port(redis_down: RedisServer, new_node: NewNode) -> None:
    """mypy checks this assignment; the node knows the port only."""
    bus: Bus = new_node().bus
    assert bus.is_live is False


async def test_publishing_keeps_its_order(redis_server: RedisServer, new_node: NewNode) -> None:
    """One instance's envelopes arrive as they were queued: the sequencer then never waits in the healthy case."""
    one, two = await new_node("one").start(), await new_node("two").start()
    assert await two.bus.subscribe([CHANNEL])
    sent = [b'{"seq":%d}' % seq for seq in range(3000)]
    for envelope in sent:
        one.bus.publish(CHANNEL, envelope)
    await eventually(lambda: len(two.ears.envelopes) == len(sent))
    assert [payload for _, payload in two.ears.envelopes] == sent


async def test_a_channel_wanted_no_more_is_silent(redis_server: RedisServer, new_node: NewNode) -> None:
    """Also when it was wanted, unwanted and wanted again in one breath, as a quick reconnect does."""
    one = await new_node("one").start()
    assert await one.bus.subscribe([CHANNEL, "conversation:c2"])
    one.bus.unsubscribe([CHANNEL])
    one.bus.publish(CHANNEL, ENVELOPE)
    one.bus.publish("conversation:c2", b"end")
    await eventually(lambda: one.ears.envelopes == [("conversation:c2", b"end")])
    again = asyncio.ensure_future(one.bus.subscribe([CHANNEL]))
    await asyncio.sleep(0)
    one.bus.unsubscribe([CHANNEL])
    assert await again is False
    assert await one.bus.subscribe([CHANNEL]) is True
    one.bus.publish(CHANNEL, ENVELOPE)
    await eventually(lambda: one.ears.envelopes[1:] == [(CHANNEL, ENVELOPE)])


async def test_it_proves_itself_live_by_its_own_echo(redis_server: RedisServer, new_node: NewNode) -> None:
    """Liveness is heard, not assumed; the echoes themselves never reach the node, other control messages do."""
    one, two = await new_node("one").start(), await new_node("two").start()
    await eventually(lambda: one.bus.is_live)
    assert one.ears.liveness[0] == (True, "")
    two.bus.publish("control:one", b'{"v":1,"kind":"hello"}')
    await eventually(lambda: one.ears.envelopes)
    await eventually(lambda: one.bus.pipeline.counters.sent >= 4)
    assert one.ears.envelopes == [("control:one", b'{"v":1,"kind":"hello"}')]
    assert len(one.ears.liveness) == 1


async def test_ordinary_subscribing_does_not_cost_liveness(redis_server: RedisServer, new_node: NewNode) -> None:
    """A user who connects must not make the instance call itself degraded for a moment."""
    one = await new_node("one").start()
    await eventually(lambda: one.bus.is_live)
    for number in range(50):
        assert await one.bus.subscribe([f"conversation:x{number}"])
    assert one.ears.liveness == [(True, "")]


async def test_without_redis_it_starts_and_catches_up_later(redis_down: RedisServer, new_node: NewNode) -> None:
    """A pod that starts during an outage serves, and is whole when Redis comes."""
    one = await new_node("one").start()
    await eventually(lambda: one.bus.counters.connections == 0 and not one.bus.is_live)
    assert await one.bus.subscribe([CHANNEL, "user:u1"]) is False
    assert confirmed(one) == set()
    assert await one.marks.mark_dirty(MARK) is False
    assert await one.recent_messages.recent(C, 0, "store-1") == []
    assert await one.marks.claim_dirty(0, 1, 10) == []
    await redis_down.start()
    await eventually(lambda: one.ears.subscribed == 1 and one.bus.is_live, within=8.0)
    assert confirmed(one) == {CHANNEL, "user:u1", "control:one"}
    one.bus.publish(CHANNEL, ENVELOPE)
    await eventually(lambda: (CHANNEL, ENVELOPE) in one.ears.envelopes)


async def test_a_restarted_redis_is_subscribed_again_and_announced(redis_server: RedisServer, new_node: NewNode) -> None:
    """kill -9: what was said meanwhile is lost, so every return must lead to a comparison with the store."""
    one = await new_node("one").start()
    assert await one.bus.subscribe([CHANNEL, "user:u1"])
    await eventually(lambda: one.bus.is_live and one.ears.subscribed == 1)
    redis_server.kill()
    await eventually(lambda: not one.bus.is_live and one.ears.liveness[-1][0] is False)
    assert one.ears.liveness[-1][1]
    assert await one.bus.subscribe(["conversation:late"]) is False
    await redis_server.start()
    await eventually(lambda: one.ears.subscribed == 2 and one.bus.is_live, within=8.0)
    assert confirmed(one) == {CHANNEL, "user:u1", "control:one", "conversation:late"}
    one.bus.publish_commit(PublishedCommit(C, 1, [b"m1"], ENVELOPE, "store-1"))
    await eventually(lambda: (CHANNEL, ENVELOPE) in one.ears.envelopes)


async def test_a_killed_subscription_connection_is_noticed_though_publishing_works(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """`CLIENT KILL TYPE pubsub`, over and over: each return is announced."""
    one = await new_node("one").start()
    for times in (1, 2, 3):
        await eventually(partial(_is_announced, one, times), within=8.0)
        await redis_admin.client_kill_filter(_type="pubsub")
    await eventually(partial(_is_announced, one, 4), within=8.0)


def _is_announced(node: RedisNode, times: int) -> bool:
    return node.ears.subscribed == times and node.bus.is_live


async def test_a_publishing_connection_that_ended_while_idle_costs_nothing(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """`CLIENT KILL TYPE normal`: what is known to be closed is replaced before the next envelope is written to it."""
    one = await new_node("one").start()
    assert await one.bus.subscribe([CHANNEL])
    await eventually(lambda: one.bus.is_live)
    wire = one.bus.pipeline._wire
    assert wire is not None
    await redis_admin.client_kill_filter(_type="normal", skipme=True)
    await eventually(lambda: wire.has_ended)
    one.bus.publish(CHANNEL, ENVELOPE)
    await eventually(lambda: (CHANNEL, ENVELOPE) in one.ears.envelopes)
    assert one.bus.pipeline.counters.dropped_away == 0
    assert one.ears.liveness == [(True, "")]


async def test_a_failed_publish_ends_liveness_at_once_and_is_not_repeated(
    redis_server: RedisServer, new_node: NewNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it went out is not known: repeating it could say it twice, and waiting for the watchdog would be late."""
    one = await new_node("one").start()
    assert await one.bus.subscribe([CHANNEL])
    await eventually(lambda: one.bus.is_live)
    monkeypatch.setattr(one.bus.pipeline._wire, "send", _reset)
    one.bus.publish(CHANNEL, b"lost")
    await eventually(lambda: len(one.ears.liveness) > 1)
    assert one.ears.liveness[1] == (False, "publishing failed: reset")
    await eventually(lambda: one.bus.is_live, within=8.0)
    one.bus.publish(CHANNEL, ENVELOPE)
    await eventually(lambda: one.ears.envelopes == [(CHANNEL, ENVELOPE)])
    assert one.bus.counters.connections == 1


def _reset(_data: bytes) -> None:
    raise RedisUnavailable("reset")


async def test_a_hung_redis_is_noticed_by_the_echo(redis_server: RedisServer, new_node: NewNode) -> None:
    """SIGSTOP leaves the connection open: only silence tells. Afterwards everything is subscribed anew and announced."""
    one = await new_node("one", timeout_seconds=0.5).start()
    assert await one.bus.subscribe([CHANNEL])
    await eventually(lambda: one.bus.is_live and one.ears.subscribed == 1)
    redis_server.freeze()
    await eventually(lambda: one.ears.liveness[-1][0] is False, within=4.0)
    await eventually(lambda: one.bus.counters.deaf == 1, within=4.0)
    redis_server.thaw()
    await eventually(lambda: one.bus.is_live and one.ears.subscribed == 2, within=8.0)
    one.bus.publish(CHANNEL, ENVELOPE)
    await eventually(lambda: (CHANNEL, ENVELOPE) in one.ears.envelopes)


async def test_a_handler_that_fails_does_not_end_the_bus(
    redis_server: RedisServer, new_node: NewNode, caplog: pytest.LogCaptureFixture
) -> None:
    """One poisonous envelope must not cost all the others."""
    caplog.set_level(logging.CRITICAL, logger="holdfast.redis")
    one = new_node("one")
    heard: list[bytes] = []

    def on_envelope(_channel: str, payload: bytes) -> None:
        heard.append(payload)
        json.loads(payload)

    def on_subscribed() -> None:
        raise RuntimeError("the owner's mistake")

    await one.bus.start(one.loops(), on_envelope, on_subscribed, one.ears.on_liveness)
    assert await one.bus.subscribe([CHANNEL])
    for payload in (b"{", b"{}"):
        one.bus.publish(CHANNEL, payload)
    await eventually(lambda: heard == [b"{", b"{}"])
    assert one.bus.counters.failed_calls == 2
    assert one.bus.counters.connections == 1


async def test_envelopes_beyond_a_mebibyte_are_neither_sent_nor_heard(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """A bound on what one publisher can make all others hold; an instance that misses it reads the store."""
    one = await new_node("one").start()
    assert await one.bus.subscribe([CHANNEL])
    one.bus.publish(CHANNEL, b"x" * (MAX_ENVELOPE_BYTES + 1))
    assert one.bus.counters.too_large == 1
    await redis_admin.publish(CHANNEL, "x" * (MAX_ENVELOPE_BYTES + 1))
    one.bus.publish(CHANNEL, b"x" * MAX_ENVELOPE_BYTES)
    await eventually(lambda: [len(payload) for _, payload in one.ears.envelopes] == [MAX_ENVELOPE_BYTES])
    assert one.bus.counters.too_large == 2


async def test_what_the_full_queue_refuses_is_counted(redis_server: RedisServer, new_node: NewNode) -> None:
    """The queue is bounded: publishing faster than Redis takes it drops, and says so."""
    one = await new_node("one").start()
    for _ in range(10_500):
        one.bus.publish(CHANNEL, ENVELOPE)
    assert one.bus.pipeline.counters.dropped_full == 500
    await eventually(lambda: one.bus.pipeline.counters.sent >= 10_000)


async def test_the_set_of_subscriptions_is_exact(redis_server: RedisServer, new_node: NewNode, redis_admin: Redis) -> None:
    """`SMEMBERS subscriptions:one` is what an operator is told to look at; users' entries belong to registration."""
    one = await new_node("one").start()
    assert await one.bus.subscribe([CHANNEL, "conversation:c2", "user:u1"])
    one.bus.unsubscribe(["conversation:c2"])

    async def recorded(*expected: str) -> bool:
        return bool(await redis_admin.smembers("subscriptions:one") == set(expected))

    await eventually(lambda: recorded("control:one", CHANNEL))
    assert 0 < await redis_admin.pttl("subscriptions:one") <= 3_600_000
    await eventually(lambda: one.bus.is_live)
    await redis_admin.flushall()
    await redis_admin.sadd("subscriptions:one", "conversation:stale", "user:u9")
    one.bus.record_channels()
    await eventually(lambda: recorded("control:one", CHANNEL, "user:u9"))
    await redis_server.restart()
    await eventually(lambda: recorded("control:one", CHANNEL), within=8.0)


async def test_an_entry_lost_with_the_publishing_connection_is_written_again(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dropped call is never sent twice, so the SET is compared afterwards: it must not be wrong until the next restart."""
    one = await new_node("one").start()
    assert await one.bus.subscribe([CHANNEL])
    await eventually(lambda: one.bus.is_live)
    await eventually(lambda: not one.bus._must_record)
    await eventually(lambda: _members_are(redis_admin, {"control:one", CHANNEL}))
    monkeypatch.setattr(one.bus.pipeline._wire, "send", _reset)
    one.bus.unsubscribe([CHANNEL])
    await eventually(lambda: one.bus.pipeline.counters.dropped_away == 1)
    await eventually(lambda: _members_are(redis_admin, {"control:one"}), within=8.0)
    assert one.ears.subscribed == 1


async def _members_are(redis_admin: Redis, expected: set[str]) -> bool:
    return bool(await redis_admin.smembers("subscriptions:one") == expected)


async def test_ten_thousand_channels_are_confirmed_in_chunks_users_first(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """After a restart connected users get their own news before the long tail of conversations is done."""
    one = new_node("one")
    await one.start()
    conversations = [f"conversation:c{number}" for number in range(10_000)]
    users = [f"user:u{number}" for number in range(100)]
    await one.bus.subscribe([*conversations, *users])
    await eventually(lambda: len(confirmed(one)) == 10_101)
    await redis_server.restart()
    await eventually(lambda: one.ears.subscribed == 2)
    assert confirmed(one) == {*conversations, *users, "control:one"}
    await eventually(lambda: _has_members(redis_admin, 10_001))


async def _has_members(redis_admin: Redis, count: int) -> bool:
    return bool(await redis_admin.scard("subscriptions:one") == count)


async def test_closing_sends_what_is_queued(redis_server: RedisServer, new_node: NewNode) -> None:
    """The last words of a draining instance are heard."""
    one, two = await new_node("one").start(), await new_node("two").start()
    assert await two.bus.subscribe([CHANNEL])
    for number in range(1000):
        one.bus.publish(CHANNEL, b"%d" % number)
    await one.bus.close()
    await eventually(lambda: len(two.ears.envelopes) == 1000)


async def test_a_second_process_under_the_same_id_is_noticed(redis_server: RedisServer, new_node: NewNode) -> None:
    """Its echoes come over the same control channel and are not ours: they prove nothing, and are counted."""
    first, second = await new_node("one").start(), await new_node("one").start()
    await eventually(lambda: first.bus.counters.foreign_echoes and second.bus.counters.foreign_echoes, within=4.0)
    assert first.ears.envelopes == []


async def test_a_renamed_bus_leaves_the_set_of_its_old_name_to_the_other_process(
    redis_server: RedisServer, new_node: NewNode, redis_admin: Redis
) -> None:
    """Both wrote into one SET until the older yielded; then each has exactly its own channels in its own."""
    older, younger = await new_node("one").start(), await new_node("one").start()
    assert await younger.bus.subscribe(["conversation:c2"])
    assert await older.bus.subscribe(["conversation:c1", "conversation:c2"])
    await eventually(lambda: older.bus.is_live and younger.bus.is_live, within=4.0)
    older.bus.unsubscribe(["conversation:c2"])  # takes away what the younger one put there
    older.bus.rename(InstanceId("one.1"))
    older.bus.record_channels()
    expected = {
        "subscriptions:one": {"control:one", "conversation:c2"},
        "subscriptions:one.1": {"control:one.1", "conversation:c1"},
    }
    for key, channels in expected.items():
        await eventually(partial(_holds, redis_admin, key, channels), within=4.0)
    counted = older.bus.counters.foreign_echoes
    await asyncio.sleep(1.5)  # an echo goes out each second: nothing but its absence can be waited for
    assert (older.bus.counters.foreign_echoes, older.bus.is_live) == (counted, True)


async def _holds(redis_admin: Redis, key: str, channels: set[str]) -> bool:
    return bool(await redis_admin.smembers(key) == channels)


OLD, NEW = "an-old-secret-of-at-least-32-bytes", "a-new-secret-of-at-least-32-bytes"


async def test_what_is_not_signed_is_not_heard(redis_server: RedisServer, new_node: NewNode, redis_admin: Redis) -> None:
    """The right to PUBLISH in Redis does not make a program an instance; envelopes stay readable, and are bound to their
    channel."""
    one, two = await new_node("one", seals=Seals(NEW)).start(), await new_node("two", seals=Seals(NEW)).start()
    neighbour = await new_node("evil", seals=Seals(OLD)).start()
    plain = await new_node("plain").start()
    for each in (two, plain):
        assert await each.bus.subscribe([CHANNEL, "conversation:c2"])
    await redis_admin.publish(CHANNEL, ENVELOPE)
    neighbour.bus.publish(CHANNEL, ENVELOPE)
    one.bus.publish(CHANNEL, ENVELOPE)
    await eventually(lambda: two.ears.envelopes and len(plain.ears.envelopes) == 3)
    ((channel, signed),) = two.ears.envelopes
    assert (channel, two.bus.counters.unsigned) == (CHANNEL, 2)
    document = json.loads(signed)
    assert {key: document[key] for key in ("v", "kind", "c")} == json.loads(ENVELOPE)
    assert list(document)[-2:] == ["key", "mac"]
    await redis_admin.publish("conversation:c2", signed)
    await eventually(lambda: two.bus.counters.unsigned == 3)
    one.bus.publish_commit(PublishedCommit(C, 1, [b'{"seq":1}'], ENVELOPE, "store-1"))
    await eventually(lambda: len(two.ears.envelopes) == 2)
    assert await two.recent_messages.recent(C, 0, "store-1") == [(1, b'{"seq":1}')]
    assert await two.bus.subscribe(["user:ann"])
    one.bus.publish_change(PublishedChange(C, 2, 2, ENVELOPE, [UserId("ann")], "store-1"))
    await eventually(lambda: [heard for heard, _ in two.ears.envelopes[2:]] == [CHANNEL, "user:ann"])
    assert two.bus.counters.unsigned == 3


async def test_secrets_are_rotated_without_a_gap(redis_server: RedisServer, new_node: NewNode) -> None:
    """First everybody believes the new one, then everybody signs with it; at each step all hear all."""
    before, during, after = Seals(OLD, NEW), Seals(NEW, OLD), Seals(NEW)
    for older, newer in ((Seals(OLD), before), (before, during), (during, after)):
        one, two = await new_node("one", seals=older).start(), await new_node("two", seals=newer).start()
        for each in (one, two):
            assert await each.bus.subscribe([CHANNEL])
        one.bus.publish(CHANNEL, ENVELOPE)
        two.bus.publish(CHANNEL, ENVELOPE)
        await eventually(lambda: len(one.ears.envelopes) == len(two.ears.envelopes) == 2)  # noqa: B023 - called here
        await one.close()
        await two.close()


async def test_a_password_is_used_and_a_wrong_one_is_an_absence(redis_down: RedisServer, new_node: NewNode) -> None:
    """Authentication comes from its own setting, so that the URL can be shown."""
    redis_down.options = ("--requirepass", "s3cret")
    await redis_down.start()
    right, wrong = await new_node("one", password="s3cret").start(), await new_node("two", password="wrong").start()
    await eventually(lambda: right.bus.is_live)
    await right.mark(MARK)
    assert await wrong.marks.mark_dirty(MARK) is False
    assert wrong.bus.is_live is False
