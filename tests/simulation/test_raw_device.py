"""The raw device ends a connection as RFC 6455 says.

Without a close frame the service takes what the device was shown last for lost, and notifies its user.
"""

import asyncio
import json
import random
from typing import Any

import pytest

from simulation.loop import SimulatedLoop
from simulation.patching import simulated
from simulation.raw_device import RawDevice

HOST, PORT = "10.0.0.1", 80
_CLOSE = 0x88


class _Server(asyncio.Protocol):
    """Welcomes a device, and tells it what it is given. `heard`: what came after the upgrade."""

    def __init__(self, told: bytes) -> None:
        self._told = told
        self._is_upgraded = False
        self.heard = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._is_upgraded:
            self.heard += data
        else:
            self._is_upgraded = True
            welcome = {"type": "welcome", "user_id": "u1", "connection_id": "x", "instance_id": "i1"}
            synced = {"type": "synced", "heads": {}}
            self._transport.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + _text(welcome) + _text(synced) + self._told)


class _History:
    """What the device writes down."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def record(self, event: str, **fields: Any) -> None:
        self.events.append({"event": event, **fields})


def _text(content: dict[str, Any]) -> bytes:
    payload = json.dumps(content).encode()
    size = bytes([len(payload)]) if len(payload) < 126 else bytes([126]) + len(payload).to_bytes(2, "big")
    return b"\x81" + size + payload


_CLOSED = bytes([_CLOSE, 2]) + (4502).to_bytes(2, "big")
_DRAINING = _text({"type": "draining", "reconnect_after_ms": 500, "closes_in_ms": 5_000})


@pytest.mark.parametrize(("told", "code"), [(_CLOSED, 4502), (_DRAINING, 1001)], ids=["closed by the service", "draining"])
def test_raw_device_that_says_it_ended_in_order_has_sent_a_close_frame(told: bytes, code: int) -> None:
    """An end without one is a connection that was lost: messages of the half second before its last frame are notified then."""
    with simulated(seed=1) as loop:
        servers, history = _played(loop, told)

    (closed,) = [each for each in history.events if each["event"] == "closed"]
    assert (closed["code"], closed["clean"]) == (code, True)
    assert servers[0].heard.endswith(bytes([_CLOSE, 0x82]) + bytes(4) + code.to_bytes(2, "big"))


def _played(loop: SimulatedLoop, told: bytes) -> tuple[list[_Server], _History]:
    servers: list[_Server] = []

    def accepted() -> _Server:
        servers.append(_Server(told if not servers else b""))
        return servers[-1]

    history = _History()

    async def run() -> None:
        device = RawDevice([f"http://{HOST}:{PORT}"], lambda: "token", None, history, random.Random(1))
        await device.run()

    loop.network.listen(HOST, PORT, loop.process("server"), accepted)
    loop.process("device").spawn(run())
    loop.run_for(8.0)  # a device that is told nothing looks up every 5 s
    return servers, history
