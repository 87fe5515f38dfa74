"""An instance dies between the commit of a message and everything that follows from it."""

import asyncio
from pathlib import Path
from typing import Final

import pytest

from holdfast.drills.history import read_history
from simulation.devices import Device
from simulation.process import Process
from simulation.scenarios.scene import Scene, play

_DECIDED_SECONDS: Final = 20.0  # with what follows: the checker judges notifications 45 s after a death
_SHOWN_SECONDS: Final = 8.0  # a beat of every 3 s is late after 4 s; then its marks are looked for
_JUDGED_SECONDS: Final = 5.0  # a user who was added a moment before a commit may stay without a notification


async def _writer_beside_a_reader(scene: Scene) -> Device:
    """A device at i1 and another one at i2, in `c0`, of which `away` is a member as well."""
    alice = await scene.connect("u1", "i1", {}, "raw")
    await scene.connect("u2", "i2", {})
    await scene.create("c0", "u1", "u2", "away", at="i3")
    await asyncio.sleep(1.0)
    return alice


async def _die_at_commit(scene: Scene, alice: Device) -> None:
    """i1 commits one more message of the device, and dies with it; its sender never returns."""
    scene.kill_at_commit("i1")
    scene.say(alice, "c0", "last words")
    await asyncio.sleep(0.5)
    assert not scene.cluster.instances["i1"].is_running
    alice.crash()


def _die_soon(instance: Process) -> None:
    """50 ms from now."""
    instance.call_later(0.05, instance.kill)


def test_message_whose_instance_died_at_its_commit_is_shown_and_notified(tmp_path: Path) -> None:
    """Its sender never returns: the mark in Redis is all that tells the others of it."""

    async def work(scene: Scene) -> None:
        alice = await _writer_beside_a_reader(scene)
        with scene.history.fault("pod-kill", "i1"):
            await _die_at_commit(scene, alice)
        await asyncio.sleep(_DECIDED_SECONDS)

    assert play(work, tmp_path) == []


@pytest.mark.parametrize("seconds_before", [0.01, 1.5, 6.0])
def test_notification_is_not_lost_when_redis_is_down_and_the_instance_dies(tmp_path: Path, seconds_before: float) -> None:
    """Without Redis the commit carries its mark."""

    async def work(scene: Scene) -> None:
        alice = await _writer_beside_a_reader(scene)
        await asyncio.sleep(_JUDGED_SECONDS)
        redis = scene.cluster.redis["r1"]
        with scene.history.fault("redis-kill"):
            redis.kill()
            await asyncio.sleep(seconds_before)
            with scene.history.fault("pod-kill", "i1"):
                await _die_at_commit(scene, alice)
            await asyncio.sleep(20.0)
            redis.start()
        await asyncio.sleep(_DECIDED_SECONDS)

    assert play(work, tmp_path) == []


def test_user_who_is_back_inside_the_grace_is_not_notified(tmp_path: Path) -> None:
    """What others write meanwhile is replayed; the instance that the user was connected to dies in between."""

    async def work(scene: Scene) -> None:
        alice = await scene.connect("u1", "i1", {})
        bob = await scene.connect("u2", "i2", {})
        await scene.create("c0", "u1", "u2", at="i3")
        await asyncio.sleep(1.0)
        await scene.leave(bob)
        for number in range(4):
            scene.say(alice, "c0", f"meanwhile {number}")
            await asyncio.sleep(0.2)
        with scene.history.fault("pod-kill", "i2"):
            scene.cluster.instances["i2"].kill()
            await asyncio.sleep(11.0)
            bob.start(2)
            await asyncio.sleep(1.0)

    assert play(work, tmp_path) == []


@pytest.mark.parametrize("direction", [("r1", "i2"), ("i2", "r1")])
def test_instance_that_cannot_hear_or_reach_redis_shows_what_others_commit(tmp_path: Path, direction: tuple[str, str]) -> None:
    """Only one way is cut: the connection stays, and nothing comes by it."""

    async def work(scene: Scene) -> None:
        alice = await scene.connect("u1", "i1", {})
        bob = await scene.connect("u2", "i2", {})
        await scene.create("c0", "u1", "u2", at="i1")
        await asyncio.sleep(5.0)
        scene.loop.network.cut(*direction, is_one_way=True)
        for number in range(8):
            scene.say(alice, "c0", f"from here {number}")
            scene.say(bob, "c0", f"from there {number}")
            await asyncio.sleep(2.0)
        scene.loop.network.heal()
        await asyncio.sleep(20.0)

    assert play(work, tmp_path) == []


def test_user_who_was_back_before_the_second_death_is_not_notified_of_what_was_shown(tmp_path: Path) -> None:
    """The first start of the instance had told when the user left; the second one still told it after the user was back."""

    async def work(scene: Scene) -> None:
        alice = await scene.connect("u1", "i2", {})
        bob = await scene.connect("u2", "i1", {})
        await scene.create("c0", "u1", "u2", at="i2")
        await asyncio.sleep(5.0)
        await scene.leave(bob)
        await asyncio.sleep(5.0)
        with scene.history.fault("pod-kill", "i1"):
            await scene.cluster.restart("i1", 1.0)
        bob = await scene.connect("u2", "i1", {})
        for number in range(6):
            scene.say(alice, "c0", f"alice {number}")
            await asyncio.sleep(1.0)
        await asyncio.sleep(4.0)
        await scene.leave(bob)
        with scene.history.fault("pod-kill", "i1"):
            await scene.cluster.restart("i1", 1.0)
        await asyncio.sleep(_DECIDED_SECONDS)

    assert play(work, tmp_path) == []


@pytest.mark.parametrize("seconds_before", [0.01, 6.0])
def test_message_acknowledged_without_redis_is_shown_within_8_s_of_the_death_of_its_instance(
    tmp_path: Path, seconds_before: float
) -> None:
    """The instance dies 50 ms after the answer: neither a publication nor a bulletin tells of the message."""

    async def work(scene: Scene) -> None:
        alice = await _writer_beside_a_reader(scene)
        await asyncio.sleep(_JUDGED_SECONDS)
        with scene.history.fault("redis-kill"):
            scene.cluster.redis["r1"].kill()
            await asyncio.sleep(seconds_before)
            with scene.history.fault("pod-kill", "i1"):
                scene.cluster.store.aim("i1", _die_soon, moment="answered", operations=("append",))
                scene.say(alice, "c0", "last words")
                await asyncio.sleep(0.5)
                assert not scene.cluster.instances["i1"].is_running
                alice.crash()
                await asyncio.sleep(20.0)
            scene.cluster.redis["r1"].start()
        await asyncio.sleep(_DECIDED_SECONDS)

    assert play(work, tmp_path) == []
    _, events = read_history(tmp_path / "history.jsonl")
    at = {(each.event, each.user or each.device): each.t for each in events if each.event in ("ack", "shown")}
    acked = next(t for (event, _), t in at.items() if event == "ack")
    shown = next(t for (event, who), t in at.items() if event == "shown" and who.startswith("u2"))
    assert acked < shown < acked + _SHOWN_SECONDS
