"""One instance, or some, looked at closely."""

from support.dashboards.panels import ONE, Dashboard, Panel, Row, drained, quantiles, rate

_STATE = Row(
    "State",
    (
        Panel(
            "State",
            "Good: `healthy`. Any other for minutes, apart from a drain: look at *Conditions*.",
            "none",
            ((f"max by (instance, state) (holdfast_health_state{{{ONE}}}) == 1", "{{instance}} {{state}}"),),
            runbook="dependencies.md#holdfastfleetdegraded",
        ),
        Panel(
            "Conditions",
            "The conditions of `/api/health` that hold now, with their reasons. Good: Connected, EchoSeen,"
            " Reachable, Current, Serving,"
            " Room, Unique, InStep, Running.",
            "none",
            ((f"max by (instance, type, reason) (holdfast_condition{{{ONE}}}) == 1", "{{instance}} {{type}}: {{reason}}"),),
            runbook="dependencies.md#holdfastinstanceisolated",
            width=16,
        ),
    ),
)

_ROOM = Row(
    "Room",
    (
        Panel(
            "Connections",
            "Open sockets and the limit. Good: below 70 % of it.",
            "none",
            (
                (f"sum by (instance) (holdfast_connections{{{ONE}}})", "{{instance}}"),
                (f"max(holdfast_connections_limit{{{ONE}}})", "limit"),
            ),
            runbook="instances.md#holdfastconnectionsnearlimit",
        ),
        Panel(
            "Memory",
            "Resident memory and the limit of the container. Good: below 75 % of it, and level while the connections are.",
            "bytes",
            (
                (f"sum by (instance) (holdfast_memory_resident_bytes{{{ONE}}})", "{{instance}}"),
                (f"max(holdfast_memory_limit_bytes{{{ONE}}} > 0)", "limit"),
            ),
            runbook="instances.md#holdfastmemorynearlimit",
        ),
        Panel(
            "Conversations",
            "Conversations with members connected here, and the limit. Good: below 80 % of it.",
            "none",
            (
                (f"sum by (instance) (holdfast_local_conversations{{{ONE}}})", "{{instance}}"),
                (f"max(holdfast_local_conversations_limit{{{ONE}}})", "limit"),
            ),
            runbook="instances.md#holdfastconversationsnearlimit",
        ),
        Panel(
            "CPU",
            "CPU seconds a second. Good: below 0.7; at 1 the event loop is full.",
            "none",
            ((f"sum by (instance) (rate(process_cpu_seconds_total{{{ONE}}}[$__rate_interval]))", "{{instance}}"),),
            steps=((0.7, "orange"), (0.95, "red")),
            runbook="instances.md#holdfastlooplag",
        ),
        Panel(
            "Open files",
            "File descriptors and their limit; every socket is one. Good: the connections and some dozens more,"
            " far below the limit.",
            "none",
            (
                (f"sum by (instance) (process_open_fds{{{ONE}}})", "{{instance}}"),
                (f"max(process_max_fds{{{ONE}}})", "limit"),
            ),
            runbook="instances.md#holdfastconnectionsnearlimit",
        ),
        Panel(
            "Garbage collections",
            "Collections of Python's oldest generation, which stop the loop. Good: below one in ten seconds. More: memory grows.",
            "ops",
            ((rate("python_gc_collections_total", "instance", where=ONE, more='generation="2"'), "{{instance}}"),),
            runbook="instances.md#holdfastmemorynearlimit",
        ),
    ),
)

_WORK = Row(
    "Work",
    (
        Panel(
            "Lateness of the event loop",
            "How late a tick is. Good: p99 below 25 ms. Above 0.25 s everything that this instance does is late.",
            "s",
            quantiles("holdfast_loop_delay_seconds", where=ONE),
            steps=((0.1, "orange"), (0.25, "red")),
            runbook="instances.md#holdfastlooplag",
        ),
        Panel(
            "Delivery latency",
            "As in *Overview*, for this instance's recipients. Good: p99 below 0.1 s.",
            "s",
            quantiles("holdfast_delivery_latency_seconds", where=ONE, more='path!="replay"'),
            steps=((1, "orange"), (3, "red")),
            runbook="service-levels.md#holdfastdeliveriesslow",
        ),
        Panel(
            "Acknowledgement latency",
            "As in *Overview*, for sends that this instance accepted. Good: p99 below 0.5 s.",
            "s",
            quantiles("holdfast_commit_latency_seconds", where=ONE, more='outcome="acknowledged"'),
            steps=((1, "orange"), (3, "red")),
            runbook="dependencies.md#holdfaststoreslow",
        ),
        Panel(
            "Deliveries by path",
            "Good: `local` and `bus`. `gap_fill` and `poll` here only: this instance has lost Redis or the bus.",
            "reqps",
            ((rate("holdfast_messages_delivered_total", "path", where=ONE), "{{path}}"),),
            runbook="dependencies.md#holdfastinstanceisolated",
            is_stacked=True,
        ),
        Panel(
            "Frames received",
            "By type. Good: follows the connections. One type far above the rest: a client in a loop.",
            "reqps",
            ((rate("holdfast_frames_received_total", "type", where=ONE), "{{type}}"),),
            runbook="connections.md#holdfastslowconsumers",
            is_stacked=True,
        ),
        Panel(
            "Messages waiting for their append",
            "Good: below 100. It grows towards 10,000: the store is slow, and sends will be refused as `overloaded`.",
            "none",
            ((f"sum by (instance) (holdfast_commit_queue_messages{{{ONE}}})", "{{instance}}"),),
            steps=((1000, "orange"), (8000, "red")),
            runbook="dependencies.md#holdfaststoreslow",
        ),
        Panel(
            "Slow consumers",
            "Sockets closed because the client did not read. Good: near 0.",
            "reqps",
            ((rate("holdfast_slow_consumers_total", "instance", where=ONE), "{{instance}}"),),
            runbook="connections.md#holdfastslowconsumers",
        ),
        Panel(
            "Drain",
            "Share of the connections that have left since the drain began. Good: rises evenly to 100 % within"
            " `drain.windowSeconds`.",
            "percentunit",
            ((drained(ONE), "{{instance}}"),),
            runbook="connections.md#holdfastdrainforcescloses",
            limits=(0, 1),
        ),
        Panel(
            "REST duration",
            "p99 by route. Good: below 0.5 s. All routes slow: the store or the loop.",
            "s",
            (
                (
                    f"histogram_quantile(0.99, {rate('holdfast_http_request_seconds_bucket', 'route, le', where=ONE)}) > 0",
                    "{{route}}",
                ),
            ),
            steps=((1, "orange"), (3, "red")),
            runbook="dependencies.md#holdfaststoreslow",
        ),
    ),
)

_FAULTS = Row(
    "Faults",
    (
        Panel(
            "Failures of background loops",
            "Unexpected errors by loop. Good: none. The log has a traceback of each, at most every 30 s.",
            "ops",
            ((f"{rate('holdfast_loop_failures_total', 'instance, loop', where=ONE)} > 0", "{{instance}} {{loop}}"),),
            runbook="instances.md#holdfastloopfailing",
        ),
        Panel(
            "Unreadable values",
            "Values of Redis and the store that could not be read and were skipped. Good: none. Else: another"
            " program writes there.",
            "ops",
            ((f"{rate('holdfast_undecodable_total', 'source', where=ONE)} > 0", "{{source}}"),),
            runbook="dependencies.md#holdfastfleetdegraded",
        ),
        Panel(
            "Dropped",
            "What was dropped because something was full or not wanted. Good: none, some in an outage.",
            "ops",
            ((rate("holdfast_dropped_total", "reason", where=ONE), "{{reason}}"),),
            runbook="service-levels.md#holdfastdeliveriesslow",
        ),
        Panel(
            "Clock",
            "How far the clock of the machine is ahead of the store's. Good: within 0.1 s of 0. Over 5 s: mend NTP on the node.",
            "s",
            ((f"max by (instance) (holdfast_clock_skew_seconds{{{ONE}}})", "{{instance}}"),),
            steps=((5, "red"),),
            runbook="dependencies.md#holdfastclockskewed",
            limits=(None, None),
        ),
    ),
)

DASHBOARD = Dashboard(
    "instance",
    "Instance",
    "One instance: its state, its room, its work and its faults.",
    (_STATE, _ROOM, _WORK, _FAULTS),
    has_instance=True,
)
