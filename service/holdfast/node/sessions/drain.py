"""The ordered end: every client is told when its connection closes, and closes are paced, so that no other instance is stormed.

A small instance closes `_LEAST_PER_SECOND` connections a second. Where the window is too short for that, the closes are spread
over the window instead: it is the upper bound.
"""

import asyncio
import logging
import random
from typing import Final

from holdfast.node.connections.connection import Connection
from holdfast.node.connections.hub import Hub
from holdfast.node.health.evaluator import Health
from holdfast.ports import Clock
from holdfast.protocol import frames
from holdfast.protocol.codes import CloseCode
from holdfast.waiting import is_set_within

_HURRY_AT: Final = 0.8  # of the window: what is left then goes at once, so that the flush keeps its time
_OVERLAP_SECONDS: Final = 3.0  # make before break: a client has that long on both sockets, or half of the window

_LEAST_SECONDS: Final = 1.0  # answers over HTTP say meanwhile that their connections close: a busy pool has left by then
_LEAST_SHARE: Final = 0.1  # of the window, where it is short
_LEAST_PER_SECOND: Final = 10.0  # a reconnect costs an instance some milliseconds: no instance notices so few

_log = logging.getLogger(__name__)


class Drain:
    """Lives in the loop. `run` once; `hurry` ends the pacing."""

    def __init__(self, hub: Hub, health: Health, clock: Clock, window_seconds: float) -> None:
        self._hub = hub
        self._health = health
        self._clock = clock
        self._window_seconds = window_seconds
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """A second signal: let everybody go now."""
        self._hurry.set()

    async def run(self) -> None:
        """Tell every client, then close paced; returns within the window, when no connection is left and HTTP pools were told."""
        self._health.is_draining = True
        self._health.evaluate()
        connections = list(self._hub.connections.values())
        _log.info("draining", extra={"fields": {"connections": len(connections)}})
        began = self._clock.monotonic()
        span = self._window_seconds * _HURRY_AT
        overlap = min(_OVERLAP_SECONDS, span / 2)
        pace = min((span - overlap) / max(1, len(connections)), 1 / _LEAST_PER_SECOND)
        due = [(began + overlap + pace * (index + 1), connection) for index, connection in enumerate(connections)]
        for at, connection in due:
            try:
                _announce(connection, at - began, overlap)
            except Exception:  # noqa: BLE001 - as for `_let_go`
                _log.exception("a connection could not be told")
        for at, connection in due:
            if connection.connection_id not in self._hub.connections:
                continue  # its client has connected elsewhere and left
            if not self._hurry.is_set() and (left := at - self._clock.monotonic()) > 0:
                await is_set_within(self._hurry, left)
            _let_go(connection)
        least = min(_LEAST_SECONDS, self._window_seconds * _LEAST_SHARE)
        if not self._hurry.is_set() and (left := began + least - self._clock.monotonic()) > 0:
            await is_set_within(self._hurry, left)
        self._let_all_go("draining")

    def run_at_once(self, reason: str) -> None:
        """Close every socket now, untold: what these connections know is not valid any more. Clients connect again."""
        self._health.is_draining = True
        self._health.evaluate()
        self._let_all_go(reason)

    def _let_all_go(self, reason: str) -> None:
        for connection in tuple(self._hub.connections.values()):
            _let_go(connection, reason)


def _let_go(connection: Connection, reason: str = "draining") -> None:
    try:
        connection.transport.close(CloseCode.SERVICE_RESTART, reason)
    except Exception:  # noqa: BLE001 - one connection's mistake must not keep all others, nor the end of this instance
        _log.exception("a connection could not be closed")


def _announce(connection: Connection, closes_in_seconds: float, overlap_seconds: float) -> None:
    reconnect_after = max(0.0, closes_in_seconds - overlap_seconds) * random.uniform(0.8, 1.0)
    draining = frames.Draining(reconnect_after_ms=int(reconnect_after * 1000), closes_in_ms=int(closes_in_seconds * 1000))
    connection.write(frames.frame(draining))
