"""`holdfast drill check FILE`: judge a history that was written earlier. Exit codes: 0 it holds, 1 it does not, 2 unreadable."""

import argparse
import json
import sys

from rich.console import Console
from rich.table import Table

from holdfast.drills.checker import INVARIANTS, Verdict
from holdfast.drills.checker.judge import judge_run
from holdfast.drills.checker.run import Run
from holdfast.drills.history import Header, HistoryUnreadable, read_history
from holdfast.drills.measure import Figures, measure


def run(args: argparse.Namespace) -> int:
    """Judge, and tell."""
    try:
        header, events = read_history(args.file)
        history = Run(header, events)
    except HistoryUnreadable as error:
        print(f"holdfast drill check: {error}", file=sys.stderr)
        return 2
    verdict, figures = judge_run(history), measure(history)
    if args.json:
        print(json.dumps({"name": header.name, "seed": header.seed, **verdict.as_json(), "figures": figures.as_json()}, indent=2))
    else:
        show(Console(), header, verdict, figures)
    return 0 if verdict.holds else 1


def show(console: Console, header: Header, verdict: Verdict, figures: Figures) -> None:
    """The verdict as a table, the figures below."""
    table = Table(
        box=None, pad_edge=False, title=f"{header.name}: {'holds' if verdict.holds else 'does not hold'}", title_justify="left"
    )
    for column in ("", "invariant", "checked", "violated"):
        table.add_column(column, justify="right" if column in ("checked", "violated") else "left")
    for name, text in INVARIANTS.items():
        checked, violated = verdict.checked[name], verdict.counts[name]
        style = "red" if violated else "dim" if not checked else ""
        table.add_row(name, text, str(checked) if checked else "not exercised", str(violated), style=style)
    console.print(table)
    for violation in verdict.violations:
        console.print(f"{violation.t:>9.3f} s  {violation.invariant}  {violation.message}", style="red", markup=False)
    for what, kinds in verdict.judged.items():
        console.print(f"{what}: {', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items()))}", highlight=False)
    console.print(summary(figures), highlight=False)


def summary(figures: Figures) -> str:
    """The figures in three lines."""
    ack, delivery, reconnect = figures.ack, figures.delivery, figures.reconnect
    return (
        f"{figures.acknowledged} of {figures.sends} sends acknowledged "
        f"(p50 {ack.p50 * 1000:.0f} ms, p99 {ack.p99 * 1000:.0f} ms); "
        f"{figures.shown} shown (p50 {delivery.p50 * 1000:.0f} ms, p99 {delivery.p99 * 1000:.0f} ms, max {delivery.max:.1f} s)\n"
        f"{reconnect.count} reconnects (p50 {reconnect.p50:.2f} s, p99 {reconnect.p99:.2f} s), "
        f"longest without a connection {figures.longest_gap:.1f} s\n"
        f"lost {figures.lost}, doubled {figures.doubled}, out of order {figures.disordered}"
    )
