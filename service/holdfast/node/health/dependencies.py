"""How the outside systems behave, as adapters report it: bad news at once, good news after three clean seconds."""

from typing import Final

from holdfast.loops import REDIS, STORE
from holdfast.node.health.store_calls import OPERATION
from holdfast.ports import Clock
from holdfast.telemetry import Telemetry

RECOVERY_SECONDS: Final = 3.0
_TIMEOUTS_TO_FAIL: Final = 2  # one slow answer is weather, two are an outage


class Dependency:
    """One outside system. Implements `ports.DependencyWatch`; called from the loop and from adapters' threads."""

    def __init__(self, name: str, clock: Clock, telemetry: Telemetry) -> None:
        self.name = name
        self.error: str | None = "not reached yet"
        self.latency_seconds = 0.0
        self.was_reached = False
        self._clock = clock
        self._timeouts = 0
        self._clean_since: float | None = None
        label = REDIS if name == REDIS else STORE  # one alert and one panel for every kind of store
        self._up = telemetry.dependency_up.labels(label)
        self._latency = telemetry.dependency_latency.labels(label)
        self._timed_out = telemetry.dependency_failures.labels(label, "timeout")
        self._refused = telemetry.dependency_failures.labels(label, "refused")
        self._undecodable = telemetry.undecodable
        self._postponed = telemetry.dependency_failures.labels(label, "busy")
        self._read, self._written = telemetry.store_documents_read, telemetry.store_documents_written

    def succeeded(self, latency_seconds: float) -> None:
        """A call was answered."""
        self._latency.observe(latency_seconds)
        self.latency_seconds += 0.2 * (latency_seconds - self.latency_seconds)
        now = self._clock.monotonic()
        self._timeouts = 0
        if self.error is not None and self._clean_since is None:
            self._clean_since = now
        if not self.was_reached:
            self.was_reached = True
            self.error = None
            self._up.set(1)

    def failed(self, reason: str, *, is_timeout: bool) -> None:
        """A call was refused, reset, or not answered in time."""
        (self._timed_out if is_timeout else self._refused).inc()
        self._clean_since = None
        self._timeouts += is_timeout
        if self.error is None and is_timeout and self._timeouts < _TIMEOUTS_TO_FAIL:
            return
        self.error = reason[:200]
        self._up.set(0)

    def postponed(self) -> None:
        """A call was not made: too many were under way. How those fare decides."""
        self._postponed.inc()

    def undecodable(self, source: str, count: int = 1) -> None:
        """Values that it gave are none of ours."""
        self._undecodable.labels(source).inc(count)

    def documents(self, *, read: int = 0, written: int = 0) -> None:
        """Documents that will be billed, by the operation that asked for them."""
        operation = OPERATION.get()
        if read:
            self._read.labels(operation).inc(read)
        if written:
            self._written.labels(operation).inc(written)

    def evaluate(self) -> None:
        """Believe a recovery that has lasted; to be called once a second."""
        since = self._clean_since
        if self.error is not None and since is not None and self._clock.monotonic() - since >= RECOVERY_SECONDS:
            self.error = None
            self._clean_since = None
            self._up.set(1)

    @property
    def is_connected(self) -> bool:
        """Whether it works, as far as we know."""
        return self.error is None
