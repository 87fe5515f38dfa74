"""The protocols of one accepted connection: HTTP, and WebSocket after an upgrade. No listening socket, no signals.

`server` puts these under uvicorn's `Server`; a protocol object works over any other asyncio transport as well.
"""

import asyncio
from typing import Any, Final

import uvicorn
from uvicorn.server import ServerState

from holdfast.web.app import internal_app, public_app
from holdfast.web.gate import Gate
from holdfast.web.http import GuardedHttp
from holdfast.web.refusals import Refusals
from holdfast.web.shielded import Lifetime, Shielded
from holdfast.web.socket import ChatSocket

GRACEFUL_SECONDS: Final = 5


class Protocols:
    """Makes the protocol objects of one application.

    Attributes:
        config: uvicorn's, loaded.
        state: the open HTTP connections and running requests, as uvicorn counts them.
    """

    def __init__(
        self,
        app: Any,
        socket: type[asyncio.Protocol] | None,
        keep_alive_seconds: float,
        malformed: Refusals,
        lifetime: Lifetime,
    ) -> None:
        """`app`: ASGI. `socket`: the class that takes upgraded connections over; None where there are none.

        `malformed`: told of what is no HTTP. `lifetime`: asked at each answer.
        """
        self._malformed = malformed
        self.state = ServerState()
        self.config = uvicorn.Config(
            Shielded(app, lifetime),
            http=self._make,  # type: ignore[arg-type]  # declared as a class; uvicorn only calls it
            ws=socket if socket is not None else "none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=keep_alive_seconds,  # type: ignore[arg-type]  # declared an int, but only handed to `call_later`
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
        )
        self.config.load()

    def __call__(self) -> asyncio.Protocol:
        """The protocol of one new connection, for `create_server` or a transport of any kind. Called in the loop."""
        return self._make()

    def _make(self, *, _loop: asyncio.AbstractEventLoop | None = None, **_: Any) -> asyncio.Protocol:
        """What uvicorn asks for; the configuration and state that it hands over are ours."""
        return GuardedHttp(self.config, self.state, {}, _loop, self._malformed)


def public_protocols(gate: Gate) -> Protocols:
    """The protocols for connections of clients."""
    keep_alive_seconds, health = gate.node.settings.http.keep_alive_seconds, gate.node.health
    return Protocols(public_app(gate), ChatSocket.bound_to(gate), keep_alive_seconds, gate.malformed, health)


def internal_protocols(gate: Gate) -> Protocols:
    """What the neighbours in the cluster connect to."""
    keep_alive_seconds, health = gate.node.settings.http.keep_alive_seconds, gate.node.health
    return Protocols(internal_app(gate), None, keep_alive_seconds, gate.malformed, health)
