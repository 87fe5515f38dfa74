"""What recipients' sockets were given, and how long that was after its acceptance, whatever the path.

The acceptance travels in the store's time, which this instance knows as well as the one that accepted (`store_clock`): with the
messages in envelopes and in `recent`. Of a message that is read from the store it is the time of its commit.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from holdfast.domain.ids import Seq
from holdfast.domain.messages import Message
from holdfast.node.connection import Connection
from holdfast.node.hub import Hub
from holdfast.node.outgoing import Outgoing, outgoing
from holdfast.node.store_clock import StoreClock
from holdfast.telemetry import PATHS, Telemetry


class Deliveries:
    """Lives in the loop. Costs nothing per socket: one observation for each message, with the number of its recipients."""

    def __init__(self, hub: Hub, clock: StoreClock, telemetry: Telemetry) -> None:
        self._hub = hub
        self._clock = clock
        self._latency = telemetry.delivery_latency
        self._delivered = {path: telemetry.delivered.labels(path) for path in PATHS}
        self._unmeasured = {path: telemetry.delivery_unmeasured.labels(path) for path in PATHS}
        self._unobserved: list[tuple[Outgoing, int]] = []

    def moments(self, accepted_ms: Iterable[int]) -> list[float | None]:
        """Times of the store on our monotonic clock; see `StoreClock.moments`."""
        return self._clock.moments(list(accepted_ms))

    def stored(self, messages: Sequence[Message], path: str, known: Mapping[Seq, float] = MappingProxyType({})) -> list[Outgoing]:
        """Encode messages of the store. `known`: when some were accepted here (monotonic seconds); the others: when committed."""
        committed_at = self.moments(message.committed_at_ms for message in messages)
        return [outgoing(message, path, known.get(message.seq, at)) for message, at in zip(messages, committed_at, strict=True)]

    def stamps(self, items: Sequence[Outgoing]) -> list[int]:
        """When these were accepted, in the store's time; 0 where that is not known."""
        return self._clock.stamps([item.accepted_at for item in items])

    def fanned_out(self, item: Outgoing, recipients: int) -> None:
        """A message is on its way to that many sockets, which get it at the end of this tick; it is observed after that."""
        if not self._unobserved:
            asyncio.get_running_loop().call_soon(self._observe_all)
        self._unobserved.append((item, recipients))

    def replayed(self, connection: Connection, items: Iterable[Outgoing]) -> None:
        """Messages were written to one socket."""
        if not connection.is_ended:
            now = self._clock.monotonic()
            for item in items:
                self._observe(item, 1, now)

    def _observe_all(self) -> None:
        unobserved, self._unobserved = self._unobserved, []  # first: a flush that fails must not leave a list that only grows
        self._hub.flush()
        now = self._clock.monotonic()
        for item, recipients in unobserved:
            self._observe(item, recipients, now)

    def _observe(self, item: Outgoing, recipients: int, now: float) -> None:
        self._delivered[item.path].inc(recipients)
        if item.accepted_at is None:
            self._unmeasured[item.path].inc(recipients)
        else:
            self._latency.observe(item.path, max(0.0, now - item.accepted_at), recipients)
