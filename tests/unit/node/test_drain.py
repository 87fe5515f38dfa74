"""The ordered end: everybody is told when, and let go over the window."""

import asyncio
import json

from holdfast.node.connection import Connection
from holdfast.node.drain import Drain
from holdfast.node.hub import Hub
from holdfast.telemetry import Telemetry
from support.fakes import FakeTransport, connection
from support.virtual_time import LoopClock, in_virtual_time, passed


class _Health:
    """What a drain sets."""

    is_draining = False

    def evaluate(self) -> None:
        """As the real one."""


class Scene:
    """Ten sockets and a window of ten seconds."""

    def __init__(self) -> None:
        self.hub, self.health = Hub(Telemetry("test")), _Health()
        self.connections = [connection(f"user-{number}") for number in range(10)]
        for each in self.connections:
            self.hub.add(each)
        self.drain = Drain(self.hub, self.health, LoopClock(), 10.0)  # type: ignore[arg-type]  # the part it uses

    def closed(self) -> int:
        """How many were let go."""
        return sum(_transport(each).closed == (1012, "draining") for each in self.connections)


def _transport(of: Connection) -> FakeTransport:
    assert isinstance(of.transport, FakeTransport)
    return of.transport


@in_virtual_time
async def test_everybody_is_told_at_once_and_let_go_one_after_the_other() -> None:
    """The others take them up at a pace; each is told its own time."""
    scene = Scene()
    running = asyncio.create_task(scene.drain.run())
    await passed(0.1)
    assert scene.health.is_draining
    frames = [json.loads(_transport(each).written[0][2:]) for each in scene.connections]
    assert {frame["type"] for frame in frames} == {"draining"}
    assert all(0 <= frame["reconnect_after_ms"] <= frame["closes_in_ms"] <= 8_000 for frame in frames)
    assert scene.closed() == 0
    assert all(frame["closes_in_ms"] - frame["reconnect_after_ms"] >= 3_000 for frame in frames)
    await passed(2.9)
    assert scene.closed() == 0
    await passed(2.6)
    assert scene.closed() == 5
    await passed(2.5)
    assert scene.closed() == 10
    await running


@in_virtual_time
async def test_a_second_signal_lets_everybody_go_now() -> None:
    """Who presses Ctrl-C twice is in a hurry."""
    scene = Scene()
    began = LoopClock().monotonic()
    running = asyncio.create_task(scene.drain.run())
    await passed(1)
    scene.drain.hurry()
    await running
    assert scene.closed() == 10
    assert LoopClock().monotonic() - began < 1.1


@in_virtual_time
async def test_who_came_during_the_drain_is_let_go_too() -> None:
    """A handshake that was under way."""
    scene = Scene()
    running = asyncio.create_task(scene.drain.run())
    await passed(1)
    late = connection("late")
    scene.hub.add(late)
    await running
    assert _transport(late).closed == (1012, "draining")


@in_virtual_time
async def test_without_anybody_it_is_over_at_once() -> None:
    """No window to wait for."""
    scene = Scene()
    for each in scene.connections:
        scene.hub.remove(each)
    began = LoopClock().monotonic()
    await scene.drain.run()
    assert LoopClock().monotonic() == began
