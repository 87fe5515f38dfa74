"""One run of a drill: steady state, failure, observation, judgement; and everything taken down again, whatever happened."""

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from holdfast import __version__
from holdfast.drills.absences import Absences
from holdfast.drills.checker import Verdict
from holdfast.drills.checker.judge import judge_run
from holdfast.drills.checker.notifications import TO_WHO_LEFT
from holdfast.drills.checker.run import Run
from holdfast.drills.crowd import Crowd, Size
from holdfast.drills.drill import Drill
from holdfast.drills.history import JOINED_SEQ, Header, History, read_history
from holdfast.drills.local.target import LocalTarget, environment
from holdfast.drills.measure import Figures, measure
from holdfast.drills.moments import Moments
from holdfast.drills.stage import Expectation, LocalStage
from holdfast.drills.stored import read_store
from holdfast.errors import HoldfastError
from holdfast.launcher.open_files import make_room_for
from holdfast.launcher.waiting import until

_log = logging.getLogger(__name__)

_STEADY_SECONDS: Final = 3.0
_BRIEF_SECONDS: Final = 2.0  # of talk: what I12 and the calm are measured by
_BRIEF_LINGER_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command line. None means the drill's own: how long the fault lasts, how many clients, how busy they are.

    `is_brief`: steady state and aftermath take only as long as their bounds need. Slow consequences (offline presence,
    notifications) are judged less often, or not at all.
    """

    instances: int = 3
    store: str = "sqlite"
    seed: int = 1
    seconds: float | None = None
    clients: int | None = None
    rate: float | None = None
    is_brief: bool = False
    directory: Path = Path("reports")


@dataclass(slots=True)
class Outcome:
    """The outcome of a run.

    Attributes:
        memory_mb: of each instance at the beginning, at the end, and at most.
        run: the history as it was judged, for its picture; dropped after that.
        problem: why it could not be run, or was aborted; then there is no verdict.
        ran_on: a cluster's versions: image, chart, Kubernetes; empty for processes on this machine.
        began_at: when that began; None where nothing was started.
        took_seconds: from the start of its cluster until it was taken down.
    """

    drill: Drill
    options: Options
    history: Path
    expectations: list[Expectation] = field(default_factory=list)
    memory_mb: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    verdict: Verdict | None = None
    figures: Figures | None = None
    run: Run | None = None
    problem: str = ""
    ran_on: str = ""
    began_at: datetime | None = None
    took_seconds: float = 0.0
    is_aborted: bool = False

    @property
    def exit_code(self) -> int:
        """0 passed, 1 failed, 2 could not be run, 3 aborted and taken down."""
        if self.problem:
            return 3 if self.is_aborted else 2
        return 0 if self.passed else 1

    @property
    def passed(self) -> bool:
        """The invariants hold, and every expectation is met."""
        return self.verdict is not None and self.verdict.holds and all(each.is_met for each in self.expectations)

    @property
    def is_only_late(self) -> bool:
        """It failed, and only by how long something took."""
        return self.exit_code == 1 and self.verdict is not None and self.verdict.is_only_late


Progress = Callable[[str], None]


async def run_drill(drill: Drill, options: Options, progress: Progress) -> Outcome:
    """Run it once. Never raises for what the cluster does; cancelled, it takes everything down first."""
    options.directory.mkdir(parents=True, exist_ok=True)
    path = options.directory / f"{drill.name}-{options.store}.jsonl"
    outcome = Outcome(drill, options, path)
    size = Size.of((options.clients, options.rate), (drill.clients, drill.rate))
    if options.store not in drill.stores:
        outcome.problem = f"not on {options.store}: {drill.why}"
    else:
        outcome.problem = drill.missing() or make_room_for(size.clients)
    if outcome.problem:
        return outcome
    header = Header(
        name=drill.name,
        seed=options.seed,
        instances=options.instances,
        clients=size.clients,
        store=options.store,
        version=__version__,
        started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        lacks=tuple(sorted(drill.lacks)),
        bounds=drill.bounds,
    )
    outcome.began_at, began = datetime.now(UTC), time.monotonic()
    try:
        target = LocalTarget(options.instances, options.store, drill.settings, drill.layout)
    except HoldfastError as error:
        outcome.problem = str(error)
        return outcome
    try:
        with History(path, header) as history:
            await _play(drill, options, size, target, history, outcome, progress)
    except (HoldfastError, OSError) as error:
        outcome.problem = f"{type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001 - a fault of the drill itself: it proves nothing, and the others are still played
        _log.exception("the drill failed")
        outcome.problem = f"{type(error).__name__}: {error}"
    except asyncio.CancelledError:
        outcome.problem, outcome.is_aborted = "interrupted", True
    finally:
        await target.close()
        outcome.took_seconds = round(time.monotonic() - began, 1)
    if not outcome.problem:
        progress("judging")
        run = Run(*read_history(path))
        outcome.run, outcome.verdict, outcome.figures = run, judge_run(run), measure(run)
        if drill.reconnect_p99 is not None and outcome.figures.reconnect.count:
            outcome.expectations.append(Expectation("reconnect p99", drill.reconnect_p99, outcome.figures.reconnect.p99))
        outcome.expectations += [look(run) for look in drill.looks_back]
        if run.departures and not options.is_brief and not outcome.verdict.judged.get("notifications", {}).get(TO_WHO_LEFT):
            outcome.problem = "users left, and no notification that was due to them could be judged"
    return outcome


async def _play(
    drill: Drill, options: Options, size: Size, target: LocalTarget, history: History, outcome: Outcome, progress: Progress
) -> None:
    progress("starting Redis, the store and the instances")
    await target.start()
    crowd = Crowd(target.urls, target.token, history, size, options.seed)
    stage = LocalStage(target, crowd, history, options.seed, options.seconds or drill.seconds)
    stage.say = progress
    outcome.expectations = stage.expectations
    beside: tuple[asyncio.Task[None], ...] = ()
    try:
        progress(f"{size.clients} clients connect")
        with _uncollected():
            await crowd.start()
        await until(partial(stage.every, stage.instances, "healthy"), 60, "all instances are healthy before the failure")
        async with Absences(crowd, target.urls, options.seed, drill.bounds) as absences:
            await stage.pause(_BRIEF_SECONDS if options.is_brief else _STEADY_SECONDS)
            memory = _Memory(target)
            watching = asyncio.create_task(memory.watch())
            progress(drill.fault)
            beside = (watching,)
            async with (
                _changes(crowd, target, history, options.seed, size.rate)
                if JOINED_SEQ not in drill.lacks
                else contextlib.nullcontext()
            ):
                await drill.play(stage)
                absences.calm()
                progress("watching the aftermath")
                await stage.pause(drill.bounds.healthy_s + (_BRIEF_SECONDS if options.is_brief else 2 * drill.bounds.delivery_s))
        await crowd.stop()
        await stage.pause(drill.bounds.delivery_s + (_BRIEF_LINGER_SECONDS if options.is_brief else drill.linger_seconds))
        watching.cancel()
        outcome.memory_mb = memory.seen
        progress("reading the store")
        with environment(target.store_environ):
            await read_store(target.store(), crowd, history)
        history.record("end")
        history.close()
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await crowd.close()
        gc.unfreeze()


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Objects made meanwhile stay: with thousands of clients each full collection is a second in which none of them receives."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextlib.asynccontextmanager
async def _changes(crowd: Crowd, target: LocalTarget, history: History, seed: int, rate: float) -> AsyncIterator[None]:
    """Conversations begin and members change as long as the context; one of these changes is a removal for good."""
    removed = asyncio.create_task(_remove_somebody(crowd))
    try:
        async with Moments(crowd, history, target.urls, target.token, seed, rate):
            yield
        await removed
    finally:
        removed.cancel()
        await asyncio.gather(removed, return_exceptions=True)


async def _remove_somebody(crowd: Crowd) -> None:
    """While things fail, a user is removed from a conversation: that user must not receive later messages there."""
    conversation = crowd.usual[-1]
    await crowd.remove(crowd.conversations[conversation][1], conversation)


class _Memory:
    """Looks once a second at the resident megabytes of each instance: first, last and most."""

    def __init__(self, target: LocalTarget) -> None:
        self.seen: dict[str, tuple[float, float, float]] = {}
        self._target = target

    async def watch(self) -> None:
        """Until it is cancelled."""
        while True:
            for instance in self._target.living():
                now = round(instance.memory_mb, 1)
                first, _, most = self.seen.get(instance.name, (now, now, now))
                self.seen[instance.name] = (first, now, max(most, now))
            await asyncio.sleep(1.0)
