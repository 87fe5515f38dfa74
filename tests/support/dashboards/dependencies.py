"""Redis, the bus between instances, the store, and what a message costs."""

from support.dashboards.panels import FLEET, Dashboard, Panel, Row, faults, rate

_ACCEPTED = rate("holdfast_commit_latency_seconds_count", more='outcome="acknowledged"')


def _latency(dependency: str, title: str, good: str, steps: tuple[float, float], runbook: str) -> Panel:
    return Panel(
        f"Latency of {title}",
        f"Calls that were answered. Good: p99 below {good}. Above: look at the machine it runs on, and at the network.",
        "s",
        tuple(
            (
                f"histogram_quantile({share}, "
                + rate("holdfast_dependency_latency_seconds_bucket", "le", more=f'dependency="{dependency}"')
                + ")",
                name,
            )
            for share, name in ((0.5, "p50"), (0.99, "p99"))
        ),
        steps=((steps[0], "orange"), (steps[1], "red")),
        runbook=runbook,
    )


def _documents(what: str, done: str, good: str) -> Panel:
    return Panel(
        f"Documents {done}",
        f"Documents that Firestore bills as {what}, by operation. Good: {good} Empty with SQLite, which has no bill.",
        "ops",
        ((f"{rate(f'holdfast_store_documents_{done}_total', 'operation')} > 0", "{{operation}}"),),
        runbook="dependencies.md#holdfaststoreslow",
        is_stacked=True,
        width=12,
        has_table=True,
    )


_BOTH = Row(
    "Redis and the store",
    (
        Panel(
            "Instances that reach it",
            "Share of the instances for which it works. Good: 100 %. Both lines low on one instance only: that"
            " instance's network.",
            "percentunit",
            ((f"avg by (dependency) (holdfast_dependency_up{{{FLEET}}})", "{{dependency}}"),),
            runbook="dependencies.md#holdfastfleetdegraded",
            limits=(0, 1),
        ),
        _latency("redis", "Redis", "10 ms", (0.1, 0.5), "dependencies.md#holdfastfleetdegraded"),
        _latency("store", "the store", "0.3 s", (0.5, 1), "dependencies.md#holdfaststoreslow"),
        Panel(
            "Failed calls",
            "By kind. Good: none. `timeout`: slow or hung; `refused`: down, denied or full; `busy`: more calls"
            " at once than are made.",
            "reqps",
            faults("holdfast_dependency_failures_total", "dependency, kind", "{{dependency}} {{kind}}"),
            runbook="dependencies.md#holdfaststorefailing",
        ),
        Panel(
            "Restored or emptied stores",
            "How often instances found another generation of the store and began anew. Good: 0, and once for"
            " each instance in a restore.",
            "none",
            ((f"sum(increase(holdfast_store_replacements_total{{{FLEET}}}[$__rate_interval]))", "replacements"),),
            steps=((1, "orange"),),
            runbook="service-levels.md#holdfastexactnessviolated",
        ),
        Panel(
            "Connections reaped",
            "Connections of instances that are gone, removed by others. Good: 0; a peak after an instance was killed.",
            "cps",
            ((rate("holdfast_reaped_connections_total", "trigger"), "{{trigger}}"),),
            runbook="connections.md#holdfastabnormalcloses",
        ),
    ),
)

_BUS = Row(
    "Bus between instances",
    (
        Panel(
            "Instances with a live bus",
            "Share of the instances that hear themselves over Redis and meet all others there. Good: 100 %."
            " `Deaf`: no echo; `Split`: two"
            " primaries.",
            "percentunit",
            (
                (f"avg(holdfast_bus_up{{{FLEET}}})", "live"),
                (f'avg by (reason) (holdfast_condition{{{FLEET},type="BusLive",reason=~"Deaf|Split"}})', "{{reason}}"),
            ),
            runbook="dependencies.md#holdfastbusdeaf",
            limits=(0, 1),
            colors=(("live", "green"), ("Deaf", "orange"), ("Split", "red")),
        ),
        Panel(
            "Envelopes",
            "What instances publish and receive. Good: `received` is `sent` times the instances that follow a conversation.",
            "mps",
            ((rate("holdfast_bus_events_total", "event", more='event=~"sent|received"'), "{{event}}"),),
        ),
        Panel(
            "Failures of the bus",
            "By event. Good: none. `dropped_away` and `deaf` in an outage of Redis; `unsigned`: another program"
            " publishes, or a secret"
            " differs; `refused`: an ACL, or Redis is full.",
            "mps",
            faults("holdfast_bus_failures_total", "event", "{{event}}"),
            runbook="dependencies.md#holdfastbusdeaf",
        ),
        Panel(
            "Gaps filled",
            "Holes in streams that were closed, from Redis (`recent`) or the store. Good: near 0.",
            "cps",
            ((rate("holdfast_gap_fills_total", "source"), "{{source}}"),),
            runbook="service-levels.md#holdfastdeliveriesslow",
        ),
        Panel(
            "Comparisons with the store",
            "By reason. Good: none; one for each instance after an outage of Redis. Again and again: the bus is unstable.",
            "ops",
            ((rate("holdfast_resyncs_total", "reason"), "{{reason}}"),),
            runbook="dependencies.md#holdfastbusdeaf",
        ),
        Panel(
            "Reads that waited",
            "Reads of comparisons that waited, because these may cost 300 reads a second. Good: 0. After an"
            " outage: streams are complete"
            " when it is 0 again.",
            "ops",
            ((rate("holdfast_reads_delayed_total"), "delayed"),),
            runbook="dependencies.md#holdfastbusdeaf",
        ),
    ),
)

_STORE = Row(
    "Store and cost",
    (
        Panel(
            "Store by operation",
            "Calls to the store, the most frequent on top of the table. Good: `append` follows the messages; the rest is small"
            " while Redis works.",
            "ops",
            ((f"{rate('holdfast_store_operations_total', 'operation')} > 0", "{{operation}}"),),
            runbook="dependencies.md#holdfaststoreslow",
            is_stacked=True,
            width=12,
            has_table=True,
        ),
        Panel(
            "Duration by operation",
            "p99, the slowest on top of the table. Good: below 0.5 s. One operation alone: an index, or one busy conversation."
            " All: the store.",
            "s",
            (
                (
                    f"histogram_quantile(0.99, {rate('holdfast_store_operation_seconds_bucket', 'operation, le')}) > 0",
                    "{{operation}}",
                ),
            ),
            steps=((0.5, "orange"), (1, "red")),
            runbook="dependencies.md#holdfaststoreslow",
            width=12,
            has_table=True,
        ),
        Panel(
            "Store calls that did not succeed",
            "Good: `conflict` of busy conversations only. `failed`: no answer, denied or too busy.",
            "ops",
            ((rate("holdfast_store_operations_total", "result", more='result!="ok"'), "{{result}}"),),
            runbook="dependencies.md#holdfaststorefailing",
            colors=(("conflict", "yellow"), ("refused", "orange"), ("failed", "red")),
        ),
        Panel(
            "Lost races",
            "Appends that another instance was faster with. Good: below a tenth of the messages. More: one"
            " conversation has many writers, or Redis is lost.",
            "ops",
            ((rate("holdfast_commit_conflicts_total"), "conflicts"),),
            runbook="dependencies.md#holdfaststoreslow",
        ),
        Panel(
            "Messages in one append",
            "The average batch. Good: near 1 in quiet conversations; it grows with the load, and that is what"
            " keeps the store fast.",
            "none",
            (
                (
                    f"{rate('holdfast_commit_batch_messages_sum')} / {rate('holdfast_commit_batch_messages_count')}",
                    "messages",
                ),
            ),
        ),
        Panel(
            "Store calls for each message",
            "All calls to the store for each acknowledged message. Good: level, and below 3 with real"
            " traffic. Higher at night,"
            " when few messages share the fixed cost of the instances.",
            "none",
            ((f"{rate('holdfast_store_operations_total')} / {_ACCEPTED}", "calls"),),
            runbook="dependencies.md#holdfaststoreslow",
            width=12,
        ),
        Panel(
            "Documents for each message",
            "The bill of Firestore: documents read and written for each acknowledged message. Good: level; 2 written for the"
            " message itself, the rest is receipts, notifications and presence. Higher at night, when few messages share the"
            " fixed cost of the instances.",
            "none",
            tuple((f"{rate(f'holdfast_store_documents_{done}_total')} / {_ACCEPTED}", done) for done in ("read", "written")),
            runbook="dependencies.md#holdfaststoreslow",
            width=12,
            roof=1,
        ),
        _documents(
            "reads",
            "read",
            "low and level, with peaks where clients connect. `heads` or `read_messages` for long: the bus does not work.",
        ),
        _documents("writes", "written", "`append` follows the messages, twice; the rest is smaller."),
    ),
)

DASHBOARD = Dashboard(
    "dependencies",
    "Dependencies",
    "Redis, the bus between instances, the store, and what a message costs.",
    (_BOTH, _BUS, _STORE),
)
