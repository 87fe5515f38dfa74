"""A user logs out everywhere while a send is under way: it is given up with its device, and no service is to blame for that."""

import asyncio
import random
from pathlib import Path
from typing import Final

from holdfast.drills.history import read_history
from simulation.devices import Device
from simulation.people import People
from simulation.scenarios.scene import Scene, play

_SIGNED_IN_SECONDS: Final = 20.0  # sends are judged from 15 s on


def _abandoned(directory: Path) -> list[str]:
    """The keys of the sends that devices gave up."""
    _, events = read_history(directory / "history.jsonl")
    return [event.key for event in events if event.event == "abandoned"]


def test_send_of_a_device_that_a_log_out_ended_is_told_as_abandoned(tmp_path: Path) -> None:
    """Its store does not answer before its connection is closed; nothing sends the message again."""

    async def work(scene: Scene) -> None:
        alice = await scene.connect("u1", "i1", {})
        await scene.connect("u2", "i2", {})
        await scene.create("c0", "u1", "u2", at="i3")
        await asyncio.sleep(_SIGNED_IN_SECONDS)
        scene.loop.network.cut("i1", "store")
        scene.say(alice, "c0", "unanswered")
        await scene.call("u1", "i2", "DELETE", "/api/connections")
        await asyncio.sleep(1.0)
        scene.loop.network.heal()
        assert alice.is_over

    assert play(work, tmp_path) == []
    assert _abandoned(tmp_path) == ["unanswered"]


def test_device_that_has_lost_its_connection_gives_up_when_its_user_logs_out(tmp_path: Path) -> None:
    """Its tokens are refused for 12 s. A user who signs in again begins anew on it, and sends as before."""

    async def work(scene: Scene) -> None:
        person = People(scene.context).persons["u1"]
        device: Device = person._add_device("client")
        await scene.connect("u2", "i2", {})
        await scene.create("c0", "u1", "u2", at="i3")
        await asyncio.sleep(_SIGNED_IN_SECONDS)
        for instance in scene.cluster.instances:
            scene.loop.network.reset(device.name, instance)
            scene.loop.network.cut(device.name, instance)
        scene.say(device, "c0", "given up")
        leaving = asyncio.create_task(person._log_out(random.Random(0)))
        await asyncio.sleep(2.0)
        scene.loop.network.heal()
        await leaving
        await asyncio.sleep(_SIGNED_IN_SECONDS)
        scene.say(device, "c0", "as before")
        await asyncio.sleep(_SIGNED_IN_SECONDS)

    assert play(work, tmp_path) == []
    assert _abandoned(tmp_path) == ["given-up"]
