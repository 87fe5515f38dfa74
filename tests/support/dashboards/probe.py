"""What `holdfast probe` sees through the public address, and what a drill or a rollout does to the instances."""

from support.dashboards.panels import FLEET, STATES, Dashboard, Panel, Row, drained, quantiles, rate

_ALL = f"sum by (step) (increase(holdfast_probe_attempts_total{{{FLEET}}}[$__range]))"
_SUCCESS = f'sum by (step) (increase(holdfast_probe_attempts_total{{{FLEET},result="ok"}}[$__range])) / {_ALL}'
_FAILED = 'result="failed"'
_LIMITS = {"connect": (1, 3), "ack": (1, 3), "delivery": (1, 3), "resume": (1, 2)}
_TEXTS = {
    "connect": "From the handshake to `welcome`. Good: p99 below 0.5 s.",
    "ack": "From a send to its `ack`. Good: p99 below 0.5 s.",
    "delivery": "From a send to the other user's client, on another instance where there is one. Good: p99 below 0.5 s; up to 3"
    " s without Redis.",
    "resume": "From the end of a connection until the next one has replayed what came. Good: p99 below 2 s.",
}


def _seen(step: str) -> Panel:
    orange, red = _LIMITS[step]
    return Panel(
        f"Probe: {step}",
        f"{_TEXTS[step]} Slower here than in *Overview*: the edge or the network between.",
        "s",
        quantiles(f"holdfast_probe_{step}_seconds"),
        steps=((orange, "orange"), (red, "red")),
        runbook="service-levels.md#holdfastprobefailing",
        width=6,
    )


_PROBE = Row(
    "Probe",
    (
        Panel(
            "Violations",
            "Messages of the probe that were lost, doubled, out of order or changed, in the chosen time. Good:"
            " 0. Anything else is a fault"
            " that users can meet: keep the logs and follow the runbook.",
            "none",
            ((f"sum by (kind) (increase(holdfast_probe_violations_total{{{FLEET}}}[$__range]))", "{{kind}}"),),
            steps=((0.5, "red"),),
            runbook="service-levels.md#holdfastexactnessviolated",
            kind="stat",
            width=12,
        ),
        Panel(
            "Success",
            "Share of the probe's attempts that succeeded, by step, in the chosen time. Good: above 99.9 %.",
            "percentunit",
            ((_SUCCESS, "{{step}}"),),
            steps=((0.99, "orange"), (0.999, "green")),
            base="red",
            runbook="service-levels.md#holdfastprobefailing",
            kind="stat",
            width=12,
            limits=(0, 1),
        ),
        *(_seen(step) for step in _LIMITS),
        Panel(
            "Attempts by step",
            "Good: level lines, none of them `failed`. No line: the probe does not run.",
            "ops",
            (
                (rate("holdfast_probe_attempts_total", "step", more='result="ok"'), "{{step}}"),
                (f"{rate('holdfast_probe_attempts_total', 'step', more=_FAILED)} > 0", "{{step}} failed"),
            ),
            runbook="service-levels.md#holdfastprobesilent",
            width=24,
        ),
    ),
)

_DRILLS = Row(
    "Drills and rollouts",
    (
        Panel(
            "Changes of state",
            "Entries into a state. Good in a drill: `degraded`, then `healthy` within five seconds of the end of the fault.",
            "none",
            ((f"sum by (state) (increase(holdfast_health_transitions_total{{{FLEET}}}[$__rate_interval]))", "{{state}}"),),
            runbook="dependencies.md#holdfastfleetdegraded",
            roof=1,
            colors=STATES,
        ),
        Panel(
            "Progress of drains",
            "Share of the connections that left since each drain began. Good: rises evenly to 100 %. Empty while no"
            " instance drains.",
            "percentunit",
            ((drained(FLEET), "{{instance}}"),),
            runbook="connections.md#holdfastdrainforcescloses",
            limits=(0, 1),
        ),
        Panel(
            "Closes in drains",
            "Closes with 1012: the client did not leave when it was told. Good: a small part of the connections.",
            "cps",
            ((rate("holdfast_connections_closed_total", "instance", more='code="1012",initiator="server"'), "{{instance}}"),),
            runbook="connections.md#holdfastdrainforcescloses",
        ),
    ),
)

DASHBOARD = Dashboard(
    "probe",
    "Probe and drills",
    "What the probe sees through the public address, and what drills and rollouts do to the instances.",
    (_PROBE, _DRILLS),
)
