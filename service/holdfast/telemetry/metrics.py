"""Every metric of one instance. Their descriptions are the page `docs/metrics.md`, which is made of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Final, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics import MetricWrapperBase

from holdfast.telemetry import labels
from holdfast.telemetry.collectors import CountersView, WeightedHistogram
from holdfast.telemetry.tracing import Tracing

_LATENCY: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 3.0, 5.0, 10.0)
_RESUME: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0)  # the service level is at 2 s
_CALL: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5)
_DELAY: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

M = TypeVar("M", bound=MetricWrapperBase)

disable_created_metrics()  # type: ignore[no-untyped-call]  # twice as many series, and no panel of ours asks when one was made


class Telemetry:
    """Every metric of one instance.

    Attributes:
        bus_counts: what the bus counts, once there is one.
        tracing: which sends are traced, and their spans.
    """

    def __init__(self, version: str, store: str = "none", tracing: Tracing | None = None) -> None:
        """`store`: its kind, as `holdfast_build_info` says it. `tracing`: off, where none is given."""
        self.tracing = tracing or Tracing.off()
        self.registry = CollectorRegistry()
        self.bus_counts: Callable[[], Mapping[str, int]] = dict
        self._connections()
        self._messages()
        self._dependencies()
        self._recovery()
        self._process()
        Info("holdfast_build", "1; the running version and the kind of its store", registry=self.registry).info(
            {"version": version, "store": store}
        )

    def note_lag(self, seconds: float) -> None:
        """A tick of the event loop came that late."""
        self.loop_lag.set(seconds)
        self.loop_delay.observe(max(0.0, seconds))

    # --- the metrics ------------------------------------------------------------------------------------------------------

    def _connections(self) -> None:
        self.connections = self._gauge("connections", "open sockets")
        self.connections_limit = self._gauge("connections_limit", "how many sockets the instance takes")
        self.connections_opened = self._counter("connections_opened", "sockets accepted")
        self.connections_closed = self._counter(
            "connections_closed",
            "sockets ended, by close code and by which side began it (`none`: the connection broke). A drain's closes that the "
            "client did not forestall are `1012` by the `server`",
            code=labels.CLOSE_CODES,
            initiator=labels.INITIATORS,
        )
        self.handshake_failures = self._counter("handshake_failures", "upgrades refused, by error code", reason=labels.CODES)
        self.resumes = self._counter("resumes", "hellos answered, by whether the client had cursors", resumed=("yes", "no"))
        self.resume_seconds = self._histogram("resume_seconds", "from `hello` to `synced`", _RESUME, resumed=("yes", "no"))
        self.rosters = self._counter(
            "rosters", "connections that found their user's conversations, by where", source=("redis", "store")
        )
        self.replays = self._counter(
            "replays",
            "conversations replayed to a client that came back, from `recent` (Redis), the store, or both",
            source=("recent", "store"),
        )
        self.frames_received = self._counter("frames_received", "frames from clients, by type", type=labels.FRAMES)
        self.commands_refused = self._counter("commands_refused", "commands refused, by error code", code=labels.CODES)
        self.slow_consumers = self._counter("slow_consumers", "sockets closed because their clients read too slowly")
        self.http_requests = self._add(
            Counter(
                "holdfast_http_requests",
                "REST calls of the public port, by template of the route. HEAD counts as GET; probes, documents and unknown "
                "addresses are `other`",
                ["route", "method", "status"],
                registry=self.registry,
            ),
            ((route, method, status) for (method, route), status in product(labels.ROUTES, labels.STATUSES)),
        )
        self.http_seconds = self._add(
            Histogram(
                "holdfast_http_request_seconds",
                "duration of REST calls of the public port",
                ["route", "method"],
                buckets=(*_CALL, 5.0),
                registry=self.registry,
            ),
            ((route, method) for method, route in labels.ROUTES),
        )

    def _messages(self) -> None:
        self.delivered = self._counter(
            "messages_delivered",
            "messages written to recipients' sockets, by the path on which they came: `replay` to a client that came back or "
            "entered, `again` published again for an instance that did not",
            path=labels.PATHS,
        )
        self.delivery_latency = WeightedHistogram(
            "holdfast_delivery_latency_seconds",
            "from the acceptance, at whichever instance, to the write to the recipient's socket. In the store's time: exact to "
            "less than one round trip to the store. Of messages read from the store it counts from their commit. `replay` "
            "contains the absence of the client",
            "path",
            labels.PATHS,
            _LATENCY,
        )
        self.registry.register(self.delivery_latency)
        self.delivery_unmeasured = self._counter(
            "delivery_unmeasured",
            "deliveries without an observation: the acceptance is not known (it came from an instance of an earlier version), or "
            "the store's time is not (the first seconds of an instance, a clock that was set)",
            path=labels.PATHS,
        )
        self.dropped = self._counter(
            "dropped",
            "what was dropped: `held` messages and `notifications` because too many waited, envelopes of another generation of "
            "the store or that could not be read",
            reason=("held", "malformed_envelope", "notifications", "other_generation"),
        )
        self.commit_latency = self._histogram(
            "commit_latency_seconds",
            "from acceptance to `ack` or `error`. `refused`: a mistake of the client; `unavailable`: not stored, and `unknown`: "
            "stored perhaps, both no fault of the client",
            _LATENCY,
            outcome=("acknowledged", "refused", "unavailable", "unknown"),
        )
        self.commit_batch = self._histogram("commit_batch_messages", "messages in one append", (1, 2, 5, 10, 20, 50, 100, 200))
        self.commit_conflicts = self._counter("commit_conflicts", "appends that another instance was faster with")
        self.commit_queue = self._gauge("commit_queue_messages", "messages that wait for their append")
        self.stored_marks = self._counter(
            "stored_marks",
            "marks that commits carried into the store because Redis confirmed none: `written` and `removed` by this instance, "
            "`finished` for an instance that died or left them",
            event=("written", "removed", "finished"),
        )
        self.stored_marks_open = self._gauge(
            "stored_marks_open",
            "marks in the store that this instance will remove: of commits whose notifications are not decided, or that no "
            "written state names",
        )
        self.notifications = self._counter(
            "notifications",
            "offline notifications, by what became of them; `filtered`: the user was connected",
            result=("created", "filtered", "sent", "retried", "dead"),
        )
        self.notifications_oldest_due = self._gauge(
            "notifications_oldest_due_seconds",
            "how old the oldest notification was whose first push was due when this instance looked last; 0: none was",
        )

    def _dependencies(self) -> None:
        dependency = labels.DEPENDENCIES
        self.dependency_up = self._gauge("dependency_up", "1 while it works", dependency=dependency)
        self.dependency_latency = self._histogram(
            "dependency_latency_seconds", "duration of answered calls", _LATENCY, dependency=dependency
        )
        self.dependency_failures = self._counter(
            "dependency_failures",
            "calls that failed; `busy`: not made, because too many were under way",
            dependency=dependency,
            kind=("timeout", "refused", "busy"),
        )
        self.store_operations = self._counter(
            "store_operations",
            "calls to the store, by what was asked. `conflict`: lost a race; `refused`: a definite no; `failed`: no answer, "
            "or none that counts",
            operation=labels.STORE_OPERATIONS,
            result=labels.STORE_RESULTS,
        )
        self.store_operation_seconds = self._histogram(
            "store_operation_seconds",
            "duration of calls to the store, whatever their result",
            _CALL,
            operation=labels.STORE_OPERATIONS,
        )
        self._documents()
        self.store_replacements = self._counter(
            "store_replacements", "how often this process found the store restored, renewed or emptied, and began anew"
        )
        self.declared_dead = self._counter(
            "declared_dead", "how often others declared this process dead while it lived, and it began anew; 0 is normal"
        )
        self.bus_up = self._gauge("bus_up", "1 while the echo comes back and all instances use one Redis")
        counts = lambda: self.bus_counts()  # noqa: E731 - short, and twice needed
        events = CountersView(
            "holdfast_bus_events", "what the bus between instances does while it works", labels.BUS_EVENTS, counts
        )
        failures = CountersView(
            "holdfast_bus_failures",
            "what the bus met that is not well: a deaf connection, envelopes dropped because Redis was away or the queue full, "
            "refused commands, envelopes that were too large or without a valid seal, callbacks that failed, echoes of another "
            "process under the same name",
            labels.BUS_FAILURES,
            counts,
        )
        self.registry.register(events)
        self.registry.register(failures)
        self.clock_skew = self._gauge(
            "clock_skew_seconds",
            "how far the wall clock is ahead of the store's (negative: behind), as of the last write of this instance's state, "
            "every 3 s",
        )
        self.undecodable = self._counter(
            "undecodable",
            "values in Redis and the store that could not be read and were skipped. 0 is normal",
            source=labels.SOURCES,
        )

    def _documents(self) -> None:
        """The bill of Firestore."""
        operations = (*labels.STORE_OPERATIONS, labels.OTHER)
        what = (
            "by the call to the store that they were part of (`other`: the first contact). Of SQLite, which has no bill, always 0"
        )
        self.store_documents_read = self._counter(
            "store_documents_read",
            "documents that Firestore read for answers that came, as it bills them: one for each document, those that do not "
            "exist included, at least one for each query, one for each 1,000 index entries of a count; " + what,
            operation=operations,
        )
        self.store_documents_written = self._counter(
            "store_documents_written",
            "documents that Firestore wrote or deleted, as it bills them, no-op writes included; " + what + ". A commit whose "
            "answer was lost, and what the TTL policy deletes later, are billed beside these",
            operation=operations,
        )

    def _recovery(self) -> None:
        self.resyncs = self._counter(
            "resyncs",
            "comparisons with the store, by reason",
            reason=("resubscribed", "thaw", "split", "overflow", "store_replaced"),
        )
        self.reads_delayed = self._counter(
            "reads_delayed", "reads of comparisons with the store that waited, because those may cost 300 reads a second"
        )
        self.gap_fills = self._counter(
            "gap_fills",
            "fetches for holes in a conversation's stream, from `recent` (Redis) or the store",
            source=("recent", "store"),
        )
        self.oldest_gap = self._gauge(
            "oldest_gap_seconds", "age of the oldest hole in the stream of a conversation with members here; 0: there is none"
        )
        self.health_state = self._gauge("health_state", "1 for the state it is in", state=labels.STATES)
        self.health_transitions = self._counter("health_transitions", "changes of state, by the one entered", state=labels.STATES)
        self.condition = self._add(
            Gauge(
                "holdfast_condition",
                "1 for the reason that each condition has now",
                ["type", "reason"],
                registry=self.registry,
            ),
            ((kind, reason) for kind, reasons in labels.REASONS.items() for reason in reasons),
        )
        self.drain_connections = self._gauge(
            "drain_connections", "open sockets when the drain began; 0 before. `holdfast_connections` is what is left of them"
        )
        self.reaped = self._counter(
            "reaped_connections",
            "connections of gone instances removed: `lease` (lease and heartbeat ended) or `kubelet` (Kubernetes saw the "
            "container end)",
            trigger=("lease", "kubelet"),
        )

    def _process(self) -> None:
        self.memory_resident = self._gauge("memory_resident_bytes", "what the process has in memory")
        self.memory_limit = self._gauge(
            "memory_limit_bytes",
            "what it may have: the container's limit (cgroup v2 or v1), or `HOLDFAST_LIMITS__MEMORY_BYTES`; 0: no limit, no mark",
        )
        self.loop_lag = self._gauge("loop_lag_seconds", "how late the event loop's last tick was")
        self.loop_delay = self._histogram("loop_delay_seconds", "how late each tick of the event loop was, 20 a second", _DELAY)
        self.local_conversations = self._gauge("local_conversations", "conversations with members connected here")
        self.local_conversations_limit = self._gauge("local_conversations_limit", "how many of them the instance follows at most")
        self.loop_failures = self._counter(
            "loop_failures", "unexpected errors in background loops, which went on. 0 is normal", loop=labels.LOOPS
        )
        spans = self.tracing.spans.counts
        self.registry.register(
            CountersView(
                "holdfast_trace_spans",
                "spans of sampled messages, by what became of them: `exported`, or dropped because too many waited "
                "(`queue_full`) or the collector did not take them (`export_failed`). 0 while tracing is off",
                tuple(spans),
                lambda: spans,
            )
        )
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    # --- how they are made ------------------------------------------------------------------------------------------------

    def _counter(self, name: str, text: str, **values: Sequence[str]) -> Counter:
        return self._add(Counter(f"holdfast_{name}", text, list(values), registry=self.registry), product(*values.values()))

    def _gauge(self, name: str, text: str, **values: Sequence[str]) -> Gauge:
        return self._add(Gauge(f"holdfast_{name}", text, list(values), registry=self.registry), product(*values.values()))

    def _histogram(self, name: str, text: str, buckets: Sequence[float], **values: Sequence[str]) -> Histogram:
        made = Histogram(f"holdfast_{name}", text, list(values), buckets=buckets, registry=self.registry)
        return self._add(made, product(*values.values()))

    @staticmethod
    def _add(metric: M, series: Iterable[tuple[str, ...]]) -> M:
        """Make each series now."""
        for values in series:
            if values:
                metric.labels(*values)
        return metric
