"""Each background loop of an instance survives what its step raises, counts it, and shows in health while it lasts."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.conversations import Membership
from holdfast.domain.ids import ConversationId, Epoch, InstanceId, RunId, UserId
from holdfast.domain.presence import PresenceChange
from holdfast.telemetry import LOOPS, Telemetry
from support.fakes import connection, conversation
from support.node_scene import NodeScene
from support.virtual_time import in_virtual_time, passed

# Of each loop: what its step calls every time, as (part of the scene, attribute).
_CALLED = {
    "audit": ("node.users.presence", "certain"),
    "bulletins_read": ("node.cluster.peers", "note"),
    "bulletins_write": ("store", "write_bulletin"),
    "catch_ups": ("store", "catch_ups"),
    "heartbeats": ("node.cluster.peers", "look"),
    "lease": ("registry", "renew"),
    "peers": ("node.cluster.peers", "to_read"),
    "pushing": ("store", "claim_notifications"),
    "reaper": ("registry", "instances"),
    "revocations": ("store", "read_revocations"),
    "rosters": ("cache", "new_era"),
    "slow_tick": ("node.users.presence", "tick"),
    "stored_marks": ("store", "read_marks"),
    "sweep": ("bus", "claim_dirty"),
    "tick": ("node.conversations.delivery", "tick"),
}
_PERIODS = {"audit": 700.0, "stored_marks": 30.0, "catch_ups": 20.0, "pushing": 20.0, "lease": 5.0, "bulletins_write": 5.0}


class Fault:
    """What a loop calls, broken until `mend`."""

    def __init__(self, scene: NodeScene, loop: str) -> None:
        path, self._name = _CALLED[loop]
        self._part: Any = scene
        for each in path.split("."):
            self._part = getattr(self._part, each)
        self._sound: Callable[..., Any] = getattr(self._part, self._name)
        self.calls = 0
        setattr(self._part, self._name, self._fail)

    def _fail(self, *_: Any, **__: Any) -> None:
        self.calls += 1
        raise ValueError("no step expects this")

    def mend(self) -> None:
        """As it was."""
        setattr(self._part, self._name, self._sound)


def _started(scene: NodeScene, loop: str) -> None:
    if loop == "rosters":
        scene.node.cluster.redis_trust.losses.note_uncertain_write()  # else there is nothing to do


@pytest.mark.parametrize("loop", sorted(_CALLED))
def test_a_loop_goes_on_after_a_mistake_and_counts_it(loop: str) -> None:
    """One exception in a step used to end the loop until the next start of the process."""

    @in_virtual_time
    async def scenario() -> None:
        scene = NodeScene()
        await scene.start()
        await passed(15)
        fault = Fault(scene, loop)
        _started(scene, loop)
        await passed(_PERIODS.get(loop, 5.0))
        assert fault.calls >= 1
        assert scene.failures(loop) == fault.calls
        fault.mend()
        await passed(_PERIODS.get(loop, 10.0))
        counted = scene.failures(loop)
        assert scene.node.health.conditions["LoopsRunning"].status
        await passed(60)
        assert scene.failures(loop) == counted
        assert scene.node.health.state == "healthy"
        await scene.close()

    scenario()


@pytest.mark.parametrize("loop", sorted(set(_CALLED) - {"audit"}))
def test_a_loop_that_fails_for_long_is_named_by_health_and_recovers(loop: str) -> None:
    """An operator sees which loop it is; a vital one fails liveness, because a restart may help once it has lasted."""
    is_vital = loop in ("bulletins_write", "lease", "tick", "slow_tick")

    @in_virtual_time
    async def scenario() -> None:
        scene = NodeScene()
        await scene.start()
        await passed(15)
        health = scene.node.health
        assert health.state == "healthy"
        fault = Fault(scene, loop)
        _started(scene, loop)
        patience = max(30.0, 10 * _period_of(scene, loop))
        await passed(patience - 10)
        assert health.is_live
        await passed(10 + 2 * _PERIODS.get(loop, 5.0))
        condition = health.conditions["LoopsRunning"]
        assert not condition.status
        assert loop in condition.reason
        assert "ValueError" in condition.message
        assert health.state == ("unhealthy" if is_vital and patience >= 60 else "degraded")
        await passed(60)
        assert health.is_live is not is_vital
        assert health.state == ("unhealthy" if is_vital else "degraded")
        fault.mend()
        await passed(20)
        assert health.is_live
        assert health.conditions["LoopsRunning"].status
        assert health.state == "healthy"
        await scene.close()

    scenario()


def _period_of(scene: NodeScene, loop: str) -> float:
    return scene.node.loops._runs[loop].loop.period_seconds


@in_virtual_time
async def test_every_loop_of_a_node_is_broken_by_these_tests() -> None:
    """A loop that is added without its tooth fails here."""
    scene = NodeScene()
    await scene.start()
    await passed(1)
    assert set(scene.node.loops._runs) == set(_CALLED)
    await scene.close()


def test_every_loop_has_its_label_before_anything_fails() -> None:
    """An alert on the rate needs the zero."""
    registry = Telemetry("test").registry
    assert all(registry.get_sample_value("holdfast_loop_failures_total", {"loop": name}) == 0.0 for name in LOOPS)


@in_virtual_time
async def test_a_loop_whose_dependency_is_away_is_not_held_to_have_failed() -> None:
    """An outage of the store has a condition of its own, and no restart ends it."""
    scene = NodeScene()
    await scene.start()
    await passed(15)
    fault = Fault(scene, "catch_ups")
    scene.dependencies[0].succeeded = lambda latency_seconds: None  # type: ignore[method-assign]  # the outage
    scene.dependencies[0].failed("away", is_timeout=False)
    await passed(400)
    assert fault.calls > 0
    assert scene.node.health.is_live
    assert scene.node.health.conditions["LoopsRunning"].status
    await scene.close()


@in_virtual_time
async def test_one_user_who_cannot_be_written_does_not_keep_the_others_from_being_present() -> None:
    """The writer ended with the first failure; callers that waited for it waited for ever."""
    scene = NodeScene()
    await scene.start()
    add = scene.store.add_presence

    async def picky(entry: str, seen_at_ms: Mapping[UserId, int]) -> list[PresenceChange]:
        if UserId("odd") in seen_at_ms:
            raise TypeError("no such user was expected")
        return await add(entry, seen_at_ms)

    scene.store.add_presence = picky  # type: ignore[method-assign]  # the mistake
    users = [UserId(name) for name in ("ann", "odd", "ben")]
    await asyncio.wait_for(asyncio.gather(*(scene.node.users.presence.arrived(user, 0.0) for user in users)), 20)
    assert {user for user, on in scene.store.on.items() if on} == {"ann", "ben"}
    assert scene.failures("presence") >= 2
    await scene.close()


@in_virtual_time
async def test_a_client_whose_opening_meets_a_mistake_is_let_go() -> None:
    """It would wait for its `synced` for ever, on a socket that stays open."""
    scene = NodeScene()
    await scene.start()

    async def broken(user_id: UserId) -> list[Membership]:
        raise TypeError("no such row was expected")

    scene.store.memberships_of = broken  # type: ignore[method-assign]  # the mistake
    device = connection("ann")
    scene.node.connecting.open(device)
    await passed(2)
    assert device.transport.closed == (1011, "internal_error")  # type: ignore[attr-defined]  # the fake's
    assert scene.failures("connecting") == 1
    await scene.close()


@in_virtual_time
async def test_an_instance_that_stood_still_forgets_the_silence_of_others() -> None:
    """It did not look meanwhile: all runs would look dead to an instance that counts such a time as silence."""
    scene = NodeScene()
    await scene.start()
    await passed(15)
    scene.store._put(Bulletin(InstanceId("two"), Epoch("7"), 1, "ok"))
    scene.registry.lease("two", "7")  # else it would be dead soon
    await passed(20.02)  # between two ticks
    seen = scene.node.recovery.reaper._deaths._seen
    assert "two:7" in seen
    scene.freeze(5.0)
    thawed = asyncio.get_running_loop().time()
    await passed(30)
    seen = scene.node.recovery.reaper._deaths._seen
    assert seen[RunId("two:7")].since >= thawed
    await scene.close()


@in_virtual_time
async def test_conversations_that_were_cached_are_not_believed_when_redis_is_trusted_again() -> None:
    """A title that another instance changed meanwhile stands in no bulletin. The bulletins are read at once and 4 s later."""
    scene = NodeScene()
    await scene.start()
    await passed(20)
    node = scene.node
    node.conversations.cache.keep(conversation("c1", "ann"))
    reads = scene.store.calls["read_bulletins"]
    node.on_heard_again()
    assert node.conversations.cache.peek(ConversationId("c1")) is None
    await passed(6)
    assert scene.store.calls["read_bulletins"] >= reads + 2
    await scene.close()
