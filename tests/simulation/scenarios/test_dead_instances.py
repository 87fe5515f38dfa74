"""An instance dies with all of its users: when its connections leave Redis, and when the users are offline."""

import asyncio
from pathlib import Path

import pytest

from simulation.scenarios.scene import Scene, play


async def _die(scene: Scene, after_seconds: float) -> None:
    """u1, who has written to u2, is at i1; both end at once, so many seconds later."""
    alice = await scene.connect("u1", "i1", {}, "raw")
    await scene.connect("u2", "i2", {})
    await scene.create("c0", "u2", "u1", at="i3")
    scene.say(alice, "c0", "so u2 may see whether u1 is online")
    await asyncio.sleep(after_seconds)
    scene.cluster.instances["i1"].process.kill(is_silent=False)
    alice.crash()
    scene.history.record("left", user="u1")


async def _is_online(scene: Scene) -> bool:
    answer = await scene.call("u2", "i3", "GET", "/api/users/u1/presence")
    assert answer.is_success, answer
    return bool(answer.content["online"])


async def _offline_after(scene: Scene) -> float:
    """How many seconds from now on u1 is online; as seen four times a second, for a minute."""
    for seen in range(240):
        if not await _is_online(scene):
            return seen / 4
        await asyncio.sleep(0.25)
    return 60.0


@pytest.mark.parametrize("after_seconds", [5.0, 6.0, 7.0])
def test_dead_instance_leaves_redis_within_21_s_and_its_users_are_offline_within_30(tmp_path: Path, after_seconds: float) -> None:
    """Its lease was renewed at another time before its death in each case."""

    async def work(scene: Scene) -> None:
        redis = scene.cluster.redis["r1"].engine
        with scene.history.fault("pod-kill", "i1"):
            await _die(scene, after_seconds)
            assert redis.run("EXISTS", "connections:u1") == 1
            offline = asyncio.create_task(_offline_after(scene))
            await asyncio.sleep(21.0)
            assert redis.run("EXISTS", "connections:u1") == 0
            assert await offline <= 30.0

    assert play(work, tmp_path) == []


@pytest.mark.parametrize(("seconds_before", "within_seconds"), [(8.0, 30.0), (0.0, 40.0)], ids=["seen-before", "never-seen"])
def test_user_of_an_instance_that_died_without_redis_is_offline_soon_after_redis_answers(
    tmp_path: Path, seconds_before: float, within_seconds: float
) -> None:
    """Until then no instance can tell a dead instance from one that is only cut from Redis.

    An instance that the others never saw in Redis is found by its bulletin, which they read every 15 s then.
    """

    async def work(scene: Scene) -> None:
        redis = scene.cluster.redis["r1"]
        await asyncio.sleep(seconds_before)
        with scene.history.fault("redis-kill"):
            redis.kill()
            await asyncio.sleep(2.0)
            with scene.history.fault("pod-kill", "i1"):
                await _die(scene, 2.0)
                await asyncio.sleep(45.0)
                assert await _is_online(scene)
                redis.start()
                assert await _offline_after(scene) <= within_seconds

    assert play(work, tmp_path) == []
