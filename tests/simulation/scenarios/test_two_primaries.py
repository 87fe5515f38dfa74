"""A replica of Redis was promoted while the old primary goes on: existing connections stay, new ones lead to the new primary."""

import asyncio
from pathlib import Path

from simulation.scenarios.scene import Scene, play

_NOTICED_SECONDS = 6.0  # heartbeats are missing for 3.7 s, and the bulletins are read once a second


def _promote_a_replica(scene: Scene) -> None:
    """From now on the name of Redis leads to the replica."""
    successor = scene.cluster.add_redis("r2")
    successor.kill()
    successor.engine = scene.cluster.redis["r1"].engine.fork()
    successor.start()
    scene.cluster.point_to_redis("r2")


def _end_idle_connections(scene: Scene, instance: str) -> None:
    """Redis ends the connections of an instance's pool, as after an idle timeout; publishing and subscriptions go on."""
    clients = scene.cluster.redis["r1"].engine.run("CLIENT", "LIST")
    assert isinstance(clients, bytes)
    for line in clients.decode().splitlines():
        about = dict(field.partition("=")[::2] for field in line.split())
        if about["name"] == f"holdfast:{instance}":
            scene.cluster.redis["r1"].engine.run("CLIENT", "KILL", "ID", about["id"])


def test_messages_are_shown_when_commands_of_an_instance_go_to_the_new_primary_and_its_subscriptions_stay(tmp_path: Path) -> None:
    """The lease named the new primary, so that no instance noticed a split; publications went to the old one."""

    async def work(scene: Scene) -> None:
        alice = await scene.connect("u1", "i1", {})
        await scene.connect("u2", "i2", {})
        await scene.create("c0", "u1", "u2", at="i3")
        await asyncio.sleep(20.0)
        with scene.history.fault("two-primaries", "r1"):
            _promote_a_replica(scene)
            scene.loop.network.reset("i1", "r1")
            _end_idle_connections(scene, "i2")
            _end_idle_connections(scene, "i3")
            await asyncio.sleep(_NOTICED_SECONDS)
        await asyncio.sleep(6.0)
        for number in range(10):
            scene.say(alice, "c0", f"alice {number}")
            await asyncio.sleep(1.0)

    assert play(work, tmp_path) == []
