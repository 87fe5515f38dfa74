"""How a client opens a connection to a server, greets, and sends: texts for the load client, which knows no server. Pure."""

from dataclasses import dataclass
from typing import Final

_OPENING: Final = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{protocol}Authorization: Bearer {token}\r\n\r\n"
)
_FILLING: Final = " a text about as long as people write them in a chat"


@dataclass(frozen=True, slots=True)
class Speech:
    """What one connection says. A message is `head`, an id, `middle`, its mark and `tail`."""

    opening: bytes
    greetings: tuple[bytes, ...]
    head: bytes
    middle: bytes
    tail: bytes


@dataclass(frozen=True, slots=True)
class Dialect:
    """The texts of a kind of servers; `<room>` and `<key>` stand for the room, and for what makes ids unique.

    A greeting is sent after a frame that begins with its place in `waits` (at once where that is empty). A frame that begins
    with `ready` ends the greeting; one that begins with `ack` acknowledges the connection's last message.
    """

    path: str
    waits: tuple[str, ...]
    greetings: tuple[str, ...]
    ready: str
    send: tuple[str, str, str]
    ack: str = ""
    protocol: str = ""

    def speech(self, port: int, token: str, room: str, key: str) -> Speech:
        """Of one connection."""
        protocol = f"Sec-WebSocket-Protocol: {self.protocol}\r\n" if self.protocol else ""
        opening = _OPENING.format(path=self.path, port=port, protocol=protocol, token=token)

        def filled(text: str) -> bytes:
            return text.replace("<room>", room).replace("<key>", key).encode()

        head, middle, tail = self.send
        return Speech(opening.encode(), tuple(map(filled, self.greetings)), filled(head), filled(middle), filled(_FILLING + tail))


DIALECTS: Final = {
    "holdfast": Dialect(
        path="/ws",
        protocol="holdfast.v1",
        waits=("",),
        greetings=('{"type":"hello"}',),
        ready='{"type":"synced"',
        ack='{"type":"ack"',
        send=('{"type":"send","conversation_id":"<room>","client_message_id":"<key>-', '","body":"', '"}'),
    ),
    "plain": Dialect(
        path="/ws",
        waits=("",),
        greetings=('{"type":"join","room":"<room>"}',),
        ready='{"type":"joined"}',
        send=('{"type":"send","room":"<room>","id":"<key>-', '","body":"', '"}'),
    ),
    "socketio": Dialect(
        path="/socket.io/?EIO=4&transport=websocket",
        waits=("0{", "40"),
        greetings=("40", '42["join","<room>"]'),
        ready='42["joined"',
        send=('42["send","<room>","<key>-', '","', '"]'),
    ),
}
