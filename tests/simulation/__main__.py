"""`python -m simulation --profile kill --seeds 1-100 --seconds 100`: play seeds, judge them, shorten what fails.

Exit code 0: all is well. 1: a seed fails; its command, its shortest list of faults and its timeline are printed. 2: arguments.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from simulation.faults import Fault, parsed, written
from simulation.outcome import Order, Outcome, faultless, total
from simulation.playing import play
from simulation.profiles import PROFILES
from simulation.shrinking import shortest
from simulation.workers import played

_TOLD: Final = 5
_DIRECTORY: Final = Path("reports/simulation")


def main() -> int:
    """See the module."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "simulation", *sys.argv[1:]])
    arguments = _arguments()
    _DIRECTORY.mkdir(parents=True, exist_ok=True)
    orders = _orders(arguments)
    if arguments.twice:
        return _same_twice(orders, arguments.processes)
    began, outcomes, failed = time.perf_counter(), [], []
    plays = played(orders, play, arguments.processes)
    for order, outcome in plays:
        outcomes.append(outcome)
        if not outcome.is_well:
            failed.append((order, outcome))
        if arguments.verbose or not outcome.is_well:
            print(_line(outcome), flush=True)
        if failed and arguments.first:
            break
    plays.close()
    for number, (order, outcome) in enumerate(failed):
        if number < arguments.shrink:
            order, outcome = _shrunk(order, outcome, arguments.processes)
        _tell(order, outcome, is_long=number < arguments.shrink)
    _sum_up(outcomes, time.perf_counter() - began)
    idle = faultless(outcomes)
    for name in idle:
        print(f"FAILED {name}: none of its faults happened in any seed")
    return 1 if failed or idle else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulation", description="Play seeds of the simulated cluster.")
    parser.add_argument("--profile", default="all", help=f"`all`, or of these, with commas between: {', '.join(PROFILES)}")
    parser.add_argument(
        "--seeds", default="1-3", help="`7`, `1-100`, or `1-6,8-100`; with several profiles the seeds are shared out among them"
    )
    parser.add_argument("--seconds", type=float, default=100.0, help="of virtual time, the settling at the end not counted")
    parser.add_argument("--faults", help="instead of the profile's: what a failed seed has printed, or `none`")
    parser.add_argument("--altered", default="", help="mechanisms of the product to switch off: names of support/altered.py")
    parser.add_argument("--store", choices=("sqlite", "firestore"), default="sqlite", help="what instances store in")
    parser.add_argument("--processes", type=int, default=2, help="at a time")
    parser.add_argument(
        "--shrink", type=int, default=2, help="for how many failed seeds the shortest list of faults is looked for"
    )
    parser.add_argument(
        "--twice", action="store_true", help="play each seed twice and compare what its devices saw, byte by byte"
    )
    parser.add_argument("--first", action="store_true", help="stop at the first failed seed")
    parser.add_argument("--every-seed", action="store_true", help="each profile plays all seeds")
    parser.add_argument("--verbose", action="store_true", help="a line for each seed")
    return parser.parse_args()


def _orders(arguments: argparse.Namespace) -> list[Order]:
    names = list(PROFILES) if arguments.profile == "all" else arguments.profile.split(",")
    if unknown := [name for name in names if name not in PROFILES]:
        sys.exit(f"no profile is named {unknown[0]}; there are {', '.join(PROFILES)}")
    seeds = [seed for part in arguments.seeds.split(",") for seed in _range(part)]
    pairs = [(name, seed) for seed in seeds for name in names]
    if not arguments.every_seed:
        pairs = [(names[(seed - 1) % len(names)], seed) for seed in seeds]  # the same profile, whatever other seeds are played
    altered = tuple(filter(None, arguments.altered.split(",")))
    faults = None if arguments.faults is None else parsed(arguments.faults)
    return [
        Order(profile=name, seed=seed, seconds=arguments.seconds, faults=faults, altered=altered, store=arguments.store)
        for name, seed in pairs
    ]


def _range(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def _shrunk(order: Order, outcome: Outcome, processes: int) -> tuple[Order, Outcome]:
    """The order with the shortest list of faults, and what comes of it."""
    faults = order.faults if order.faults is not None else PROFILES[order.profile].plan(order.seed, order.seconds)
    found: dict[Sequence[Fault], Outcome] = {}

    def fails(some: Sequence[Fault]) -> bool:
        ((_, tried),) = played([replace(order, faults=tuple(some))], play, processes)
        found[tuple(some)] = tried
        return outcome.kinds[0] in tried.kinds

    short = shortest(faults, fails)
    return replace(order, faults=short), found.get(short, outcome)


def _same_twice(orders: list[Order], processes: int) -> int:
    prints: dict[tuple[str, int], str] = {}
    differ = []
    for order, outcome in played([*orders, *orders], play, processes):
        key = (order.profile, order.seed)
        print(f"{order.profile} {order.seed}: {outcome.fingerprint}")
        if prints.setdefault(key, outcome.fingerprint) != outcome.fingerprint or not outcome.fingerprint:
            differ.append(key)
    for profile, seed in differ:
        print(f"{profile}, seed {seed}: two plays of the same seed differ")
    return 1 if differ else 0


def _line(outcome: Outcome) -> str:
    kinds = Counter(finding.kind for finding in outcome.findings)
    verdict = ", ".join(f"{kind} {count}" for kind, count in kinds.items()) or "well"
    counts = ", ".join(f"{count} {name}" for name, count in outcome.counts.items())
    pace = outcome.simulated_seconds / max(outcome.real_seconds, 0.001)
    told = f"{counts}; {outcome.simulated_seconds:.0f} s at {pace:.0f}x, {outcome.fingerprint}"
    return f"{outcome.profile} {outcome.seed}: {verdict} ({told})"


def _tell(order: Order, outcome: Outcome, *, is_long: bool) -> None:
    print(f"\nFAILED {order.profile}, seed {order.seed}: {', '.join(outcome.kinds)}")
    print(f"  {order.command}")
    if order.faults is not None:
        print(f"  faults: {written(order.faults)}")
    for finding in outcome.findings[:_TOLD]:
        print(f"  {finding.kind} at {finding.t:.3f} s: {finding.text}")
    if len(outcome.findings) > _TOLD:
        print(f"  and {len(outcome.findings) - _TOLD} more")
    if is_long and outcome.story:
        print(outcome.story)
    sys.stdout.flush()


def _sum_up(outcomes: list[Outcome], took: float) -> None:
    print(f"\n{'profile':<20} {'seeds':>5} {'hours':>6} {'faults':>9} {'at event':>9} {'judged':>6} {'failed':>6}  findings")
    for name in dict.fromkeys(outcome.profile for outcome in outcomes):
        mine = [outcome for outcome in outcomes if outcome.profile == name]
        hours = sum(outcome.simulated_seconds for outcome in mine) / 3600
        kinds = Counter(kind for outcome in mine for kind in outcome.kinds)
        told = ", ".join(f"{kind} in {count}" for kind, count in kinds.items()) or "none"
        faults = f"{total(mine, 'happened')}/{total(mine, 'faults')}"
        met = f"{total(mine, 'met them')}/{total(mine, 'aimed at events')}"
        judged = f"{100 * total(mine, 'between faults') / max(1, total(mine, 'acknowledged')):.0f} %"
        failed = sum(not each.is_well for each in mine)
        print(f"{name:<20} {len(mine):>5} {hours:>6.2f} {faults:>9} {met:>9} {judged:>6} {failed:>6}  {told}")
    simulated = sum(outcome.simulated_seconds for outcome in outcomes)
    failed = sum(not outcome.is_well for outcome in outcomes)
    pace = f"{simulated / 3600:.2f} simulated hours in {took:.0f} s: {simulated / took:.0f}x real time"
    print(f"{len(outcomes)} seeds, {failed} failed, {pace}")


if __name__ == "__main__":
    sys.exit(main())
