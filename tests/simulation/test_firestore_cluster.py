"""Instances whose store is the simulated Firestore, and what is aimed at it. See `test_cluster` for what both stores have."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.bootstrap import message_store
from holdfast.ports import Store, Unwatched
from simulation.chatter import CONVERSATION, Chatter
from simulation.cluster import Cluster, redis_servers
from simulation.firestore import SimulatedFirestore, contention
from simulation.loop import SimulatedLoop
from simulation.patching import simulated
from simulation.process import Process

TESTS = Path(__file__).parents[1]
USERS = ("ada", "bob", "cleo")


class Scene:
    """Three instances on Firestore, and three users who chat."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self.loop = loop
        self.cluster = Cluster(loop, redis_servers(loop), store="firestore")
        assert isinstance(self.cluster.store, SimulatedFirestore)
        self.firestore = self.cluster.store
        self.chatter = Chatter(self.cluster, USERS)

        async def start() -> None:
            await self.cluster.start()
            await self.chatter.start()

        loop.run(start())

    def tail(self) -> int:
        """How many messages are stored, as a reader beside the instances finds."""

        async def read(store: Store) -> int:
            await store.open(may_create=False)
            settlement = await store.settle(CONVERSATION, [])  # type: ignore[arg-type]  # ids are strings
            await store.close()
            return settlement.tail

        settings = self.cluster.settings("i1").store
        return self.loop.run(read(message_store(settings, Unwatched(), self.cluster.machine(self.loop.root))))

    def assert_agreed(self) -> None:
        """Every user was shown all that is stored, once and in order."""
        self.chatter.is_over = True
        self.loop.run_for(20)
        tail = self.tail()
        assert tail >= self.chatter.sent
        for user in USERS:
            assert [seq for seq, _ in self.chatter.shown(user)] == list(range(1, tail + 1))
        self.loop.collect()
        assert self.loop.failures == []


@pytest.fixture
def scene() -> Iterator[Scene]:
    """It serves."""
    with simulated(5) as loop:
        yield Scene(loop)


@pytest.mark.parametrize("moment", ["before", "after", "answered"])
def test_kill_at_any_moment_of_a_commit_loses_nothing(scene: Scene, moment: str) -> None:
    """Before it is done, before its answer, before its caller goes on."""
    scene.loop.run_for(3)
    before = scene.tail()
    scene.firestore.aim("i1", Process.kill, moment=moment, calls=2, operations=("append",))  # type: ignore[arg-type]  # one of these
    scene.loop.run_for(4)
    assert not scene.cluster.instances["i1"].is_running
    assert scene.tail() > before
    scene.assert_agreed()


def test_presence_that_is_committed_while_its_instance_dies_is_put_right(scene: Scene) -> None:
    """An operation of several calls is hit at its commit, not at its reading."""
    scene.firestore.aim("i2", Process.kill, moment="after", operations=("add_presence", "write_bulletin"))
    scene.loop.run_for(4)
    assert not scene.cluster.instances["i2"].is_running
    scene.assert_agreed()


def test_aim_that_is_taken_away_hits_nothing(scene: Scene) -> None:
    """A fault that has waited too long must not come later."""
    scene.firestore.aim("i1", Process.kill, moment="before")()
    scene.loop.run_for(3)
    assert scene.cluster.instances["i1"].is_running


@pytest.mark.parametrize(("lost_before", "lost_after"), [(0.3, 0.0), (0.0, 0.3)])
def test_calls_that_fail_by_chance_lose_no_message(scene: Scene, lost_before: float, lost_after: float) -> None:
    """Errors after which a caller cannot know whether its write was carried out."""
    scene.firestore.faults.lost_before, scene.firestore.faults.lost_after = lost_before, lost_after
    scene.loop.run_for(10)
    scene.firestore.faults.lost_before = scene.firestore.faults.lost_after = 0.0
    scene.loop.run_for(10)
    scene.assert_agreed()


def test_contention_of_many_commits_loses_no_message(scene: Scene) -> None:
    """Firestore's own way to say that others were first."""
    scene.firestore.faults.add(contention(share=0.4, times=None))
    scene.loop.run_for(10)
    scene.firestore.faults.clear()
    scene.assert_agreed()


@pytest.mark.parametrize("is_frozen", [True, False])
def test_store_that_hangs_or_is_slow_is_waited_for(scene: Scene, is_frozen: bool) -> None:
    """Deadlines pass, late commits land, and all goes on."""
    scene.loop.run_for(2)
    if is_frozen:
        scene.firestore.process.freeze()
        scene.loop.run_for(8)
        scene.firestore.process.thaw()
    else:
        scene.firestore.faults.extra_seconds = 2.5
        scene.loop.run_for(10)
        scene.firestore.faults.extra_seconds = 0.0
    scene.loop.run_for(5)
    scene.assert_agreed()


def test_restored_backup_begins_a_new_run(scene: Scene) -> None:
    """With another generation, as the runbook's last step gives it: clients begin anew with what is left."""
    scene.loop.run_for(3)
    backup, tail = scene.firestore.snapshot(), scene.tail()
    scene.loop.run_for(3)
    assert scene.tail() > tail
    before = {name: instance.gate for name, instance in scene.cluster.instances.items()}
    scene.firestore.restore(backup, generation="renewed")
    scene.loop.run_for(30)
    for name, instance in scene.cluster.instances.items():
        assert instance.gate is not before[name]
    assert any(event == "reset" for _, _, event, _ in scene.chatter.events)


def test_profile_is_played_over_firestore(tmp_path: Path) -> None:
    """People, faults and judgement are the same as over SQLite; here a store that is put back, and what fails before it."""
    profile = ["--profile", "restore", "--seeds", "18", "--seconds", "30", "--processes", "1"]
    command = ["-m", "simulation", "--store", "firestore", *profile]
    environ = {**os.environ, "PYTHONPATH": str(TESTS)}
    done = subprocess.run([sys.executable, *command], env=environ, cwd=tmp_path, capture_output=True, check=False, timeout=110)
    assert done.returncode == 0, done.stdout.decode()


def test_same_seed_is_byte_identical_in_another_process() -> None:
    """gRPC's and the library's ways of telling time and making names leave no trace in a run."""
    script = "from simulation.chatter import chat\nprint(*chat(4, 4.0, store='firestore'), sep='\\n')"

    def run(hash_seed: str) -> bytes:
        environ = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(TESTS)}
        done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, check=False, timeout=100)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    one, other = run("1"), run("2")
    assert one == other
    assert one.count(b'"shown"') > 60
