"""Metrics and logs: what an operator sees of one instance.

Every metric is declared here, prefix `holdfast_`, base units, label values from fixed sets only. One registry per `Telemetry`:
nothing is global, two instances in one test do not meet.
"""

import json
import logging
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

_LATENCY: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 3.0, 5.0, 10.0)
_MAX_LOG_FIELD: Final = 2_000  # characters; a hostile field must not become a megabyte of log


class WeightedHistogram(Collector):
    """A histogram that takes many equal observations in one step: a fan-out observes once for all its recipients."""

    def __init__(self, name: str, help_text: str, label: str, values: Sequence[str], buckets: Sequence[float]) -> None:
        self._name, self._help, self._label = name, help_text, label
        self._buckets = tuple(buckets)
        self._counts = {value: [0] * (len(buckets) + 1) for value in values}
        self._sums = dict.fromkeys(values, 0.0)

    def observe(self, value: str, seconds: float, times: int) -> None:
        """Record `times` observations of `seconds` under label value `value`."""
        self._counts[value][bisect_left(self._buckets, seconds)] += times
        self._sums[value] += seconds * times

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """For prometheus_client."""
        family = HistogramMetricFamily(self._name, self._help, labels=[self._label])
        for value, counts in self._counts.items():
            total, cumulative = 0, []
            for bound, count in zip((*map(str, self._buckets), "+Inf"), counts, strict=True):
                total += count
                cumulative.append((bound, total))
            family.add_metric([value], cumulative, self._sums[value])
        yield family


class CountersView(Collector):
    """Numbers that somebody counts anyway, as one counter with a label; `read` gives them when they are scraped."""

    def __init__(self, name: str, help_text: str, label: str, read: Callable[[], Mapping[str, int]]) -> None:
        self._name, self._help, self._label, self._read = name, help_text, label, read

    def collect(self) -> Iterator[CounterMetricFamily]:
        """For prometheus_client."""
        family = CounterMetricFamily(self._name, self._help, labels=[self._label])
        for value, count in self._read().items():
            family.add_metric([value], count)
        yield family


class Telemetry:
    """Every metric of one instance. `bus_counts`: what the bus counts, once there is one."""

    def __init__(self, version: str) -> None:
        self.registry = registry = CollectorRegistry()
        self.connections = Gauge("holdfast_connections", "Open sockets", registry=registry)
        self.connections_opened = Counter("holdfast_connections_opened", "Sockets accepted", registry=registry)
        self.connections_closed = Counter(
            "holdfast_connections_closed", "Sockets ended", ["code", "initiator"], registry=registry
        )
        self.handshake_failures = Counter("holdfast_handshake_failures", "Upgrades refused", ["reason"], registry=registry)
        self.resumes = Counter("holdfast_resumes", "Hellos answered", ["resumed"], registry=registry)
        self.rosters = Counter("holdfast_rosters", "Lists of a user's conversations found", ["source"], registry=registry)
        self.replays = Counter("holdfast_replays", "Conversations replayed to a client", ["source"], registry=registry)
        self.frames_received = Counter("holdfast_frames_received", "Frames from clients", ["type"], registry=registry)
        self.commands_refused = Counter("holdfast_commands_refused", "Commands refused", ["code"], registry=registry)
        self.delivered = Counter(
            "holdfast_messages_delivered", "Messages written to recipients' sockets", ["path"], registry=registry
        )
        self.dropped = Counter("holdfast_dropped", "What was dropped, by reason", ["reason"], registry=registry)
        self.delivery_latency = WeightedHistogram(
            "holdfast_delivery_latency_seconds",
            "From acceptance, at whichever instance, to the write to the recipient's socket",
            "path",
            PATHS,
            _LATENCY,
        )
        registry.register(self.delivery_latency)
        self.delivery_unmeasured = Counter(
            "holdfast_delivery_unmeasured",
            "Messages written to recipients' sockets whose time of acceptance is not known",
            ["path"],
            registry=registry,
        )
        self.commit_latency = Histogram(
            "holdfast_commit_latency_seconds", "From acceptance to ack or error", ["outcome"], buckets=_LATENCY, registry=registry
        )
        self.commit_batch = Histogram(
            "holdfast_commit_batch_messages", "Messages in one append", buckets=(1, 2, 5, 10, 20, 50, 100, 200), registry=registry
        )
        self.commit_conflicts = Counter("holdfast_commit_conflicts", "Appends that lost a race", registry=registry)
        self.commit_queue = Gauge("holdfast_commit_queue_messages", "Messages waiting for their append", registry=registry)
        self.slow_consumers = Counter("holdfast_slow_consumers", "Sockets closed for reading too slowly", registry=registry)
        self.dependency_up = Gauge("holdfast_dependency_up", "1 while it works", ["dependency"], registry=registry)
        self.dependency_latency = Histogram(
            "holdfast_dependency_latency_seconds", "Calls answered", ["dependency"], buckets=_LATENCY, registry=registry
        )
        self.dependency_failures = Counter(
            "holdfast_dependency_failures", "Calls failed", ["dependency", "kind"], registry=registry
        )
        self.store_replacements = Counter(
            "holdfast_store_replacements", "Times the store was found restored, renewed or emptied", registry=registry
        )
        self.bus_up = Gauge("holdfast_bus_up", "1 while the echo comes back and all meet at one Redis", registry=registry)
        self.clock_skew = Gauge(
            "holdfast_clock_skew_seconds", "How far the wall clock is ahead of the store's", registry=registry
        )
        self.resyncs = Counter("holdfast_resyncs", "Comparisons with the store", ["reason"], registry=registry)
        self.reads_delayed = Counter(
            "holdfast_reads_delayed", "Reads of comparisons that waited for their budget", registry=registry
        )
        self.gap_fills = Counter("holdfast_gap_fills", "Holes closed", ["source"], registry=registry)
        self.health_state = Gauge("holdfast_health_state", "1 for the state it is in", ["state"], registry=registry)
        self.health_transitions = Counter("holdfast_health_transitions", "Changes of state", ["state"], registry=registry)
        self.reaped = Counter(
            "holdfast_reaped_connections", "Connections of gone instances removed", ["trigger"], registry=registry
        )
        self.notifications = Counter(
            "holdfast_notifications", "Offline notifications, by what became of them", ["result"], registry=registry
        )
        self.memory_resident = Gauge("holdfast_memory_resident_bytes", "What the process has", registry=registry)
        self.memory_limit = Gauge("holdfast_memory_limit_bytes", "What it may have; 0: no limit", registry=registry)
        self.loop_lag = Gauge("holdfast_loop_lag_seconds", "How late the last tick of the loop was", registry=registry)
        self.local_conversations = Gauge("holdfast_local_conversations", "Conversations with local members", registry=registry)
        self.loop_failures = Counter(
            "holdfast_loop_failures", "Mistakes in background loops, which went on", ["loop"], registry=registry
        )
        for loop in LOOPS:
            self.loop_failures.labels(loop)
        self.undecodable = Counter(
            "holdfast_undecodable",
            "Unreadable values of Redis and the store, skipped",
            ["source"],
            registry=registry,
        )
        for source in SOURCES:
            self.undecodable.labels(source)
        self.bus_counts: Callable[[], Mapping[str, int]] = dict
        events = "What the bus received, sent, dropped and met, by event"
        registry.register(CountersView("holdfast_bus_events", events, "event", lambda: self.bus_counts()))
        Info("holdfast_build", "What is running", registry=registry).info({"version": version})


PATHS: Final = ("local", "bus", "gap_fill", "poll", "replay", "again")
LOOPS: Final = (
    "audit", "bulletins_read", "bulletins_write", "bus_listener", "bus_pipeline", "bus_watch", "catch_ups", "committer",
    "connecting", "isolation", "jwks", "lease", "notifications", "presence", "pushing", "reaper", "registration", "revocations",
    "rosters", "slow_tick", "sockets", "sweep", "tasks", "tick",
    "controller_conditions", "controller_costs", "controller_lead", "controller_watch",
)  # fmt: skip
SOURCES: Final = (
    "bulletin", "connections", "conversation", "cursor", "dirty", "envelope", "head", "instances", "member", "message",
    "notification", "recent", "revocation", "send", "subscriptions", "user", "wrong_type",
)  # fmt: skip


class _JsonFormatter(logging.Formatter):
    """One line, one object; control characters cannot end it early because JSON escapes them."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:_MAX_LOG_FIELD],
        }
        fields = getattr(record, "fields", None)
        if fields:
            line.update({key: str(value)[:_MAX_LOG_FIELD] for key, value in fields.items()})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)[-8_000:]
        return json.dumps(line, ensure_ascii=True)


class _TextFormatter(logging.Formatter):
    """For a terminal; what clients sent is escaped, so that nobody paints on the operator's screen."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        fields = " ".join(f"{key}={str(value)[:200]!r}" for key, value in getattr(record, "fields", {}).items())
        message = record.getMessage()[:_MAX_LOG_FIELD].encode("unicode_escape").decode()
        text = f"{at} {record.levelname:<7} {record.name}: {message} {fields}".rstrip()
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def configure_logging(level: str, log_format: str) -> None:
    """Send everything to standard error, one line per event."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("holdfast.websocket").setLevel(logging.WARNING)  # the library would log frames, tokens among them
    for noisy in ("uvicorn.access", "asyncio", "google", "grpc", "httpx", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
