"""Several deaths: of the instance that completes a death, of two runs of one process, of all instances at once."""

import asyncio
from pathlib import Path

import pytest

from holdfast.domain.ids import ConversationId, RunId, UserId
from holdfast.domain.notifications import notification_id
from holdfast.node.recovery import reaper
from holdfast.node.recovery.turns import turn_seconds
from simulation.cluster import StoreKind
from simulation.process import Process
from simulation.reading import store_of
from simulation.scenarios.scene import Scene, play
from support.altered import ALTERATIONS

_STORES = pytest.mark.parametrize("store", ["sqlite", "firestore"])
_OFFLINE_SECONDS = 30.0


def _run_of(scene: Scene, instance: str) -> RunId:
    gate = scene.cluster.instances[instance].gate
    assert gate is not None
    return gate.node.identity.run


async def _offline_after(scene: Scene, user: str) -> float:
    """How many seconds from now on the store says that the user is online; as seen four times a second, for a minute."""
    store = store_of(scene.cluster)
    await store.open(may_create=False)
    try:
        for seen in range(240):
            if not (await store.read_presence([UserId(user)]))[UserId(user)].online:
                return seen / 4
            await asyncio.sleep(0.25)
        return 60.0
    finally:
        await store.close()


async def _die_one_after_the_other(scene: Scene) -> float:
    """i1 dies with u1, then the instance whose turn it is to complete that; after how many seconds u1 is offline."""
    alice = await scene.connect("u1", "i1", {}, "raw")
    await scene.connect("u2", "i2", {})
    await scene.create("c0", "u2", "u1", at="i3")
    await asyncio.sleep(7.0)
    runs = {name: _run_of(scene, name) for name in ("i2", "i3")}
    seconds = {name: turn_seconds(run, list(runs.values()), _run_of(scene, "i1")) for name, run in runs.items()}
    assert sorted(seconds.values()) == [0.0, 2.0]
    first = min(seconds, key=lambda name: seconds[name])
    scene.cluster.store.aim(first, Process.kill, moment="before", operations=("remove_presence",))
    with scene.history.fault("pod-kill", "i1"), scene.history.fault("pod-kill", first):
        scene.cluster.instances["i1"].process.kill(is_silent=False)
        alice.crash()
        scene.history.record("left", user="u1")
        offline_after = await _offline_after(scene, "u1")
        assert not scene.cluster.instances[first].is_running
    return offline_after


@_STORES
def test_users_are_offline_within_30_s_where_the_instance_whose_turn_it_is_dies_at_the_work(
    tmp_path: Path, store: StoreKind
) -> None:
    """The other one begins 2 s later."""

    async def work(scene: Scene) -> None:
        assert await _die_one_after_the_other(scene) <= _OFFLINE_SECONDS

    assert play(work, tmp_path, store=store) == []


@pytest.mark.long
def test_work_that_no_second_instance_does_leaves_users_online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The alteration that the test before this one notices."""
    monkeypatch.setattr(reaper, "turn_seconds", turn_seconds)  # as it is: put back at the end
    ALTERATIONS["one_turn"]()

    async def work(scene: Scene) -> None:
        assert await _die_one_after_the_other(scene) > _OFFLINE_SECONDS

    play(work, tmp_path)


@_STORES
def test_two_runs_of_one_process_that_are_declared_dead_in_a_row_leave_no_user_online(tmp_path: Path, store: StoreKind) -> None:
    """The process stands still for a minute, begins a run anew, and stands still again. Then its third run serves."""

    async def work(scene: Scene) -> None:
        await scene.connect("u2", "i2", {})
        await scene.create("c0", "u2", "u1", "u3", "u4", at="i3")
        instance, runs = scene.cluster.instances["i1"], list[RunId]()
        for user in ("u1", "u3"):
            runs.append(_run_of(scene, "i1"))
            device = await scene.connect(user, "i1", {}, "raw")
            await asyncio.sleep(6.0)
            with scene.history.fault("freeze", "i1"):
                instance.process.freeze()
                device.crash()
                scene.history.record("left", user=user)
                assert await _offline_after(scene, user) <= _OFFLINE_SECONDS
                await asyncio.sleep(30.0)
                instance.process.thaw()
                await asyncio.sleep(15.0)
            await instance.ready()
        assert instance.starts == 1
        assert len({*runs, _run_of(scene, "i1")}) == 3
        await asyncio.sleep(15.0)  # the bulletin that the run has written anew says that it ended, and goes after the grace
        store_now = store_of(scene.cluster)
        await store_now.open()
        assert not {each.run for each in await store_now.read_bulletins()} & set(runs)
        assert [await store_now.users_on(run, 10) for run in runs] == [[], []]
        await store_now.close()
        await scene.connect("u4", "i1", {})
        assert (await scene.post("c0", "u4", "from the third run", at="i1")).is_success

    assert play(work, tmp_path, store=store) == []


@_STORES
def test_all_instances_that_die_at_once_without_redis_leave_nothing_undone(tmp_path: Path, store: StoreKind) -> None:
    """The last message was stored with its mark, and no client heard of it. New instances find it, and take all users offline."""

    async def work(scene: Scene) -> None:
        alice = await scene.connect("u1", "i1", {}, "raw")
        bob = await scene.connect("u2", "i2", {}, "raw")
        await scene.create("c0", "u2", "u1", "away", at="i3")
        await asyncio.sleep(6.0)
        with scene.history.fault("redis-kill"):
            scene.cluster.redis["r1"].kill()
            await asyncio.sleep(3.0)
            instances = scene.cluster.instances
            with (
                scene.history.fault("pod-kill", "i1"),
                scene.history.fault("pod-kill", "i2"),
                scene.history.fault("pod-kill", "i3"),
            ):
                dead = asyncio.Event()
                instances["i1"].process.on_death.append(dead.set)
                scene.kill_at_commit("i1")
                scene.say(alice, "c0", "last words")
                await dead.wait()
                for name in ("i2", "i3"):
                    instances[name].kill()
                for device in (alice, bob):
                    device.crash()
                    scene.history.record("left", user=device.user)
                await asyncio.sleep(5.0)  # virtual: no instance is there meanwhile
                for each in instances.values():
                    each.start()
                for each in instances.values():
                    await each.ready()
                offline = [await _offline_after(scene, user) for user in ("u1", "u2")]
                assert sum(offline) <= _OFFLINE_SECONDS
                await asyncio.sleep(30.0)
                view = store_of(scene.cluster)
                await view.open()
                try:
                    records = [notification_id(ConversationId("c0"), UserId(user), 1, 3) for user in ("away", "u2")]
                    assert set(records) <= set(await view.recorded(records))
                    assert (await view.read_marks("", "", 10)).marks == []
                finally:
                    await view.close()
            scene.cluster.redis["r1"].start()
            await asyncio.sleep(20.0)

    assert play(work, tmp_path, store=store) == []
