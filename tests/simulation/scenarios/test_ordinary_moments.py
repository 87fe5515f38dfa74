"""What was lost in moments of every day: a value that is no text, a retry after a removal, two instances in turn."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from simulation.devices import Device
from simulation.process import Process
from simulation.scenarios.scene import Scene, play

_RUDE = b"\xff\xfe"  # no UTF-8
_DECIDED_SECONDS: Final = 20.0  # with what follows: the checker judges notifications 45 s after a death


async def _writer_and_reader(scene: Scene, *others: str) -> tuple[Device, Device]:
    """A raw device of `u1` at i1, and a client of `u2`, who has created `c0`, at i2."""
    alice = await scene.connect("u1", "i1", {}, "raw")
    bob = await scene.connect("u2", "i2", {})
    await scene.create("c0", "u2", "u1", *others, at="i3")
    await asyncio.sleep(1.0)
    return alice, bob


@pytest.mark.parametrize(("key", "command"), [("dirty", ("ZADD", "dirty", 1)), ("instances", ("SADD", "instances"))])
def test_value_that_is_no_text_ends_no_loop(tmp_path: Path, key: str, command: tuple[str | int, ...]) -> None:
    """One such byte among the marks ended the sweep, one among the instances the reaper, and health said nothing."""

    async def work(scene: Scene) -> None:
        alice, _ = await _writer_and_reader(scene, "away")
        scene.cluster.redis["r1"].engine.run(*command, _RUDE)
        await asyncio.sleep(5.0)
        with scene.history.fault("pod-kill", "i1"):
            scene.kill_at_commit("i1")
            scene.say(alice, "c0", "last words")
            await asyncio.sleep(0.5)
            alice.crash()
            scene.history.record("left", user="u1")
        await asyncio.sleep(30.0)  # the sweep tells of the message, the reaper takes its sender offline

    assert play(work, tmp_path) == []


def test_stored_send_of_a_member_removed_since_is_not_refused(tmp_path: Path) -> None:
    """Its acknowledgement was lost with the instance; the retry was refused for good, although others were shown the message."""

    async def work(scene: Scene) -> None:
        alice, _ = await _writer_and_reader(scene)
        for instance in ("i2", "i3"):
            scene.loop.network.cut(alice.name, instance)
        with scene.history.fault("pod-kill", "i1"):
            scene.kill_at_commit("i1")
            scene.say(alice, "c0", "stored and shown")
            await asyncio.sleep(4.0)
            await scene.remove("c0", "u1", by="u2", at="i3")
        scene.loop.network.heal()
        await asyncio.sleep(20.0)

    assert play(work, tmp_path) == []


def test_notification_is_not_lost_when_redis_is_down_and_the_instance_dies_after_the_ack(tmp_path: Path) -> None:
    """The sender has its answer and does not ask again: only what the store holds can tell the others of the message."""

    async def work(scene: Scene) -> None:
        alice, _ = await _writer_and_reader(scene, "away")
        redis = scene.cluster.redis["r1"]
        with scene.history.fault("redis-kill"):
            redis.kill()
            await asyncio.sleep(4.0)
            with scene.history.fault("pod-kill", "i1"):
                scene.cluster.store.aim("i1", Process.kill, moment="before", operations=("create_notifications",))
                scene.say(alice, "c0", "acknowledged")
                await asyncio.sleep(2.0)
                assert not scene.cluster.instances["i1"].is_running
                await asyncio.sleep(20.0)
            redis.start()
        await asyncio.sleep(_DECIDED_SECONDS)

    assert play(work, tmp_path) == []


def test_user_of_two_instances_in_turn_is_not_notified_of_what_was_shown(tmp_path: Path) -> None:
    """The first instance is reaped after the user has left the second one: the absence begins at the latter."""

    async def work(scene: Scene) -> None:
        alice, bob = await _writer_and_reader(scene)
        await scene.leave(bob)
        bob.start(2)
        await asyncio.sleep(1.0)
        with scene.history.fault("redis-kill"):
            scene.cluster.redis["r1"].kill()
            with scene.history.fault("pod-kill", "i2"):
                scene.cluster.instances["i2"].kill()
                for number in range(10):
                    scene.say(alice, "c0", f"shown {number}")
                    await asyncio.sleep(1.0)
                await scene.leave(bob)
                await asyncio.sleep(25.0)
            scene.cluster.redis["r1"].start()
            await asyncio.sleep(40.0)

    assert play(work, tmp_path) == []


async def _look_in(scene: Scene, user: str, instance: str) -> None:
    """A device of the user is accepted, and closes before it says `hello`: nothing was shown on it."""
    address = urlsplit(scene.cluster.instances[instance].url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = [
        "GET /ws HTTP/1.1",
        f"Host: {address.netloc}",
        f"Authorization: Bearer {scene.cluster.token(user)}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}",
    ]
    writer.write("\r\n".join([*head, "", ""]).encode())
    await reader.readuntil(b"welcome")
    await asyncio.sleep(0.5)
    writer.write(bytes([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8]))  # a close frame, masked with nothing: 1000
    await reader.read()
    writer.transport.abort()


@pytest.mark.parametrize("instance", ["i2", "i3"])
def test_look_in_that_showed_nothing_does_not_hide_what_was_missed(tmp_path: Path, instance: str) -> None:
    """At the instance that the user had left, or another one: the message of the grace before it is still due."""

    async def work(scene: Scene) -> None:
        alice, bob = await _writer_and_reader(scene)
        await scene.leave(bob)
        await asyncio.sleep(5.0)
        scene.say(alice, "c0", "missed")
        await asyncio.sleep(5.0)
        await _look_in(scene, "u2", instance)
        await asyncio.sleep(40.0)

    assert play(work, tmp_path) == []
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [line["user"] for line in lines if line["event"] == "stored_notification"] == ["u2"]


def test_message_during_a_look_in_of_an_absent_user_is_notified(tmp_path: Path) -> None:
    """It was filtered because its user was connected. No other look through the absence would find it."""

    async def work(scene: Scene) -> None:
        alice, bob = await _writer_and_reader(scene)
        await scene.leave(bob)
        await asyncio.sleep(30.0)
        looking = asyncio.create_task(_look_in(scene, "u2", "i1"))
        await asyncio.sleep(0.3)
        scene.say(alice, "c0", "filtered")
        await looking
        await asyncio.sleep(40.0)

    assert play(work, tmp_path) == []
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [line["user"] for line in lines if line["event"] == "stored_notification"] == ["u2"]
