"""The protocol objects of an instance, over a transport of the test's own: no socket, no uvicorn server."""

import asyncio
import json
from pathlib import Path

from pydantic import SecretStr

from holdfast.bootstrap import Instance
from holdfast.settings import AuthSettings, Settings, StoreSettings
from holdfast.web.protocols import Protocols, public_protocols
from support.eventually import eventually
from support.instances import SECRET, token


class _Pipe(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": ("10.0.0.1", 4_000), "sockname": ("10.0.0.2", 80)})
        self.protocol: asyncio.BaseProtocol = protocol
        self.written = b""
        protocol.connection_made(self)

    def receive(self, data: bytes) -> None:
        """What the peer sends."""
        assert isinstance(self.protocol, asyncio.Protocol)
        self.protocol.data_received(data)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None: ...


def _protocols(directory: Path) -> tuple[Instance, Protocols]:
    auth, store = AuthSettings(secret=SecretStr(SECRET)), StoreSettings(url=f"sqlite:///{directory}/holdfast.db")
    instance = Instance(Settings(instance_id="one", auth=auth, store=store))
    return instance, public_protocols(instance.gate)


async def test_rest_answers_over_any_transport(tmp_path: Path) -> None:
    """A simulation has transports of its own; so may a test."""
    instance, protocols = _protocols(tmp_path)
    pipe = _Pipe(protocols())
    assert len(protocols.state.connections) == 1
    pipe.receive(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    await eventually(lambda: b"\r\n\r\n" in pipe.written)
    assert pipe.written.startswith(b"HTTP/1.1 200 OK\r\n")
    await instance.close()


async def test_an_upgrade_is_welcomed_over_any_transport(tmp_path: Path) -> None:
    """The socket takes the connection over from HTTP, which forgets it."""
    instance, protocols = _protocols(tmp_path)
    instance.gate.node.revocations.is_loaded = True  # else no token is accepted yet
    pipe = _Pipe(protocols())
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
