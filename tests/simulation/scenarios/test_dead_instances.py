"""An instance dies with all of its users: when its connections leave Redis, and when the users are offline."""

import asyncio
from pathlib import Path

import pytest

from holdfast.domain.ids import ConversationId, UserId
from holdfast.domain.notifications import notification_id
from holdfast.node.recovery.deaths import Deaths
from simulation.reading import store_of
from simulation.scenarios.scene import Scene, play
from support.altered import ALTERATIONS


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


async def _is_notified(scene: Scene, seq: int) -> bool:
    store = store_of(scene.cluster)
    await store.open()
    try:
        record = notification_id(ConversationId("c0"), UserId("u1"), seq, 2)
        return record in await store.recorded([record])
    finally:
        await store.close()


async def _die_without_redis(scene: Scene, seconds_before: float) -> tuple[float, bool]:
    """i1 dies while Redis is away, which then stays away; after how many seconds u1 is offline, and whether u1 is notified."""
    await asyncio.sleep(seconds_before)
    with scene.history.fault("redis-kill"):
        scene.cluster.redis["r1"].kill()
        await asyncio.sleep(2.0)
        with scene.history.fault("pod-kill", "i1"):
            await _die(scene, 8.0)
            offline = asyncio.create_task(_offline_after(scene))
            answer = await scene.post("c0", "u2", "u1 is not there any more", at="i3")
            assert answer.is_success, answer
            seconds = await offline
            await asyncio.sleep(5.0)
            is_notified = await _is_notified(scene, answer.content["seq"])
        scene.cluster.redis["r1"].start()
        await asyncio.sleep(10.0)
    return seconds, is_notified


@pytest.mark.parametrize("seconds_before", [8.0, 0.0], ids=["seen-before", "never-seen"])
def test_user_of_an_instance_that_died_without_redis_is_offline_within_30_s_and_notified(
    tmp_path: Path, seconds_before: float
) -> None:
    """The death is a commit in the store, and the silence before it is seen there: none of it waits for Redis."""

    async def work(scene: Scene) -> None:
        seconds, is_notified = await _die_without_redis(scene, seconds_before)
        assert seconds <= 30.0
        assert is_notified

    assert play(work, tmp_path) == []


@pytest.mark.long
def test_deaths_that_wait_for_redis_leave_users_online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The alteration that the test before this one notices."""
    monkeypatch.setattr(Deaths, "is_dead", Deaths.is_dead)  # as it is: put back at the end
    ALTERATIONS["no_death_without_redis"]()

    async def work(scene: Scene) -> None:
        seconds, is_notified = await _die_without_redis(scene, 8.0)
        assert (seconds, is_notified) == (60.0, False)

    play(work, tmp_path)
