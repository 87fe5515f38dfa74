"""`holdfast drill run`: play drills here. Exit codes: 0 passed, 1 failed, 2 could not be run, 3 aborted and taken down."""

import argparse
import asyncio
import json
import logging
import shlex
import signal
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console

from holdfast.cli.drill.check import show
from holdfast.cli.program import command
from holdfast.drills.drill import Drill
from holdfast.drills.history import read_history
from holdfast.drills.kubernetes import scenarios
from holdfast.drills.kubernetes.run import Place, run_on_kubernetes
from holdfast.drills.report import files, plot
from holdfast.drills.run import Options, Outcome, run_drill
from holdfast.drills.scenarios import CATALOGUE
from holdfast.errors import ConfigurationError
from holdfast.settings import StoreSettings


def run(args: argparse.Namespace) -> int:
    """Play them one after the other; the worst exit code."""
    catalogue = scenarios.CATALOGUE if args.target == "k8s" else CATALOGUE
    names = list(catalogue) if args.names == ["all"] else args.names
    unknown = [name for name in names if name not in catalogue]
    if unknown:
        raise ConfigurationError(f"no such drill: {unknown[0]}; `{command('drill', 'list')}` names them")
    logging.getLogger("holdfast").setLevel(logging.ERROR)
    drills = [catalogue[name] for name in names]
    if args.target == "k8s" and not (args.context and args.namespace and args.url):
        raise ConfigurationError("--target k8s needs --context, --namespace and --url: nothing is broken by default")
    if getattr(args, "store_url", ""):
        try:
            StoreSettings(url=args.store_url)
        except ValidationError as error:
            raise ConfigurationError(f"--store-url: {error.errors()[0]['msg']}") from None
    if args.names == ["all"] and args.target == "local" and args.store != "each":
        drills = [drill for drill in drills if args.store in drill.stores]
    if args.names == ["all"] and args.store == "each":  # all emulators in the last part: two at once are too much for two cores
        drills.sort(key=lambda drill: drill.stores[0] == "firestore")
    return play(args, share_of(drills, *args.share))


def share_of(drills: list[Drill], number: int, count: int) -> list[Drill]:
    """The `number`-th of `count` about equal parts, in order: together they are all."""
    return drills[(number - 1) * len(drills) // count : number * len(drills) // count]


def play(args: argparse.Namespace, drills: list[Drill]) -> int:
    """Play them as the command line says; the worst exit code."""
    options = Options(
        instances=args.instances,
        store=args.store,
        seed=args.seed,
        seconds=getattr(args, "seconds", None),
        clients=args.clients,
        rate=args.rate,
        is_brief=args.brief,
        directory=args.directory,
    )
    place = None
    if getattr(args, "target", "local") == "k8s":
        its_command = _split("--token-command", args.token_command)
        place = Place(args.context, args.namespace, args.release, args.url.rstrip("/"), args.store_url, its_command)
    outcomes = asyncio.run(_play(drills, options, args.attempts, place, Console(stderr=args.json)))
    write(args, outcomes)
    if args.json:
        print(json.dumps([files.as_json(outcome) for outcome in outcomes], indent=2))
    return worst(outcomes)


def _split(option: str, text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ConfigurationError(f"{option}: {error}") from None


def worst(outcomes: list[Outcome]) -> int:
    """An interruption before a failure before what could not be run."""
    codes = {outcome.exit_code for outcome in outcomes}
    return next((code for code in (3, 1, 2) if code in codes), 0)


def write(args: argparse.Namespace, outcomes: list[Outcome]) -> None:
    """The reports that were asked for."""
    for kind, writer in (("junit", files.write_junit), ("markdown", files.write_markdown)):
        path: Path | None = getattr(args, kind)
        if path is not None:
            writer(path, outcomes)


async def _play(drills: list[Drill], options: Options, attempts: int, place: Place | None, console: Console) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for drill in drills:
        its = replace(options, store=drill.stores[0]) if options.store == "each" else options
        for attempt in range(1, attempts + 1):
            task = asyncio.create_task(play_one(drill, its, place, console))
            for each in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(each, task.cancel)
            outcome = await task
            if attempt == attempts or not outcome.is_only_late:
                break
            console.print(f"{drill.name} is measured again: it failed by its figures alone")
        outcomes.append(outcome)
        if outcome.is_aborted:
            break
    return outcomes


async def play_one(drill: Drill, options: Options, place: Place | None, console: Console) -> Outcome:
    """One drill, with what it is doing shown while it does it and its report after."""
    where = options.store if place is None else f"{place.context}/{place.namespace}"
    console.rule(f"{drill.name} ({where}, seed {options.seed})", align="left")
    with console.status("") as status:

        def progress(step: str) -> None:
            status.update(step)
            if not console.is_terminal:
                console.print(f"  {step}", highlight=False)

        if place is None:
            outcome = await run_drill(drill, options, progress)
        else:
            outcome = await run_on_kubernetes(drill, options, place, progress)
    tell(console, outcome)
    if outcome.run is not None:
        plot.write_svg(outcome.history.with_suffix(".svg"), f"{drill.name}: {drill.fault}", outcome.run)
        outcome.run = None  # a history is tens of megabytes, and all drills are played in one process
    return outcome


def tell(console: Console, outcome: Outcome) -> None:
    """The report of one run."""
    if outcome.verdict is not None and outcome.figures is not None:
        show(console, read_history(outcome.history)[0], outcome.verdict, outcome.figures)
    for each in outcome.expectations:
        style = "" if each.is_met else "red"
        console.print(f"  {each.told}", style=style, highlight=False, markup=False)
    if outcome.memory_mb:
        told = ", ".join(
            f"{name} {began:.0f} to {ended:.0f}, at most {most:.0f} MB"
            for name, (began, ended, most) in outcome.memory_mb.items()
        )
        console.print(f"  memory: {told}", highlight=False)
    word = files.verdict_word(outcome)
    why = files.reason(outcome)
    told = (f": {why}" if why else "") + (
        "" if outcome.problem else f"; {outcome.took_seconds:.0f} s; history: {outcome.history}"
    )
    style = "bold" if word == "passed" else "bold red"
    console.print(f"{outcome.drill.name} {word}{told}", style=style, highlight=False, markup=False)
