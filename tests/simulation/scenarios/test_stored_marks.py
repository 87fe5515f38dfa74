"""Marks that commits carried into the store without Redis, in moments when something else happens to owner or conversation."""

import asyncio
from pathlib import Path
from typing import Final

import pytest

from simulation.devices import Device
from simulation.instance import SimulatedInstance
from simulation.process import Process
from simulation.reading import store_of
from simulation.scenarios.scene import Scene, play

_JUDGED_SECONDS: Final = 5.0  # a user who was added a moment before a commit may stay without a notification
_REMOVED_SECONDS: Final = 45.0  # a scan of all marks after 30 s, and a bulletin; most are gone much earlier
_DECIDED_SECONDS: Final = 20.0  # with what follows: the checker judges notifications 45 s after a death


async def _without_redis(scene: Scene) -> Device:
    """A raw device of u1 at i1, and a client of u2 at i2, in `c0`, of which `away` is a member as well; then Redis is gone."""
    alice = await scene.connect("u1", "i1", {}, "raw")
    await scene.connect("u2", "i2", {})
    await scene.create("c0", "u2", "u1", "away", at="i3")
    await asyncio.sleep(_JUDGED_SECONDS)
    scene.cluster.redis["r1"].kill()
    await asyncio.sleep(4.0)
    return alice


async def _marks(scene: Scene) -> list[str]:
    """The ids of all marks in the store."""
    store = store_of(scene.cluster)
    await store.open()
    try:
        return [mark.mark_id for mark in (await store.read_marks("", "", 100)).marks]
    finally:
        await store.close()


async def _ended(instance: SimulatedInstance) -> None:
    """Its process is no more, drained or killed."""
    for _ in range(400):
        if not instance.is_running:
            return
        await asyncio.sleep(0.05)


async def _are_removed(scene: Scene) -> bool:
    """Whether no mark is left in the end."""
    for _ in range(int(_REMOVED_SECONDS)):
        if not await _marks(scene):
            return True
        await asyncio.sleep(1.0)
    return False


@pytest.mark.parametrize("is_killed", [False, True])
def test_mark_of_an_instance_that_drains_is_removed_by_it_or_finished_by_another(tmp_path: Path, *, is_killed: bool) -> None:
    """Its last bulletin says that it ended in order; that does not mean that its marks are done with."""

    async def work(scene: Scene) -> None:
        with scene.history.fault("redis-kill"):
            await _without_redis(scene)
            with scene.history.fault("pod-kill" if is_killed else "drain", "i1"):
                instance = scene.cluster.instances["i1"]
                draining = asyncio.create_task(instance.drain())
                await asyncio.sleep(0.1)  # virtual: the drain has begun, and is not over
                await scene.post("c0", "u1", "said while it drains", at="i1")
                assert await _marks(scene)
                if is_killed:  # what it wrote last is its last bulletin
                    scene.cluster.store.aim("i1", Process.kill, moment="before", operations=("remove_marks",))
                await _ended(instance)
                assert bool(await _marks(scene)) == is_killed
                draining.cancel()
                assert await _are_removed(scene)
            scene.cluster.redis["r1"].start()
        await asyncio.sleep(_DECIDED_SECONDS)

    assert play(work, tmp_path) == []


def test_mark_of_a_conversation_whose_members_have_left_notifies_none_of_them_and_is_removed(tmp_path: Path) -> None:
    """They are no members any more when another instance decides whom to notify."""

    async def work(scene: Scene) -> None:
        with scene.history.fault("redis-kill"):
            alice = await _without_redis(scene)
            with scene.history.fault("pod-kill", "i1"):
                scene.cluster.store.aim("i1", Process.kill, moment="before", operations=("create_notifications",))
                scene.say(alice, "c0", "for members only")
                await asyncio.sleep(1.0)
                assert await _marks(scene)
                for user in ("away", "u1"):
                    await scene.remove("c0", user, by="u2", at="i3")
                assert await _are_removed(scene)
                answer = await scene.call("away", "i3", "GET", "/api/conversations/c0/messages")
                assert not answer.is_success
            scene.cluster.redis["r1"].start()
        await asyncio.sleep(_DECIDED_SECONDS)

    assert play(work, tmp_path) == []
