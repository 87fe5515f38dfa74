"""The claim on a name: found missing, everything is registered again; without Redis no client is refused."""

import asyncio
from types import SimpleNamespace
from typing import cast

from holdfast.errors import LeaseLost, NameTaken, RedisBusy, RedisTimeout, RedisUnavailable, WorldChanged
from holdfast.node.cluster.above import Above
from holdfast.node.cluster.lease import RENEW_SECONDS, Lease
from holdfast.node.cluster.losses import Losses
from holdfast.node.connections.connection import Connection
from holdfast.node.connections.hub import Hub
from holdfast.node.foundation import Process
from holdfast.node.tasks import Tasks
from holdfast.telemetry import Telemetry
from support.fake_cluster import FakeBus, FakeRegistry
from support.fakes import connection
from support.identities import identity_of
from support.supervised import supervised
from support.virtual_time import LoopClock, in_virtual_time, passed, settled


class Scene:
    """The lease of instance `one`."""

    def __init__(self) -> None:
        self.registry, self.bus, self.hub = FakeRegistry(), FakeBus(), Hub(Telemetry("test"))
        self.moves = 0
        identity = identity_of("one", "0001")
        self.epoch = identity.epoch
        self.lease = Lease(
            self.registry,
            self.bus,
            self.hub,
            Process(identity, LoopClock(), Tasks(), Telemetry("test")),
            cast("Losses", SimpleNamespace(note_uncertain_write=self._moved)),
            cast("Above", self),
        )

    def _moved(self) -> None:
        self.moves += 1

    def state(self) -> str:
        """As the other instances are told."""
        return "healthy"

    async def run(self) -> None:
        """From here on it is held."""
        self.running = supervised(self.lease.loop)
        await settled()

    def add(self, *names: str) -> list[Connection]:
        """Accepted sockets."""
        made = [connection("alice", name) for name in names]
        for each in made:
            self.hub.add(each)
        return made


@in_virtual_time
async def test_everything_is_registered_before_it_says_so() -> None:
    """Others believe our silence about a user from then on."""
    scene = Scene()
    scene.add("c1", "c2")
    await scene.run()
    assert sorted(scene.registry.registered) == ["c1", "c2"]
    assert scene.registry.is_complete
    assert (scene.registry.acquired, scene.bus.recorded) == ([scene.epoch], 1)
    await passed(3 * RENEW_SECONDS + 0.1)
    assert scene.registry.calls["renew"] == 3


@in_virtual_time
async def test_everything_is_registered_again_for_the_same_run_when_the_lease_or_the_world_is_lost() -> None:
    """Renewing a foreign lease would hide that no connection is registered. Presence stands under the run: it stays."""
    for error in (LeaseLost("expired"), WorldChanged("flushed"), RedisUnavailable("away")):
        scene = Scene()
        scene.add("c1")
        await scene.run()
        scene.registry.registered.clear()
        scene.registry.fail("renew", error)
        if isinstance(error, RedisUnavailable):
            scene.registry.fail("unregister", error)
            scene.lease.unregister(connection("alice", "c2"))
        await passed(2 * RENEW_SECONDS)
        assert scene.registry.acquired == [scene.epoch] * 2, error
        assert sorted(scene.registry.registered) == ["c1"]
        assert scene.registry.is_complete


@in_virtual_time
async def test_a_connection_that_ends_while_all_are_registered_is_taken_out_after_that() -> None:
    """The registration and the removal travel by different connections: in the wrong order the field would stay."""
    scene = Scene()
    (one,) = scene.add("c1")
    may_register = scene.registry.hold("register")
    await scene.run()
    one.end()
    scene.lease.unregister(one)
    await settled()
    may_register.set()
    await settled()
    assert scene.registry.registered == {}


@in_virtual_time
async def test_half_a_registration_is_done_again() -> None:
    """Redis failed in the middle: the lease lives, the connections are not all in, and a renewal must not hide that."""
    for call in ("register", "set_registered"):
        scene = Scene()
        scene.add("c1")
        scene.registry.fail(call, RedisTimeout("slow"))
        await scene.run()
        await passed(2)
        assert scene.registry.is_complete, call
        assert sorted(scene.registry.registered) == ["c1"]
        assert len(scene.registry.acquired) == 2


@in_virtual_time
async def test_without_redis_nobody_waits_and_all_are_in_when_it_is_back() -> None:
    """Registering never refuses a user."""
    scene = Scene()
    scene.registry.fail("acquire", *[RedisUnavailable("away")] * 5)
    await scene.run()
    (one,) = scene.add("c1")
    assert await scene.lease.register(one) == 0
    await passed(5)
    assert sorted(scene.registry.registered) == ["c1"]


@in_virtual_time
async def test_after_a_registration_that_failed_all_are_registered_again() -> None:
    """The records in Redis differ from ours; the connection was accepted all the same."""
    scene = Scene()
    await scene.run()
    (one,) = scene.add("c1")
    scene.registry.fail("register", RedisTimeout("slow"))
    assert await scene.lease.register(one) == 0
    await passed(1)
    assert (len(scene.registry.acquired), sorted(scene.registry.registered)) == (2, ["c1"])


@in_virtual_time
async def test_calls_that_wait_for_each_other_lose_nothing() -> None:
    """Thousands of clients come back at once: to register everything again would be the next storm, at a Redis that is well."""
    scene = Scene()
    (leaving,) = scene.add("c0")
    await scene.run()
    (coming,) = scene.add("c1")
    scene.registry.fail("register", *[RedisBusy("busy")] * 3)
    scene.registry.fail("unregister", *[RedisBusy("busy")] * 3)
    scene.lease.unregister(leaving)
    await scene.lease.register(coming)
    scene.registry.fail("renew", RedisBusy("busy"))
    await passed(RENEW_SECONDS + 0.1)
    assert (scene.lease.is_held, scene.lease.is_cut) == (True, False)
    await passed(0.6)
    assert scene.registry.calls["renew"] == 2, "soon again: the lease ends after 12 s"
    assert (sorted(scene.registry.registered), len(scene.registry.acquired)) == (["c1"], 1)


@in_virtual_time
async def test_registrations_at_one_time_share_scripts_and_say_how_many_a_user_has() -> None:
    """A thousand clients that come back are two scripts, not a thousand."""
    scene = Scene()
    await scene.run()
    made = scene.add(*(f"c{number}" for number in range(700)))
    counts = await asyncio.gather(*(scene.lease.register(each) for each in made))
    assert max(counts) == 700
    assert scene.registry.calls["register"] == 2


@in_virtual_time
async def test_registrations_that_come_soon_after_a_script_share_the_next_one() -> None:
    """Redis answers within a turn of the loop: in a storm each connect would else be a script of its own. The first one waits for
    none."""
    scene = Scene()
    await scene.run()
    first, *others = scene.add(*(f"c{number}" for number in range(50)))
    assert await scene.lease.register(first) > 0
    registering = []
    for each in others:
        registering.append(scene.lease.register(each))
        await settled()
    assert min(await asyncio.gather(*registering)) > 0
    assert scene.registry.calls["register"] == 2


@in_virtual_time
async def test_a_thousand_that_leave_at_once_are_two_scripts_and_one_failure_is_one_registration() -> None:
    """They are taken out together; and where that fails, everything is registered again once, not once per connection."""
    scene = Scene()
    leaving = scene.add(*(f"c{number}" for number in range(1_000)))
    await scene.run()
    for each in leaving:
        scene.lease.unregister(each)
    await passed(0.1)
    assert (scene.registry.calls["unregister"], scene.registry.registered) == (2, {})
    scene.registry.fail("unregister", *[RedisTimeout("slow")] * 5)
    for each in leaving:
        scene.lease.unregister(each)
    await passed(1)
    assert (scene.registry.calls["unregister"], len(scene.registry.acquired)) == (3, 2)


@in_virtual_time
async def test_who_is_gone_before_its_turn_is_not_registered() -> None:
    """No instance would take it out again."""
    scene = Scene()
    await scene.run()
    (one,) = scene.add("c1")
    registering = scene.lease.register(one)
    one.end()
    scene.lease.unregister(one)
    await registering
    await settled()
    assert scene.registry.registered == {}


@in_virtual_time
async def test_of_two_processes_with_one_name_the_older_goes_on_under_another() -> None:
    """Both would steal the lease from each other for ever, or the older one's users would be registered nowhere."""
    scene = Scene()
    scene.add("c1")
    await scene.run()
    scene.registry.fail("renew", LeaseLost("foreign"))
    scene.registry.fail("acquire", NameTaken("by a younger one"))
    await passed(10)
    assert not scene.lease.identity.is_unique
    assert scene.lease.identity.instance_id == "one.0001"
    assert scene.registry.names == scene.bus.names == ["one.0001"]
    assert len(scene.registry.acquired) == 2
    assert scene.registry.registered["c1"].instance_id == "one.0001"
    assert scene.registry.is_complete


@in_virtual_time
async def test_who_yielded_keeps_its_new_name_through_a_flush() -> None:
    """It must not fight for the old one again, and its name must not grow each time."""
    scene = Scene()
    await scene.run()
    scene.registry.fail("renew", LeaseLost("foreign"))
    scene.registry.fail("acquire", NameTaken("by a younger one"))
    await passed(10)
    scene.registry.fail("renew", WorldChanged("flushed"))
    await passed(10)
    assert scene.lease.identity.instance_id == "one.0001"
    assert len(scene.registry.acquired) == 3


@in_virtual_time
async def test_a_renewal_that_failed_is_tried_again_within_a_second() -> None:
    """Until the next one succeeds, nothing in Redis is believed here: commits carry their marks, lists come from the store."""
    scene = Scene()
    await scene.run()
    scene.registry.fail("renew", RedisTimeout("slow"))
    await passed(RENEW_SECONDS + 0.1)
    assert scene.lease.is_cut
    await passed(0.9)
    assert (scene.lease.is_cut, scene.registry.calls["renew"], len(scene.registry.acquired)) == (False, 2, 1)
    await passed(RENEW_SECONDS)
    assert scene.registry.calls["renew"] == 3, "and then every three seconds again"


@in_virtual_time
async def test_a_lease_that_is_found_at_another_redis_is_told() -> None:
    """A promoted replica has it, too, and may miss what the old primary was told last."""
    scene = Scene()
    await scene.run()
    await passed(RENEW_SECONDS + 0.1)
    assert (scene.lease.server, scene.moves) == ("redis-1", 0)
    scene.registry.place = "redis-2"
    await passed(2 * RENEW_SECONDS)
    assert (scene.lease.server, scene.moves) == ("redis-2", 1)
    scene.registry.fail("renew", RedisUnavailable("away"))
    await passed(RENEW_SECONDS)
    assert (scene.lease.server, scene.lease.is_cut) == ("redis-2", True), "where it was last"
    await passed(RENEW_SECONDS)
    assert not scene.lease.is_cut
    scene.registry.fail("renew", *[RedisUnavailable("away")] * 2_000)
    await passed(700)
    assert scene.lease.server == "", "nothing is remembered any more that could be wrong"
