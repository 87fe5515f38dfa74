"""What the probe tells Prometheus. Every series is there from the start, so that the first event is seen as one."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from holdfast.probe.judge import KINDS, Verdict

STEPS: Final = ("connect", "resume", "send", "deliver", "rest_send", "retry", "create", "first_message", "leave")
RESULTS: Final = ("ok", "failed")
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0)


class Measures:
    """Every metric of one probe, in a registry of its own."""

    def __init__(self) -> None:
        """All zero."""
        self.registry = registry = CollectorRegistry()
        self.connect = _histogram("connect", "From the first byte to the welcome of an instance", registry)
        self.ack = _histogram("ack", "From a send over the socket to its acknowledgement", registry)
        self.delivery = _histogram("delivery", "From a send to the other user's client, which was connected then", registry)
        self.resume = _histogram("resume", "From the end of a connection until the next one has replayed what came", registry)
        self._violations = Counter("holdfast_probe_violations", "Promises broken, by kind", ["kind"], registry=registry)
        for kind in KINDS:
            self._violations.labels(kind)
        self._attempts = Counter("holdfast_probe_attempts", "What was tried", ["step", "result"], registry=registry)
        for step in STEPS:
            for result in RESULTS:
                self._attempts.labels(step, result)
        self.instances = Gauge("holdfast_probe_instances", "Different instances that the two users are at", registry=registry)

    def tried(self, step: str, *, is_ok: bool, times: int = 1) -> None:
        """Count an attempt. `step`: one of `STEPS`."""
        self._attempts.labels(step, "ok" if is_ok else "failed").inc(times)

    def judged(self, verdict: Verdict) -> None:
        """Count what was found."""
        for violation in verdict.violations:
            self._violations.labels(violation.kind).inc()
        for seconds in verdict.latencies:
            self.delivery.observe(seconds)
        self.tried("deliver", is_ok=True, times=verdict.delivered)
        self.tried("deliver", is_ok=False, times=verdict.undelivered)


def _histogram(name: str, help_text: str, registry: CollectorRegistry) -> Histogram:
    return Histogram(f"holdfast_probe_{name}_seconds", help_text, buckets=_SECONDS, registry=registry)
