"""A run that was declared dead, and completed, comes back: it leaves no user online when it ends."""

import asyncio
from collections.abc import Mapping

import pytest

from holdfast.domain.ids import UserId
from holdfast.domain.presence import PresenceChange
from holdfast.errors import StoreTimeout
from holdfast.node.users.presence import Presence
from support.altered import ALTERATIONS
from support.node_scene import NodeScene
from support.virtual_time import in_virtual_time, passed, settled

ANN = UserId("ann")


def _stand_still(scene: NodeScene, seconds: float) -> None:
    """Meanwhile the run is declared dead, and its bulletin goes."""
    scene.store.bulletins.clear()
    scene.store.stamp_ms += int(seconds * 1000)
    scene.freeze(seconds)


async def _come_back(scene: NodeScene, after_seconds: float) -> None:
    """The run stood still, its bulletin is gone, and a user whose connection waited is written before it hears of that."""
    await scene.start()
    await passed(15.02)
    _stand_still(scene, after_seconds)
    await scene.node.users.presence.arrived(ANN, 0.0)
    await asyncio.wait_for(scene.node.ended(), 10.0)


@pytest.mark.parametrize("is_away", [False, True], ids=["store answers", "store is away for a moment"])
def test_user_whom_a_completed_run_added_is_taken_out_at_its_end(*, is_away: bool) -> None:
    """The other instances look no more: the user would be online for ever, and never be notified."""

    @in_virtual_time
    async def scenario() -> None:
        scene = NodeScene()
        await _come_back(scene, 90.0)
        assert scene.store.on[ANN]
        if is_away:
            scene.store.fail("users_on", *[StoreTimeout("away")] * 2)
        await scene.close()
        assert not scene.store.on[ANN]

    scenario()


@in_virtual_time
async def test_addition_that_is_under_way_is_waited_for() -> None:
    """It would be stored after the users were looked for."""
    scene = NodeScene()
    await scene.start()
    await passed(15.02)
    _stand_still(scene, 90.0)
    adding, add = scene.store.hold("add_presence"), scene.store.add_presence

    async def add_whoever_waits(entry: str, seen_at_ms: Mapping[UserId, int]) -> list[PresenceChange]:
        return await asyncio.shield(asyncio.ensure_future(add(entry, seen_at_ms)))

    scene.store.add_presence = add_whoever_waits  # type: ignore[method-assign]  # a write lands although its caller was cancelled
    coming = asyncio.create_task(scene.node.users.presence.arrived(ANN, 0.0))
    await asyncio.wait_for(scene.node.ended(), 10.0)
    closing = asyncio.create_task(scene.close())
    await passed(1.0)
    adding.set()
    await closing
    await settled()
    assert not scene.store.on[ANN]
    coming.cancel()


@in_virtual_time
async def test_store_that_stays_away_does_not_keep_the_run_from_ending() -> None:
    """The next run has to begin: its clients wait."""
    scene = NodeScene()
    await _come_back(scene, 90.0)
    scene.store.fail("users_on", *[StoreTimeout("away")] * 100)
    began = asyncio.get_running_loop().time()
    await scene.close()
    assert asyncio.get_running_loop().time() - began < 15.0


@in_virtual_time
async def test_users_within_their_grace_are_left_to_the_other_instances() -> None:
    """They come back at once, to the next run: no other user must see them offline meanwhile."""
    scene = NodeScene()
    await _come_back(scene, 10.0)
    await scene.close()
    assert scene.store.on[ANN]


async def _user_who_comes_after_the_death() -> set[str]:
    """Where a user is present at last who connects after the run knows of its death. The store takes 4 s for an addition."""
    scene = NodeScene()
    await scene.start()
    await passed(15.02)
    _stand_still(scene, 90.0)
    await asyncio.wait_for(scene.node.ended(), 10.0)
    add = scene.store.add_presence

    async def add_slowly(entry: str, seen_at_ms: Mapping[UserId, int]) -> list[PresenceChange]:
        async def land() -> list[PresenceChange]:
            await asyncio.sleep(4.0)
            return await add(entry, seen_at_ms)

        return await asyncio.shield(asyncio.ensure_future(land()))  # it lands although its caller was cancelled

    scene.store.add_presence = add_slowly  # type: ignore[method-assign]  # a slow store
    coming = asyncio.create_task(scene.node.users.presence.arrived(ANN, 0.0))
    await scene.close()
    await passed(10.0)
    coming.cancel()
    return scene.store.on[ANN]


@in_virtual_time
async def test_user_who_comes_after_the_run_knows_of_its_death_is_not_added() -> None:
    """A slow addition would land after the run has looked for its users, and no instance would look again."""
    assert not await _user_who_comes_after_the_death()


@pytest.mark.long
def test_run_that_adds_users_after_it_knows_of_its_death_leaves_one_online(monkeypatch: pytest.MonkeyPatch) -> None:
    """The alteration that the test before this one notices."""
    name = "_still_wanted"
    monkeypatch.setattr(Presence, name, getattr(Presence, name))  # as it is: put back at the end
    ALTERATIONS["adds_after_death"]()

    @in_virtual_time
    async def scenario() -> None:
        assert await _user_who_comes_after_the_death()

    scenario()
