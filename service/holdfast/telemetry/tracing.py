"""Traces of sampled sends: which are sampled, and the spans that one send has on every instance on its way.

Whether a send is sampled is decided here, once, when it is received, and travels with it. A send that is not sampled has the
trace None: it costs that decision and comparisons with None, and allocates nothing.

receive (the instance that the client talks to) -> commit (one for each batch, linked to its sends) -> publish -> deliver (one for
each message and instance).
"""

import asyncio
import random
from collections.abc import Mapping
from typing import Final, Protocol

from holdfast.telemetry.collectors import Example
from holdfast.telemetry.spans import Attributes, Span, SpanQueue
from holdfast.telemetry.traceparent import SpanContext, parse

_CLOCK_STEP_NS: Final = 100_000_000  # the wall clock was set, not read a millisecond later

_random = random.random


class Clock(Protocol):
    """The clocks of spans."""

    def monotonic(self) -> float:
        """Seconds that only grow."""
        ...

    def now_ms(self) -> int:
        """Unix milliseconds of the wall clock."""
        ...


class Bucket(Protocol):
    """A token bucket."""

    def spend(self, count: int, now: float) -> float:
        """Take `count` tokens, or none; 0.0 where they were there, else the seconds until they are."""
        ...


class Received:
    """One sampled send at the instance that received it.

    Attributes:
        context: of its `receive` span.
        taken_at: when its batch was made up (monotonic seconds).
    """

    __slots__ = ("_began_at", "_parent", "_tracing", "_via", "context", "taken_at")

    def __init__(self, tracing: "Tracing", via: str, context: SpanContext, parent: SpanContext | None, now: float) -> None:
        self.context = context
        self.taken_at = now
        self._tracing = tracing
        self._via = via
        self._parent = parent
        self._began_at = now

    @property
    def exemplar(self) -> dict[str, str]:
        """For a bucket of `holdfast_commit_latency_seconds`."""
        return {"trace_id": self.context.trace_id}

    def answered(self, conversation_id: str, outcome: str, *, is_error: bool) -> None:
        """The client has its answer: `acknowledged`, or the code of an error."""
        attributes = {"holdfast.conversation_id": conversation_id, "holdfast.via": self._via, "holdfast.outcome": outcome}
        self._tracing.put("receive", self.context, self._parent, self._began_at, attributes, is_error=is_error)


class Arrived:
    """One sampled message at an instance that may have recipients of it.

    Attributes:
        context: of the span that it came from: the commit here, the publication of another instance.
        came_at: when it came here (monotonic seconds).
        fanned_out_at: when it was given to the recipients; until then it was held, behind a gap or for the membership.
    """

    __slots__ = ("came_at", "context", "conversation_id", "fanned_out_at")

    def __init__(self, context: SpanContext, conversation_id: str, came_at: float) -> None:
        self.context = context
        self.conversation_id = conversation_id
        self.came_at = self.fanned_out_at = came_at


class Tracing:
    """Lives in the event loop."""

    def __init__(self, clock: Clock | None, spans: SpanQueue, *, ratio: float = 0.0, callers: Bucket | None = None) -> None:
        """`ratio`: the share of sends that is sampled here. `callers`: how often a caller's decision to sample is followed;
        None: never.
        """
        self.spans = spans
        self._clock = clock
        self._ratio = ratio
        self._callers = callers
        self._is_on = clock is not None
        self._offset_ns = 0

    @classmethod
    def off(cls) -> "Tracing":
        """No send is sampled."""
        return cls(None, SpanQueue(lambda _: True))

    def begin(self, traceparent: str | None, via: str) -> Received | None:
        """A send was received; None: it is not sampled. `via`: `websocket` or `rest`.

        The caller's decision in `traceparent` is followed, within the limit for all callers. Beyond it, and where the text is
        absent or malformed, the ratio decides.
        """
        if traceparent is None or self._callers is None:
            if _random() >= self._ratio:
                return None
            return self._received(via, SpanContext.root(), None)
        parent = parse(traceparent)
        if parent is None:
            return self.begin(None, via)
        if not parent.is_sampled:
            return None
        if self._callers.spend(1, self._now()) and _random() >= self._ratio:
            return None
        return self._received(via, parent.context.child(), parent.context)

    def committed(self, conversation_id: str, sends: Mapping[int, Received], messages: int) -> dict[int, SpanContext]:
        """A batch of `messages` is stored, these of it are sampled, by seq; what each message's next span comes after.

        The span belongs to the trace of the first one and links all of them.
        """
        first_seq, first = next(iter(sends.items()))
        context, links = first.context.child(), tuple(each.context for each in sends.values())
        attributes: Attributes = {
            "holdfast.conversation_id": conversation_id,
            "holdfast.messages": messages,
            "holdfast.first_seq": first_seq,
        }
        self.put("commit", context, first.context, first.taken_at, attributes, links)
        return {seq: each.context for seq, each in sends.items()} | {first_seq: context}

    def published(self, arrived: Mapping[int, Arrived], messages: int) -> dict[int, str]:
        """An envelope with `messages` is about to go out, these of it are sampled; returns the trace contexts to put into it."""
        first_seq, first = next(iter(arrived.items()))
        context, links = first.context.child(), tuple(each.context for each in arrived.values())
        attributes: Attributes = {"holdfast.conversation_id": first.conversation_id, "holdfast.messages": messages}
        self.put("publish", context, first.context, first.came_at, attributes, links)
        return {seq: each.context.traceparent for seq, each in arrived.items()} | {first_seq: context.traceparent}

    def arrived(self, conversation_id: str, traceparent: str, now: float) -> Arrived | None:
        """A message came from another instance, which decided that it is sampled. None: this instance exports no traces."""
        parent = parse(traceparent) if self._is_on else None
        return None if parent is None or not parent.is_sampled else Arrived(parent.context, conversation_id, now)

    def delivered(self, arrived: Arrived, seq: int, path: str, recipients: int) -> Example:
        """A message was written to the sockets of its recipients here; for a bucket of `holdfast_delivery_latency_seconds`."""
        attributes: Attributes = {
            "holdfast.conversation_id": arrived.conversation_id,
            "holdfast.seq": seq,
            "holdfast.path": path,
            "holdfast.recipients": recipients,
            "holdfast.held_seconds": arrived.fanned_out_at - arrived.came_at,
        }
        ended_ns = self.put("deliver", arrived.context.child(), arrived.context, arrived.came_at, attributes)
        return Example(arrived.context.trace_id, ended_ns / 1e9)

    def put(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        began_at: float,
        attributes: Attributes,
        links: tuple[SpanContext, ...] = (),
        *,
        is_error: bool = False,
    ) -> int:
        """A span ends now; it began at `began_at` (monotonic seconds). Returns its end in Unix nanoseconds."""
        offset_ns = self._wall_offset_ns()
        ended_ns = int(self._now() * 1e9) + offset_ns
        began_ns = min(int(began_at * 1e9) + offset_ns, ended_ns)
        self.spans.put(Span(name, context, parent, links, began_ns, ended_ns, attributes, is_error=is_error))
        return ended_ns

    async def close(self) -> None:
        """Export what waits, within `spans.CLOSE_SECONDS`."""
        if self.spans.is_exporting:
            await asyncio.to_thread(self.spans.close)

    def _received(self, via: str, context: SpanContext, parent: SpanContext | None) -> Received:
        return Received(self, via, context, parent, self._now())

    def _now(self) -> float:
        assert self._clock is not None  # noqa: S101 - nothing is sampled where tracing is off
        return self._clock.monotonic()

    def _wall_offset_ns(self) -> int:
        """The wall clock less the monotonic one. Kept until the wall clock is set: spans of one trace stay in their order."""
        assert self._clock is not None  # noqa: S101 - nothing is sampled where tracing is off
        offset_ns = self._clock.now_ms() * 1_000_000 - int(self._clock.monotonic() * 1e9)
        if abs(offset_ns - self._offset_ns) > _CLOCK_STEP_NS:
            self._offset_ns = offset_ns
        return self._offset_ns
