"""The protocol objects of an instance over a transport of the test's own: no socket, no uvicorn server."""

import asyncio
from pathlib import Path

from pydantic import SecretStr

from holdfast.bootstrap import Instance
from holdfast.settings import AuthSettings, Settings, StoreSettings
from support.instances import SECRET


class Serving:
    """A `Lifetime` that does not end."""

    is_draining = False


class Pipe(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": ("10.0.0.1", 4_000), "sockname": ("10.0.0.2", 80)})
        self.protocol: asyncio.BaseProtocol = protocol
        self.written = b""
        self.is_closed = False
        protocol.connection_made(self)

    def receive(self, data: bytes) -> None:
        """What the peer sends."""
        assert isinstance(self.protocol, asyncio.Protocol)
        if not self.is_closed:
            self.protocol.data_received(data)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True


def not_started(directory: Path) -> Instance:
    """An instance that serves, and has neither Redis nor its store yet."""
    auth, store = AuthSettings(secret=SecretStr(SECRET)), StoreSettings(url=f"sqlite:///{directory}/holdfast.db")
    return Instance(Settings(instance_id="one", auth=auth, store=store))
