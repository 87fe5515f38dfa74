"""What users feel, and where it comes from: the first dashboard to look at."""

from support.dashboards.panels import FLEET, PATHS, SOURCE, STATES, Dashboard, Panel, Row, faults, quantiles, rate

_NOT_REPLAYED = 'path!="replay"'
_BUDGETS = {"delivery": 0.01, "sends": 0.001, "handshakes": 0.001, "resume": 0.01, "probe": 0.001}
_REFUSED = rate("holdfast_handshake_failures_total", more='reason=~"overloaded|draining|internal_error|store_unavailable"')
_CPU = f"sum by (instance) (rate(process_cpu_seconds_total{{{FLEET}}}[$__rate_interval]))"


def _budget(slo: str, title: str, section: str) -> Panel:
    return Panel(
        f"Error budget left: {title}",
        "The share of the error budget of the last three days that is not spent. Good: above 50 %. Below 25 %,"
        " put off risky changes;"
        " below 0 the objective is missed. Needs the recording rules. The probe is shown where it runs.",
        "percentunit",
        ((f'1 - max(holdfast:slo_error_ratio:3d{{{FLEET},slo="{slo}"}}) / {_BUDGETS[slo]}', title),),
        steps=((0.25, "orange"), (0.5, "green")),
        base="red",
        runbook=f"service-levels.md#{section}",
        kind="stat",
        width=6,
        limits=(None, 1),
    )


def _share(title: str, description: str, query: str, section: str) -> Panel:
    return Panel(
        title,
        f"Share of the instances, now. Good: 100 %. {description}",
        "percentunit",
        ((query, title),),
        steps=((0.5, "orange"), (1, "green")),
        base="red",
        runbook=f"dependencies.md#{section}",
        kind="stat",
        width=6,
        limits=(0, 1),
    )


_NOW = Row(
    "Now",
    (
        _share(
            "Instances that are healthy",
            "Less in a rollout. All degraded: look to the right which dependency is lost; one: *Instances by state* below.",
            f'sum(holdfast_health_state{{{FLEET},state="healthy"}}) / count(holdfast_build_info{{{FLEET}}})',
            "holdfastfleetdegraded",
        ),
        _share(
            "Instances that reach Redis",
            "0 %: messages between instances take up to 3 s until Redis is back; none is lost.",
            f'avg(holdfast_dependency_up{{{FLEET},dependency="redis"}})',
            "holdfastfleetdegraded",
        ),
        _share(
            "Instances that reach the store",
            "0 %: sends are refused until the store is back; connections stay open.",
            f'avg(holdfast_dependency_up{{{FLEET},dependency="store"}})',
            "holdfaststorefailing",
        ),
        _share(
            "Instances with a live bus",
            "Lower with Redis reached: pub/sub is deaf or split; open *Dependencies*.",
            f"avg(holdfast_bus_up{{{FLEET}}})",
            "holdfastbusdeaf",
        ),
    ),
)

_FELT = Row(
    "What users feel",
    (
        _budget("delivery", "delivery", "holdfastdeliveriesslow"),
        _budget("sends", "sends", "holdfastsendsfailing"),
        _budget("handshakes", "handshakes", "holdfasthandshakesfailing"),
        _budget("resume", "resume", "holdfastresumesslow"),
        Panel(
            "Delivery latency",
            "From acceptance to the write to the recipient's socket, replays left out. Good: p99 below 0.1 s. Up"
            " to 3 s while Redis is"
            " lost. Above, look at *Deliveries by path*.",
            "s",
            quantiles("holdfast_delivery_latency_seconds", more=_NOT_REPLAYED),
            steps=((1, "orange"), (3, "red")),
            runbook="service-levels.md#holdfastdeliveriesslow",
        ),
        Panel(
            "Acknowledgement latency",
            "From acceptance of a send to its answer. Good: p99 below 0.5 s. It is the store's time: above, open *Dependencies*.",
            "s",
            quantiles("holdfast_commit_latency_seconds", more='outcome="acknowledged"'),
            steps=((1, "orange"), (3, "red")),
            runbook="dependencies.md#holdfaststoreslow",
        ),
        Panel(
            "Sends that failed",
            "Sends that were answered with a fault of the service. Good: none. `unavailable`: not stored;"
            " `unknown`: may be stored."
            " Clients send both again.",
            "reqps",
            ((rate("holdfast_commit_latency_seconds_count", "outcome", more='outcome=~"unavailable|unknown"'), "{{outcome}}"),),
            steps=((0.1, "red"),),
            runbook="service-levels.md#holdfastsendsfailing",
        ),
        Panel(
            "Burn of error budgets",
            "How many times faster than allowed each error budget was spent in the last hour. Good: below 1."
            " Above 14.4 for five minutes"
            " an alert pages. Needs the recording rules.",
            "none",
            tuple(
                (f'max(holdfast:slo_error_ratio:1h{{{FLEET},slo="{slo}"}}) / {budget}', slo) for slo, budget in _BUDGETS.items()
            ),
            steps=((1, "orange"), (14.4, "red")),
            runbook="README.md#severities",
        ),
        Panel(
            "Time from hello to synced",
            "How long a client that connects waits for its conversations. Good: p99 below 1 s. Above 2 s, look"
            " at *Where reconnects"
            " read from*.",
            "s",
            quantiles("holdfast_resume_seconds"),
            steps=((1, "orange"), (2, "red")),
            runbook="service-levels.md#holdfastresumesslow",
        ),
        Panel(
            "Age of the oldest gap",
            "How long the oldest hole in a conversation's stream has been open. Good: 0, with peaks below 1 s. A"
            " plateau: an instance"
            " waits for a message that does not come; look at *Store by operation* in *Dependencies*.",
            "s",
            ((f"max(holdfast_oldest_gap_seconds{{{FLEET}}})", "oldest gap"),),
            steps=((3, "red"),),
            runbook="service-levels.md#holdfastdeliveriesslow",
        ),
    ),
)

_TRAFFIC = Row(
    "Traffic",
    (
        Panel(
            "Messages accepted",
            "Sends that were acknowledged. Good: follows the time of day. A sudden drop without closes: look at"
            " *Sends that failed*.",
            "mps",
            ((rate("holdfast_commit_latency_seconds_count", more='outcome="acknowledged"'), "acknowledged"),),
        ),
        Panel(
            "Deliveries by path",
            "Messages written to sockets. Good: `local` and `bus`. `gap_fill` and `poll` in numbers: the bus"
            " loses messages, or Redis is"
            " away. `replay`: clients that come back.",
            "mps",
            ((rate("holdfast_messages_delivered_total", "path"), "{{path}}"),),
            runbook="service-levels.md#holdfastdeliveriesslow",
            is_stacked=True,
            colors=PATHS,
        ),
        Panel(
            "Commands refused",
            "By error code. Good: few, and codes of clients (`rate_limited`, `invalid_request`)."
            " `store_unavailable`, `internal_error` and"
            " `overloaded` are faults of the service.",
            "reqps",
            faults("holdfast_commands_refused_total", "code", "{{code}}"),
            runbook="service-levels.md#holdfastsendsfailing",
        ),
        Panel(
            "REST calls",
            "By class of status. Good: almost no 5xx. 4xx in numbers: a new version of a client.",
            "reqps",
            ((rate("holdfast_http_requests_total", "status"), "{{status}}"),),
            is_stacked=True,
            colors=(("2xx", "green"), ("4xx", "yellow"), ("5xx", "red")),
        ),
        Panel(
            "Offline notifications",
            "By what became of them. Good: `sent` follows `created`. `retried` in numbers or `dead`: the webhook fails.",
            "cps",
            ((rate("holdfast_notifications_total", "result", more='result!="filtered"'), "{{result}}"),),
            runbook="instances.md#holdfastnotificationsfailing",
        ),
        Panel(
            "Oldest notification due",
            "How overdue the first try of the oldest offline notification is. Good: below 10 s. It grows: the webhook is slow.",
            "s",
            ((f"max(holdfast_notifications_oldest_due_seconds{{{FLEET}}})", "oldest"),),
            steps=((120, "red"),),
            runbook="instances.md#holdfastnotificationslate",
        ),
    ),
)

_CONNECTIONS = Row(
    "Connects and closes",
    (
        Panel(
            "Connections",
            "Open sockets of all instances. Good: follows the time of day. A step down that does not come back:"
            " clients cannot connect. How near the limit is: *Fullest instance*.",
            "none",
            ((f"sum(holdfast_connections{{{FLEET}}})", "open"),),
            runbook="instances.md#holdfastconnectionsnearlimit",
        ),
        Panel(
            "Connects and closes",
            "Good: both lines together, and low. A peak of both: a rollout, a lost instance, or a reconnect storm.",
            "cps",
            ((rate("holdfast_connections_opened_total"), "opened"), (rate("holdfast_connections_closed_total"), "closed")),
            runbook="connections.md#holdfastreconnectstorm",
        ),
        Panel(
            "Closes by code",
            "Good: 1000 and 1001 (clients leave), 1012 in a rollout. 1006 or 4001 in numbers: the network or the"
            " edge; 1011: a fault of the"
            " service; 4000: slow clients.",
            "cps",
            ((f"{rate('holdfast_connections_closed_total', 'code, initiator')} > 0", "{{code}} {{initiator}}"),),
            runbook="connections.md#holdfastabnormalcloses",
            is_stacked=True,
        ),
        Panel(
            "Handshakes refused",
            "By reason. Good: tokens that expired. `overloaded`, `draining`, `internal_error` and"
            " `store_unavailable` are faults of the"
            " service.",
            "reqps",
            faults("holdfast_handshake_failures_total", "reason", "{{reason}}"),
            runbook="service-levels.md#holdfasthandshakesfailing",
        ),
        Panel(
            "Share of handshakes refused by the service",
            "Good: 0. Above 0.1 % the error budget is spent faster than allowed: add instances, or look at the rollout.",
            "percentunit",
            ((f"{_REFUSED} / ({rate('holdfast_connections_opened_total')} + {_REFUSED})", "refused"),),
            steps=((0.001, "orange"), (0.0144, "red")),
            runbook="service-levels.md#holdfasthandshakesfailing",
        ),
        Panel(
            "Where reconnects read from",
            "Good: `redis` and `recent`. `store`: Redis is lost, was emptied, or may not be believed; reconnects"
            " cost the store reads then.",
            "reqps",
            (
                (rate("holdfast_rosters_total", "source"), "lists from {{source}}"),
                (rate("holdfast_replays_total", "source"), "replays from {{source}}"),
            ),
            runbook="service-levels.md#holdfastresumesslow",
        ),
    ),
)

_INSTANCES = Row(
    "Instances",
    (
        Panel(
            "Instances by state",
            "Good: all `healthy`; `starting` and `draining` in a rollout. `degraded` on all: Redis or the store."
            " On one: that instance.",
            "none",
            ((f"sum by (state) (holdfast_health_state{{{FLEET}}}) > 0", "{{state}}"),),
            runbook="dependencies.md#holdfastfleetdegraded",
            is_stacked=True,
            colors=STATES,
        ),
        Panel(
            "Connections by instance",
            "Good: lines of like height. After a rollout the newest have fewest until clients reconnect.",
            "none",
            ((f"sum by (instance) (holdfast_connections{{{FLEET}}})", "{{instance}}"),),
            runbook="instances.md#holdfastconnectionsnearlimit",
        ),
        Panel(
            "Fullest instance",
            "The highest share of a limit that an instance uses. Good: below 70 %. Above 80 % an alert follows; add instances.",
            "percentunit",
            (
                (f"max(holdfast_connections{{{FLEET}}} / holdfast_connections_limit{{{FLEET}}})", "connections"),
                (f"max(holdfast_memory_resident_bytes{{{FLEET}}} / (holdfast_memory_limit_bytes{{{FLEET}}} > 0))", "memory"),
                (
                    f"max(holdfast_local_conversations{{{FLEET}}} / holdfast_local_conversations_limit{{{FLEET}}})",
                    "conversations",
                ),
            ),
            steps=((0.8, "orange"), (0.95, "red")),
            runbook="instances.md#holdfastconnectionsnearlimit",
            limits=(0, 1),
        ),
        Panel(
            "CPU by instance",
            "Share of one CPU. Good: below 70 %. An instance uses one CPU at most; near 100 % everything is late.",
            "percentunit",
            ((f"{_CPU} and on (instance) holdfast_build_info{{{FLEET}}}", "{{instance}}"),),
            steps=((0.7, "orange"), (0.95, "red")),
            runbook="instances.md#holdfastlooplag",
        ),
        Panel(
            "Lateness of event loops",
            "p99 of how late a tick is, by instance. Good: below 25 ms. One line apart from the rest: a bad pod or node.",
            "s",
            (
                (
                    f"histogram_quantile(0.99, {rate('holdfast_loop_delay_seconds_bucket', 'instance, le')})",
                    "{{instance}}",
                ),
            ),
            steps=((0.1, "orange"), (0.25, "red")),
            runbook="instances.md#holdfastlooplag",
        ),
        Panel(
            "Versions",
            "How many instances run each version. Good: one version, two in a rollout.",
            "none",
            ((f"count by (version) (holdfast_build_info{{{FLEET}}})", "{{version}}"),),
            is_stacked=True,
        ),
        Panel(
            "Controllers",
            "Good: `leads` is 1, short gaps apart. 0 for long: conditions on pods grow old, and a scale-in removes any pod.",
            "none",
            (
                (f"sum(holdfast_controller_is_leader{{{FLEET}}})", "leads"),
                (f"count(holdfast_controller_is_leader{{{FLEET}}})", "controllers"),
            ),
            runbook="instances.md#holdfastcontrollerwithoutleader",
        ),
        Panel(
            "Age of the controllers' lease",
            "Since each controller renewed the lease, or was told whose it is. Good: below 3 s. It rises while the API server"
            " does not answer.",
            "s",
            ((f"holdfast_controller_lease_age_seconds{{{FLEET}}}", "{{instance}}"),),
            steps=((15, "orange"), (60, "red")),
            runbook="instances.md#holdfastcontrollerwithoutleader",
        ),
    ),
)

# Grafana asks once a minute, whatever the range: what is shorter is seen because each query looks two minutes back.
_STARTS = {
    "name": "Starts of instances",
    "enable": True,
    "iconColor": "blue",
    "datasource": SOURCE,
    "expr": f"(time() - process_start_time_seconds{{{FLEET}}} < 120)"
    f" * on (namespace, release, instance) group_left (version) holdfast_build_info{{{FLEET}}}",
    "titleFormat": "{{instance}} starts with version {{version}}",
}
_DRAINS = {
    "name": "Drains",
    "enable": True,
    "iconColor": "orange",
    "datasource": SOURCE,
    "expr": f'max_over_time(holdfast_health_state{{{FLEET},state="draining"}}[2m]) == 1',
    "titleFormat": "{{instance}} drains",
}
_DRILLS = {
    "name": "Drills",
    "enable": True,
    "iconColor": "purple",
    "datasource": {"type": "grafana", "uid": "-- Grafana --"},
    "target": {"type": "tags", "tags": ["holdfast", "drill"], "matchAny": False, "limit": 100},
}

DASHBOARD = Dashboard(
    "overview",
    "Overview",
    "What users feel, traffic, connects and closes, instances. Start here.",
    (_NOW, _FELT, _TRAFFIC, _CONNECTIONS, _INSTANCES),
    annotations=(_STARTS, _DRAINS, _DRILLS),
)
