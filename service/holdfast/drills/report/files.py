"""Reports of several runs as JSON, JUnit and Markdown."""

import math
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from holdfast.drills.run import Outcome

_VERDICTS = {0: "passed", 1: "failed", 2: "not run", 3: "aborted"}


def verdict_word(outcome: Outcome) -> str:
    """`passed`, `failed`, `not run` or `aborted`."""
    return _VERDICTS[outcome.exit_code]


def as_json(outcome: Outcome) -> dict[str, Any]:
    """One run for machines."""
    options = outcome.options
    return {
        "drill": outcome.drill.name,
        "fault": outcome.drill.fault,
        "store": options.store,
        "ran_on": outcome.ran_on,
        "seed": options.seed,
        "instances": options.instances,
        "verdict": verdict_word(outcome),
        "problem": outcome.problem,
        "reason": reason(outcome),
        "began_at": outcome.began_at.isoformat(timespec="milliseconds") if outcome.began_at is not None else None,
        "took_seconds": outcome.took_seconds,
        "expectations": [
            {
                "name": e.name,
                "threshold": e.threshold,
                "measured": e.measured if math.isfinite(e.measured) else None,  # JSON knows no infinity: it never came to that
                "unit": e.unit,
                "met": e.is_met,
            }
            for e in outcome.expectations
        ],
        "figures": outcome.figures.as_json() if outcome.figures is not None else None,
        "memory_mb": outcome.memory_mb,
        "history": str(outcome.history),
        **(outcome.verdict.as_json() if outcome.verdict is not None else {}),
    }


def write_junit(path: Path, outcomes: Sequence[Outcome]) -> None:
    """A test case for each run, as CI systems read it."""
    cases = "".join(_case(outcome) for outcome in outcomes)
    failed = sum(outcome.exit_code == 1 for outcome in outcomes)
    skipped = sum(outcome.exit_code == 2 for outcome in outcomes)
    errors = sum(outcome.exit_code == 3 for outcome in outcomes)
    head = f'<testsuite name="holdfast drill" tests="{len(outcomes)}" failures="{failed}" errors="{errors}" skipped="{skipped}">'
    path.write_text(f'<?xml version="1.0" encoding="UTF-8"?>\n{head}\n{cases}</testsuite>\n', encoding="utf-8")


def write_markdown(path: Path, outcomes: Sequence[Outcome]) -> None:
    """A table of the runs, and what was wrong."""
    columns = ("drill", "store", "verdict", "reconnect p50 / p99", "longest gap", "delivery p50 / p99 / max", "lost", "doubled")
    rows = [f"| {' | '.join(columns)} | out of order |", "|" + "---|" * 9]
    for outcome in outcomes:
        f = outcome.figures
        cells = [outcome.drill.name, outcome.options.store, verdict_word(outcome)]
        if f is None:
            cells += [outcome.problem, "", "", "", "", ""]
        else:
            cells += [
                f"{f.reconnect.p50:.2f} / {f.reconnect.p99:.2f} s",
                f"{f.longest_gap:.2f} s",
                f"{f.delivery.p50 * 1000:.0f} / {f.delivery.p99 * 1000:.0f} / {f.delivery.max * 1000:.0f} ms",
                *(str(each) for each in (f.lost, f.doubled, f.disordered)),
            ]
        rows.append(f"| {' | '.join(cells)} |")
    rows.append("")
    rows += [f"* {outcome.drill.name}: {time_range(outcome)}" for outcome in outcomes if outcome.began_at is not None]
    rows += [f"* {outcome.drill.name}: on {outcome.ran_on}" for outcome in outcomes if outcome.ran_on]
    for outcome in outcomes:
        rows += [f"* {outcome.drill.name}: {line}" for line in failures(outcome)]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def time_range(outcome: Outcome) -> str:
    """When it was played, as Prometheus takes it (RFC 3339) and as Grafana's addresses have it (milliseconds since 1970)."""
    assert outcome.began_at is not None  # noqa: S101 - asked for runs that began
    ended_at = outcome.began_at + timedelta(seconds=outcome.took_seconds)
    start, end = (each.strftime("%Y-%m-%dT%H:%M:%SZ") for each in (outcome.began_at, ended_at + timedelta(seconds=1)))
    first, last = (round(each.timestamp() * 1000) for each in (outcome.began_at, ended_at))
    return f"start={start}&end={end} (Prometheus), from={first}&to={last} (Grafana)"


def failures(outcome: Outcome) -> list[str]:
    """The failed expectations and violations, one line each."""
    missed = [each.told for each in outcome.expectations if not each.is_met]
    violations = outcome.verdict.violations if outcome.verdict is not None else []
    return missed + [f"{each.t:.3f} s {each.invariant}: {each.message}" for each in violations]


def reason(outcome: Outcome) -> str:
    """Why it did not pass, in one line: what is violated, and which of its own figures was missed; empty where it passed."""
    if outcome.problem or outcome.passed or outcome.verdict is None:
        return outcome.problem
    violated = [f"{name} violated {count} times" for name, count in outcome.verdict.counts.items() if count]
    missed = [each.told for each in outcome.expectations if not each.is_met]
    return "; ".join((violated or ["the invariants hold"]) + missed)


def _case(outcome: Outcome) -> str:
    name = quoteattr(f"{outcome.drill.name} ({outcome.options.store})")
    inside = ""
    if outcome.exit_code == 1:
        inside = f"<failure message={quoteattr(reason(outcome))}>{escape(chr(10).join(failures(outcome)))}</failure>"
    elif outcome.exit_code == 2:
        inside = f"<skipped message={quoteattr(outcome.problem)}/>"
    elif outcome.exit_code == 3:
        inside = f"<error message={quoteattr(outcome.problem)}/>"
    return f'  <testcase classname="drills" name={name} time="{outcome.took_seconds}">{inside}</testcase>\n'
