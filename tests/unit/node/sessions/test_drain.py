"""The ordered end: every client is told when, and its connection is closed within the window."""

import asyncio
import json

import pytest

from holdfast.node.connections.connection import Connection
from holdfast.node.connections.hub import Hub
from holdfast.node.sessions.drain import Drain
from holdfast.server import _drained
from holdfast.telemetry import Telemetry
from support.fakes import FakeTransport, connection
from support.virtual_time import LoopClock, in_virtual_time, passed


class _Health:
    """What a drain sets."""

    is_draining = False

    def evaluate(self) -> None:
        """As the real one."""


class Scene:
    """A hundred sockets and a window of ten seconds, unless a test says otherwise."""

    def __init__(self, connections: int = 100, window_seconds: float = 10.0) -> None:
        self.hub, self.health = Hub(Telemetry("test")), _Health()
        self.connections = [connection(f"user-{number}") for number in range(connections)]
        for each in self.connections:
            self.hub.add(each)
        self.drain = Drain(self.hub, self.health, LoopClock(), window_seconds)  # type: ignore[arg-type]  # the part it uses

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
    await passed(2.525)
    assert scene.closed() == 50
    await passed(2.5)
    assert scene.closed() == 100
    await running


@in_virtual_time
async def test_a_small_instance_closes_ten_connections_a_second_and_ends_long_before_the_window() -> None:
    """A rollout waits for each drain; twelve reconnects storm no instance."""
    scene = Scene(connections=12, window_seconds=60.0)
    began = LoopClock().monotonic()
    running = asyncio.create_task(scene.drain.run())
    await passed(0.05)
    told = [json.loads(_transport(each).written[0][2:])["closes_in_ms"] for each in scene.connections]
    assert told == pytest.approx([3_000 + 100 * number for number in range(1, 13)], abs=1)
    await passed(3.5)
    assert scene.closed() == 5
    await running
    assert scene.closed() == 12
    assert LoopClock().monotonic() - began <= 4.3


@in_virtual_time
async def test_a_large_instance_closes_its_connections_over_the_whole_window_and_no_longer() -> None:
    """The window is the upper bound: a full instance drains faster than ten a second, and ends before it is killed."""
    scene = Scene(connections=4_500, window_seconds=60.0)
    began = LoopClock().monotonic()
    running = asyncio.create_task(scene.drain.run())
    await passed(3.0 + 22.5)
    assert abs(scene.closed() - 2_250) <= 1
    await running
    assert scene.closed() == 4_500
    assert 47.9 <= LoopClock().monotonic() - began <= 48.1


@in_virtual_time
async def test_drain_ends_when_the_last_client_has_left() -> None:
    """Clients that connect elsewhere and then leave by themselves need no close, and no wait for it."""
    scene = Scene(connections=400, window_seconds=60.0)
    began = LoopClock().monotonic()
    running = asyncio.create_task(scene.drain.run())
    await passed(5.0)
    for each in scene.connections:
        scene.hub.remove(each)
    await running
    assert LoopClock().monotonic() - began < 5.2


@in_virtual_time
async def test_a_second_signal_lets_everybody_go_now() -> None:
    """An operator who presses Ctrl-C twice is in a hurry."""
    scene = Scene()
    began = LoopClock().monotonic()
    running = asyncio.create_task(scene.drain.run())
    await passed(1)
    scene.drain.hurry()
    await running
    assert scene.closed() == 100
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


@pytest.mark.parametrize(("window_seconds", "lasts_seconds"), [(60.0, 1.0), (5.0, 0.5), (0.0, 0.0)])
def test_drain_without_sockets_lasts_until_busy_http_pools_have_left(window_seconds: float, lasts_seconds: float) -> None:
    """Their connections are told with the next answer; a short window gives them a part of it."""

    @in_virtual_time
    async def scenario() -> None:
        scene = Scene(0, window_seconds)
        began = LoopClock().monotonic()
        await scene.drain.run()
        assert LoopClock().monotonic() - began == pytest.approx(lasts_seconds)

    scenario()


@in_virtual_time
async def test_second_signal_ends_a_drain_without_sockets() -> None:
    """An operator in a hurry waits for no pool."""
    scene = Scene(0)
    began = LoopClock().monotonic()
    scene.drain.hurry()
    await scene.drain.run()
    assert LoopClock().monotonic() == began


@in_virtual_time
async def test_everybody_goes_at_once_where_the_run_ends_during_the_drain() -> None:
    """Declared dead, or its store replaced: what these connections know is not valid any more."""
    scene = Scene(window_seconds=60.0)
    ended = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(_drained(scene.drain, ended))
    await passed(5.0)
    assert scene.closed() < 100
    ended.set_result("declared_dead")
    await passed(0.1)
    assert scene.closed() == 100
    for each in scene.connections:
        scene.hub.remove(each)
    await running
