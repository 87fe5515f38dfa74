"""`holdfast bench`: start one instance with its limits off, alone or beside other servers, and print figures of several rounds.

Figures are of this machine, this run; compare them with each other, not with another day's.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import uvloop

from holdfast.bench.client import build
from holdfast.bench.holdfast import NAME, holdfast_server
from holdfast.bench.idle import kb_per_connection
from holdfast.bench.machine import describe
from holdfast.bench.peers import Found, look_for, read_peers, running
from holdfast.bench.rounds import Plan, Turn, play_rounds
from holdfast.bench.table import Column, Report, line, markdown, plain
from holdfast.bench.workloads import WORKLOADS, Pace, Workload
from holdfast.errors import ConfigurationError
from holdfast.launcher.open_files import make_room_for
from holdfast.launcher.waiting import TargetFailed

_IDLE = "idle"
_LOST = 1  # exit status: a member of a room did not get what was sent to it
_BRIEF_ROUNDS, _BRIEF_SECONDS, _BRIEF_ACCEPTS = 3, 0.3, 500
AGAINST = ("ws on Node", "naive FastAPI")


def run(args: argparse.Namespace) -> int:
    """Measure; the exit status."""
    plan = _plan(args)
    needed = max([workload.members for workload in plan.workloads], default=0)
    if problem := make_room_for(max(needed, args.connections) if _IDLE in args.workloads else needed):
        raise ConfigurationError(f"--connections: {problem}" if _IDLE in args.workloads else problem)
    try:
        with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as directory:
            return _run(args, plan, Path(directory))
    except TargetFailed as error:
        raise ConfigurationError(str(error)) from error


def _run(args: argparse.Namespace, plan: Plan, directory: Path) -> int:
    if _IDLE in args.workloads:
        with holdfast_server(directory, args.store) as server, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            kb = runner.run(kb_per_connection(server, args.connections))
        print(f"idle connection: {kb:.2f} KB (of {args.connections:,})", flush=True)
    if not plan.workloads:
        return 0
    report = _play(args, plan, directory)
    print(markdown(report), end="", flush=True)
    _write(args, report)
    return _LOST if report.failures else 0


def _play(args: argparse.Namespace, plan: Plan, directory: Path) -> Report:
    found = [] if args.peers is None else [look_for(peer, args.peers) for peer in read_peers(args.peers)]
    for each in found:
        if each.problem:
            print(f"{each.peer.name} is left out: {each.problem}", file=sys.stderr)
    client = build(directory)
    machine = describe(directory, client.kind, {each.peer.name: each.versions for each in found if each.versions})
    with holdfast_server(directory, args.store) as ours, running(found, args.peers or directory, directory) as peers:
        turns = play_rounds([ours, *peers], plan, client, directory, _tell)
    return Report(machine, _columns(machine, found), plan.workloads, turns, AGAINST)


def _plan(args: argparse.Namespace) -> Plan:
    known = {workload.name: workload for workload in WORKLOADS}
    if unknown := [name for name in args.workloads if name not in known and name != _IDLE]:
        raise ConfigurationError(f"no such workload: {unknown[0]}; there are {', '.join([*known, _IDLE])}")
    chosen = [known[name] for name in args.workloads if name != _IDLE] if args.workloads else list(WORKLOADS)
    if not args.brief:
        return Plan(chosen, args.rounds, args.seconds)
    return Plan([_shortened(workload) for workload in chosen], _BRIEF_ROUNDS, _BRIEF_SECONDS)


def _shortened(workload: Workload) -> Workload:
    return replace(workload, members=_BRIEF_ACCEPTS) if workload.pace is Pace.CONNECTIONS else workload


def _columns(machine: dict[str, object], found: Sequence[Found]) -> list[Column]:
    ours = Column(NAME, f"Python {machine['python']}, Redis {machine['redis']}", "stores each message before it acknowledges it")
    return [ours, *(Column(each.peer.name, each.versions, each.peer.lacks, each.problem) for each in found)]


def _write(args: argparse.Namespace, report: Report) -> None:
    for path, text in ((args.json, json.dumps(plain(report), indent=1) + "\n"), (args.markdown, markdown(report))):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def _tell(turn: Turn, workload: Workload) -> None:
    print(line(turn, workload), file=sys.stderr, flush=True)
