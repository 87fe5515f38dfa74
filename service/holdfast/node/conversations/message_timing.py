"""Encodes messages with the times of their acceptance, and observes how long they took to recipients' sockets, for every path.

The time of acceptance travels in the store's time, which this instance knows as well as the one that accepted (`store_clock`):
with the messages in envelopes and in `recent`. Of a message that is read from the store it is the time of its commit.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from msgspec import UNSET

from holdfast.domain.ids import InstanceId, Seq
from holdfast.domain.messages import Message
from holdfast.node.cluster.store_clock import UNKNOWN, StoreClock
from holdfast.node.connections.connection import Connection
from holdfast.node.connections.encoded import Encoded, decoded, encoded, enveloped
from holdfast.node.connections.hub import Hub
from holdfast.node.sending.append import Commit
from holdfast.protocol.envelopes import MessagesEnvelope
from holdfast.telemetry import PATHS, Arrived, Telemetry


class MessageTiming:
    """Lives in the loop. Costs nothing per socket: one observation for each message, with the number of its recipients."""

    def __init__(self, hub: Hub, clock: StoreClock, telemetry: Telemetry) -> None:
        self._hub = hub
        self._clock = clock
        self._tracing = telemetry.tracing
        self._latency = telemetry.delivery_latency
        self._delivered = {path: telemetry.delivered.labels(path) for path in PATHS}
        self._unmeasured = {path: telemetry.delivery_unmeasured.labels(path) for path in PATHS}
        self._unobserved: list[tuple[Encoded, int]] = []

    def moments(self, accepted_ms: Iterable[int]) -> list[float | None]:
        """Times of the store on our monotonic clock; see `StoreClock.moments`."""
        return self._clock.moments(list(accepted_ms))

    def stored(self, messages: Sequence[Message], path: str, known: Mapping[Seq, float] = MappingProxyType({})) -> list[Encoded]:
        """Encode messages of the store. `known`: when some were accepted here (monotonic seconds); the others: when committed."""
        committed_at = self.moments(message.committed_at_ms for message in messages)
        return [encoded(message, path, known.get(message.seq, at)) for message, at in zip(messages, committed_at, strict=True)]

    def committed(self, commit: Commit) -> list[Encoded]:
        """Encode what this instance committed."""
        items = self.stored(commit.messages, "local", commit.acceptances)
        if not commit.traces:
            return items
        now = self._clock.monotonic()
        traces = {seq: Arrived(context, commit.conversation_id, now) for seq, context in commit.traces.items()}
        return [replace(item, trace=traces.get(item.seq)) for item in items]

    def received(self, envelope: MessagesEnvelope) -> Iterable[Encoded]:
        """What another instance published, each checked."""
        told = envelope.accepted_ms
        accepted_ms = told if len(told) == len(envelope.messages) else [UNKNOWN] * len(envelope.messages)
        items = decoded(envelope.c, envelope.messages, "bus", self.moments(accepted_ms))
        return items if envelope.traceparents is UNSET else self._traced(envelope.c, items, envelope.traceparents)

    def enveloped(
        self, commit: Commit, run: list[Encoded], generation: str, instance_id: InstanceId
    ) -> tuple[bytes, list[bytes]]:
        """A run of a commit as an envelope, and each of its messages as `recent` keeps it."""
        age_ms = max(0, round((self._clock.monotonic() - commit.accepted_at) * 1000))
        stamps = self._clock.stamps([item.accepted_at for item in run])
        sampled = {item.seq: item.trace for item in run if item.trace is not None} if commit.traces else None
        traceparents = self._tracing.published(sampled, len(run)) if sampled else UNSET
        return enveloped(commit.conversation_id, run, stamps, age_ms, generation, instance_id, traceparents)

    def fanned_out(self, item: Encoded, recipients: int) -> None:
        """A message is on its way to that many sockets, which get it at the end of this tick; it is observed after that."""
        if not self._unobserved:
            asyncio.get_running_loop().call_soon(self._observe_all)
        if item.trace is not None:
            item.trace.fanned_out_at = self._clock.monotonic()
        self._unobserved.append((item, recipients))

    def replayed(self, connection: Connection, items: Iterable[Encoded]) -> None:
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

    def _observe(self, item: Encoded, recipients: int, now: float) -> None:
        exemplar = None
        if item.trace is not None:
            exemplar = self._tracing.delivered(item.trace, item.seq, item.path, recipients)
        self._delivered[item.path].inc(recipients)
        if item.accepted_at is None:
            self._unmeasured[item.path].inc(recipients)
        else:
            self._latency.observe(item.path, max(0.0, now - item.accepted_at), recipients, exemplar)

    def _traced(self, conversation_id: str, items: Iterable[Encoded], traceparents: Mapping[int, str]) -> Iterable[Encoded]:
        now = self._clock.monotonic()
        for item in items:
            traceparent = traceparents.get(item.seq)
            if traceparent is None:
                yield item
            else:
                yield replace(item, trace=self._tracing.arrived(conversation_id, traceparent, now))
