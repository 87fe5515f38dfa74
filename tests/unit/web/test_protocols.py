"""The protocol objects of an instance, over a transport of the test's own: no socket, no uvicorn server."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.bootstrap import Instance
from holdfast.web.gate import Gate
from holdfast.web.protocols import Protocols, internal_protocols, public_protocols
from support.eventually import eventually
from support.instances import token
from support.pipe import Pipe, not_started


def _protocols(directory: Path) -> tuple[Instance, Protocols]:
    instance = not_started(directory)
    return instance, public_protocols(instance.gate)


async def test_rest_answers_over_any_transport(tmp_path: Path) -> None:
    """A simulation has transports of its own; so may a test."""
    instance, protocols = _protocols(tmp_path)
    pipe = Pipe(protocols())
    assert len(protocols.state.connections) == 1
    pipe.receive(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    await eventually(lambda: b"\r\n\r\n" in pipe.written)
    assert pipe.written.startswith(b"HTTP/1.1 200 OK\r\n")
    await instance.close()


@pytest.mark.parametrize("make", [public_protocols, internal_protocols])
async def test_answer_of_a_draining_instance_closes_its_connection(tmp_path: Path, make: Callable[[Gate], Protocols]) -> None:
    """Else a pool keeps it until the instance cuts it without a notice."""
    instance = not_started(tmp_path)
    pipe = Pipe(make(instance.gate)())
    pipe.receive(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    await eventually(lambda: b"\r\n\r\n" in pipe.written)
    assert (b"connection: close" in pipe.written, pipe.is_closed) == (False, False)
    instance.gate.node.health.is_draining = True
    pipe.receive(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    await eventually(lambda: pipe.is_closed)
    assert b"connection: close" in pipe.written
    await instance.close()


async def test_an_upgrade_is_welcomed_over_any_transport(tmp_path: Path) -> None:
    """The socket takes the connection over from HTTP, which forgets it."""
    instance, protocols = _protocols(tmp_path)
    instance.gate.node.users.revocations.is_loaded = True  # else no token is accepted yet
    pipe = Pipe(protocols())
    pipe.receive(
        b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: holdfast.v1\r\n"
        b"Authorization: Bearer " + token("alice").encode() + b"\r\n\r\n"
    )
    head, _, frame = pipe.written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert json.loads(frame[frame.index(b"{") :])["type"] == "welcome"
    assert not protocols.state.connections
    await instance.gate.node.tasks.close()
    await instance.close()
