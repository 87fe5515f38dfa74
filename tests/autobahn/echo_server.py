"""The service's WebSocket rim with a session that echoes, for Autobahn's fuzzing client. Loopback only; Ctrl-C ends it.

The very class that chats: only whom it admits and what a message means is replaced.
"""

import argparse
import asyncio

import uvicorn
import uvloop

from holdfast.protocol.frames import text_frame
from holdfast.web.handshake import Offer, UpgradeRequest
from holdfast.web.http import GuardedHttp
from holdfast.web.websocket import WebSocket


class EchoSocket(WebSocket):
    """Says back what it hears."""

    __slots__ = ()
    max_message_bytes = 32 * 1024 * 1024

    def admit(self, request: UpgradeRequest) -> Offer:
        """Everybody."""
        key = request.value(b"sec-websocket-key") or b""
        return Offer(key, None, None, may_explain=False)

    def on_text(self, text: bytes) -> None:
        """As text."""
        self.write(text_frame(text))

    def on_binary(self, data: bytes) -> None:
        """As binary: the same header with another opcode."""
        self.write(b"\x82" + text_frame(data)[1:])

    def on_slow(self) -> None:
        """The suite reads at its own pace."""


async def nothing(scope: object, receive: object, send: object) -> None:
    """No HTTP here."""


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9011)
    args = parser.parse_args()
    config = uvicorn.Config(
        nothing, host="127.0.0.1", port=args.port, http=GuardedHttp, ws=EchoSocket, lifespan="off", log_level="warning"
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(uvicorn.Server(config).serve())


if __name__ == "__main__":
    main()
