"""One instance, or some, looked at closely."""

from holdfast.telemetry.labels import REASONS
from support.dashboards.panels import ONE, PATHS, STATES, Dashboard, Panel, Row, drained, faults, quantiles, rate

_WELL = "|".join(good for good, *_ in REASONS.values())

_CODES = " + ".join(
    f'{code} * sum by (instance) (holdfast_health_state{{{ONE},state="{state}"}})' for code, (state, _) in enumerate(STATES)
)
_STATE = Row(
    "State",
    (
        Panel(
            "State",
            "Good: `healthy`. Any other for minutes, apart from a drain: look at *Conditions*.",
            "none",
            ((_CODES, "{{instance}}"),),
            runbook="dependencies.md#holdfastfleetdegraded",
            kind="state-timeline",
            limits=(None, None),
            values=tuple((code, state, color) for code, (state, color) in enumerate(STATES)),
        ),
        Panel(
            "Conditions",
            "The conditions of `/api/health`. Good: all green. A condition is orange while it is not well on an instance; a line"
            " below says on which, and why.",
            "none",
            (
                (f'min by (type) (sum by (instance, type) (holdfast_condition{{{ONE},reason=~"{_WELL}"}}))', "{{type}}"),
                (
                    f'2 * max by (instance, type, reason) (holdfast_condition{{{ONE},reason!~"{_WELL}"}}) > 0',
                    "{{instance}}: {{reason}}",
                ),
            ),
            runbook="dependencies.md#holdfastinstanceisolated",
            kind="state-timeline",
            width=16,
            limits=(None, None),
            values=((0, "not well", "orange"), (1, "well", "green"), (2, "now", "red")),
        ),
    ),
)

_ROOM = Row(
    "Room",
    (
        Panel(
            "Share of the limits",
            "How much of each limit the fullest of the chosen instances uses. Good: below 70 %. Above 80 % an alert follows.",
            "percentunit",
            (
                (f"max(holdfast_connections{{{ONE}}} / holdfast_connections_limit{{{ONE}}})", "connections"),
                (f"max(holdfast_memory_resident_bytes{{{ONE}}} / (holdfast_memory_limit_bytes{{{ONE}}} > 0))", "memory"),
                (f"max(holdfast_local_conversations{{{ONE}}} / holdfast_local_conversations_limit{{{ONE}}})", "conversations"),
                (f"max(process_open_fds{{{ONE}}} / process_max_fds{{{ONE}}})", "files"),
            ),
            steps=((0.8, "orange"), (0.95, "red")),
            runbook="instances.md#holdfastconnectionsnearlimit",
            limits=(0, 1),
        ),
        Panel(
            "Connections",
            "Open sockets. Good: follows the time of day, and is alike on all instances.",
            "none",
            ((f"sum by (instance) (holdfast_connections{{{ONE}}})", "{{instance}}"),),
            runbook="instances.md#holdfastconnectionsnearlimit",
        ),
        Panel(
            "Conversations",
            "Conversations with members connected here. Good: grows with the connections, not by itself.",
            "none",
            ((f"sum by (instance) (holdfast_local_conversations{{{ONE}}})", "{{instance}}"),),
            runbook="instances.md#holdfastconversationsnearlimit",
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
            "CPU",
            "Share of one CPU. Good: below 70 %; at 100 % the event loop is full.",
            "percentunit",
            ((f"sum by (instance) (rate(process_cpu_seconds_total{{{ONE}}}[$__rate_interval]))", "{{instance}}"),),
            steps=((0.7, "orange"), (0.95, "red")),
            runbook="instances.md#holdfastlooplag",
        ),
        Panel(
            "Open files",
            "File descriptors; every socket is one. Good: the connections and some dozens more.",
            "none",
            ((f"sum by (instance) (process_open_fds{{{ONE}}})", "{{instance}}"),),
            runbook="instances.md#holdfastconnectionsnearlimit",
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
            "Garbage collections",
            "Collections of Python's oldest generation, which stop the loop. Good: below one in ten seconds. More: memory grows.",
            "ops",
            ((rate("python_gc_collections_total", "instance", where=ONE, more='generation="2"'), "{{instance}}"),),
            runbook="instances.md#holdfastmemorynearlimit",
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
            "mps",
            ((rate("holdfast_messages_delivered_total", "path", where=ONE), "{{path}}"),),
            runbook="dependencies.md#holdfastinstanceisolated",
            is_stacked=True,
            colors=PATHS,
        ),
        Panel(
            "Frames received",
            "By type. Good: follows the connections. One type far above the rest: a client in a loop.",
            "mps",
            ((rate("holdfast_frames_received_total", "type", where=ONE), "{{type}}"),),
            runbook="connections.md#holdfastslowconsumers",
            is_stacked=True,
            colors=(("send", "green"), ("read", "blue")),
        ),
        Panel(
            "Slow consumers",
            "Sockets closed because the client did not read. Good: near 0.",
            "cps",
            ((rate("holdfast_slow_consumers_total", "instance", where=ONE), "{{instance}}"),),
            runbook="connections.md#holdfastslowconsumers",
        ),
        Panel(
            "Drain",
            "Share of the connections that have left since the drain began. Good: rises evenly to 100 % within"
            " `drain.windowSeconds`. Empty while no instance drains.",
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
            width=24,
            has_table=True,
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
            faults("holdfast_loop_failures_total", "instance, loop", "{{instance}} {{loop}}", where=ONE),
            runbook="instances.md#holdfastloopfailing",
            width=6,
        ),
        Panel(
            "Unreadable values",
            "Values of Redis and the store that could not be read and were skipped. Good: none. Else: another"
            " program writes there.",
            "ops",
            faults("holdfast_undecodable_total", "source", "{{source}}", where=ONE),
            runbook="dependencies.md#holdfastfleetdegraded",
            width=6,
        ),
        Panel(
            "Dropped",
            "What was dropped because something was full or not wanted. Good: none, some in an outage.",
            "ops",
            ((rate("holdfast_dropped_total", "reason", where=ONE), "{{reason}}"),),
            runbook="service-levels.md#holdfastdeliveriesslow",
            width=6,
        ),
        Panel(
            "Clock",
            "How far the clock of the machine is ahead of the store's. Good: within 0.1 s of 0. Over 5 s: mend NTP on the node.",
            "s",
            ((f"max by (instance) (holdfast_clock_skew_seconds{{{ONE}}})", "{{instance}}"),),
            steps=((5, "red"),),
            runbook="dependencies.md#holdfastclockskewed",
            width=6,
            limits=(None, None),
            roof=0.1,
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
