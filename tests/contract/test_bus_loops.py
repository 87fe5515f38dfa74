"""The loops of the bus: a mistake in a step is counted, and the bus goes on."""

from collections.abc import Callable
from typing import Any

import pytest

from holdfast.adapters.redis.wire import Wire
from support.eventually import eventually
from support.fixtures_redis import NewNode, RedisNode
from support.redis_server import EMBEDDED, SYSTEM, RedisServer

# Not the simulated one: what is judged here is the time that the bus takes, and that one shares its processor with the test.
pytestmark = pytest.mark.parametrize("redis_down", [SYSTEM, EMBEDDED], indirect=True)

CHANNEL = "conversation:c1"


def _failures(node: RedisNode, loop: str) -> float | None:
    return node.telemetry.registry.get_sample_value("holdfast_loop_failures_total", {"loop": loop})


def _broken(original: Callable[..., Any], times: int) -> Callable[..., Any]:
    left = [times]

    def call(*arguments: Any, **named: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise ValueError("no step expects this")
        return original(*arguments, **named)

    return call


@pytest.mark.parametrize(
    ("loop", "part", "attribute"),
    [
        ("bus_listener", lambda node: node.bus._listener, "_restored_perhaps"),
        ("bus_pipeline", lambda node: node.bus.pipeline, "_round_trip"),
        ("bus_watch", lambda node: node.bus, "_probe"),
    ],
)
async def test_a_loop_of_the_bus_outlives_a_mistake(
    redis_server: RedisServer, new_node: NewNode, loop: str, part: Callable[[RedisNode], Any], attribute: str
) -> None:
    """What a dead one carried would be missing until the next start: envelopes, publications, the proof of liveness."""
    one, two = await new_node("one").start(), await new_node("two").start()
    assert await one.bus.subscribe([CHANNEL])
    await eventually(lambda: one.bus.is_live)
    broken = part(one)
    setattr(broken, attribute, _broken(getattr(broken, attribute), 3))
    await eventually(lambda: _failures(one, loop) == 3)
    await eventually(lambda: one.bus.is_live)
    two.bus.publish(CHANNEL, b'{"v":1,"kind":"x"}')
    await eventually(lambda: (CHANNEL, b'{"v":1,"kind":"x"}') in one.ears.envelopes)


async def test_replies_of_another_shape_cost_a_connection_and_not_the_loop(
    redis_server: RedisServer, new_node: NewNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy before Redis may say anything."""
    one = await new_node("one").start()
    await eventually(lambda: one.bus.is_live)
    receive = Wire.receive

    async def odd(self: Wire) -> list[Any]:
        await receive(self)
        return [[b"message"], 5, None]

    with monkeypatch.context() as patched:
        patched.setattr(Wire, "receive", odd)
        await eventually(
            lambda: one.telemetry.registry.get_sample_value("holdfast_loop_failures_total", {"loop": "bus_listener"})
        )
    await eventually(lambda: one.bus.is_live)
