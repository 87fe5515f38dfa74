"""Presence compared with the connections here: stale entries are removed, missing ones restored, and other users are not
touched."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.domain.ids import UserId
from holdfast.errors import StoreTimeout
from holdfast.node.cluster.store_clock import StoreClock
from holdfast.node.connections.hub import Hub
from holdfast.node.recovery.presence_reconciler import AUDIT_SECONDS, PAGE, PresenceReconciler
from holdfast.node.tasks import Tasks
from holdfast.node.users.presence import Presence
from holdfast.telemetry import Telemetry
from support.fake_cluster import FakeBus
from support.fakes import FakeDelivery, FakeStore, connection
from support.identities import identity_of
from support.supervised import supervised
from support.virtual_time import LoopClock, in_virtual_time, passed, settled

ENTRY, GRACE = "one:1", 15.0
ALICE, BOB, CAROL = UserId("alice"), UserId("bob"), UserId("carol")


class Scene:
    """The presence of instance `one`, and its reconciler."""

    def __init__(self) -> None:
        self.store, self.hub, self.clock = FakeStore(), Hub(Telemetry("test")), LoopClock()
        self.identity = identity_of()
        store_clock, tasks = StoreClock(self.clock), Tasks()
        self.presence = Presence(
            self.store,  # type: ignore[arg-type]  # the part it uses
            FakeBus(),
            self.hub,
            FakeDelivery(),  # type: ignore[arg-type]  # the part it uses
            SimpleNamespace(receive=lambda _: None),  # type: ignore[arg-type]  # the part it uses
            self.clock,
            store_clock,
            tasks,
            self.identity,
            grace_seconds=GRACE,
            indicator_members=100,
            on_offline=lambda _: None,
        )
        self.reconciler = PresenceReconciler(self.store, self.presence, self.clock, store_clock, self.identity)  # type: ignore[arg-type]  # the part it uses

    async def come(self, *user_ids: UserId) -> list[Any]:
        """They connect."""
        made = [connection(user_id) for user_id in user_ids]
        for each in made:
            self.hub.add(each)
            self.presence.expect(each.user_id)
        await asyncio.gather(*(self.presence.arrived(user_id, self.clock.monotonic()) for user_id in user_ids))
        return made

    def go(self, made: Any) -> None:
        """Its user's last connection ends."""
        self.hub.remove(made)
        self.presence.left(made.user_id)

    async def look(self) -> None:
        """One look of the reconciler, and what it writes."""
        await self.reconciler.look()
        await settled()


@in_virtual_time
async def test_an_entry_that_stayed_is_taken_out() -> None:
    """Its user would count as online until this process ends, and would never be notified."""
    scene = Scene()
    await scene.come(ALICE)
    scene.store.on[BOB] = {ENTRY}
    scene.store.on[CAROL] = {ENTRY, "two:1"}
    await scene.look()
    assert (scene.store.on[ALICE], scene.store.on[BOB], scene.store.on[CAROL]) == ({ENTRY}, set(), {"two:1"})


@in_virtual_time
async def test_an_entry_that_is_missing_comes_back() -> None:
    """Its user would be called offline, and be notified of everything that they read here."""
    scene = Scene()
    await scene.come(ALICE, BOB)
    scene.store.on[ALICE].clear()
    await scene.look()
    assert (scene.store.on[ALICE], scene.store.on[BOB]) == ({ENTRY}, {ENTRY})
    assert scene.store.calls["add_presence"] == 2


@in_virtual_time
async def test_the_grace_and_what_is_under_way_are_respected() -> None:
    """A user who has just left may come back; a user who is just connecting is written already."""
    scene = Scene()
    (gone,) = await scene.come(ALICE)
    scene.go(gone)
    adding = scene.store.hold("add_presence")
    coming = asyncio.create_task(scene.come(BOB))
    await settled()
    await scene.reconciler.look()
    assert scene.store.calls["remove_presence"] == 0
    adding.set()
    await coming
    assert (scene.store.on[ALICE], scene.store.on[BOB]) == ({ENTRY}, {ENTRY})
    assert scene.store.calls["add_presence"] == 2


@in_virtual_time
async def test_all_pages_are_read_slowly() -> None:
    """A full instance is 100 pages: all at once they would be a storm of reads."""
    scene = Scene()
    users = [UserId(f"user-{number:04d}") for number in range(2 * PAGE + 10)]
    await scene.come(*users)
    scene.store.on[UserId("user-9999")] = {ENTRY}
    scene.store.on[users[0]].clear()
    looking = asyncio.create_task(scene.reconciler.look())
    await settled()
    assert scene.store.calls["users_on"] == 1
    await looking
    await settled()
    assert scene.store.calls["users_on"] == 4
    assert scene.store.on[users[0]] == {ENTRY}
    assert not scene.store.on[UserId("user-9999")]


@in_virtual_time
async def test_it_looks_every_ten_minutes_and_survives_an_outage() -> None:
    """A user who cannot be read now is read the next time."""
    scene = Scene()
    scene.store.fail("users_on", StoreTimeout("away"))
    with pytest.raises(StoreTimeout):
        await scene.reconciler.look()
    scene.store.fail("users_on", StoreTimeout("away"))
    running = supervised(scene.reconciler.loop)
    scene.store.on[BOB] = {ENTRY}
    await passed(1.2 * AUDIT_SECONDS)
    assert scene.store.on[BOB]
    await passed(1.2 * AUDIT_SECONDS)
    assert not scene.store.on[BOB]
    running.cancel()
