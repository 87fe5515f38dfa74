"""The long-lived loops of one process: repeated whatever their steps raise, counted, and judged by their last success.

Invariant: only the cancellation of its task ends a loop. A step that raises is repeated after a pause. An error of a dependency
(a `HoldfastError`) is expected and only logged for debugging. Every other exception is a defect: it is logged with its traceback,
at most every 30 s for each loop, and counted in `holdfast_loop_failures_total`. A loop without a success for ten of its periods,
at least 30 s, is failing. Time in which a dependency that the loop needs does not work does not count.

A vital loop is stuck after ten periods, at least 60 s, without a success, if its last round hangs or ended with a defect. Only
this fails liveness. Otherwise one refusal or one bad item that all instances meet would restart all of them, and that would be
the outage.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Final

from holdfast.errors import HoldfastError
from holdfast.telemetry import ControllerTelemetry, Telemetry

REDIS: Final = "redis"
STORE: Final = "store"
FAILING_SECONDS: Final = 30.0
STUCK_SECONDS: Final = 60.0  # after that a restart is the only thing left that may help
_FAILING_PERIODS: Final = 10
_FIRST_PAUSE_SECONDS: Final = 0.1
_MAX_PAUSE_SECONDS: Final = 5.0
_EXPECTED_PAUSE_SECONDS: Final = 0.5
_LOG_SECONDS: Final = 30.0
_STALL_SECONDS: Final = 5.0  # looks come once a second: after a longer pause the whole process stood still

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loop:
    """One loop.

    Attributes:
        name: one of `telemetry.LOOPS`, or of `telemetry.CONTROLLER_LOOPS`.
        step: one round, its waiting for the next one included.
        period_seconds: how often a round succeeds while all is well.
        busy_seconds: how long one round may take when there is much to do.
        needs: the dependencies (`REDIS`, `STORE`) without which no round can succeed.
        is_vital: without it the instance cannot serve; its beats, its ticks and the watch over the bus.
    """

    name: str
    step: Callable[[], Awaitable[None]]
    period_seconds: float
    needs: tuple[str, ...] = ()
    busy_seconds: float = 0.0
    is_vital: bool = False


@dataclass(slots=True)
class _Run:
    loop: Loop
    since: float  # the last success, or the end of an outage that is no fault of the loop
    error: str = ""  # of the rounds since then
    is_refused: bool = False  # the last of them by a dependency

    def succeed(self, now: float) -> None:
        self.since, self.error, self.is_refused = now, "", False

    def fail(self, error: BaseException) -> None:
        self.error, self.is_refused = type(error).__name__, isinstance(error, HoldfastError)

    def is_silent(self, now: float, least_seconds: float) -> bool:
        patience = max(_FAILING_PERIODS * self.loop.period_seconds, least_seconds)
        return now - self.since >= (patience if self.error else max(patience, self.loop.busy_seconds))


def _is_ending() -> bool:
    """Whether the task itself is cancelled; a library's cancelled call looks the same and is a failure like any other."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Loops:
    """Lives in the event loop. The owner that starts `run` as a task cancels that task."""

    def __init__(self, monotonic: Callable[[], float], telemetry: Telemetry | ControllerTelemetry) -> None:
        self._monotonic = monotonic
        self._failures = telemetry.loop_failures
        self._runs: dict[str, _Run] = {}
        self._logged_at: dict[str, float] = {}
        self._looked_at = monotonic()

    async def run(self, loop: Loop) -> None:
        """Repeat the loop's step until this task is cancelled."""
        run = self._runs[loop.name] = _Run(loop, self._monotonic())
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                await loop.step()
            except HoldfastError as error:
                run.fail(error)
                _log.debug("%s: %s", loop.name, error)
                await asyncio.sleep(_EXPECTED_PAUSE_SECONDS)
            except (Exception, asyncio.CancelledError) as error:
                if _is_ending():
                    raise
                run.fail(error)
                self.note_failure(loop.name, error)
                await asyncio.sleep(pause * random.uniform(0.75, 1.0))
                pause = min(_MAX_PAUSE_SECONDS, 2 * pause)
            else:
                run.succeed(self._monotonic())
                pause = _FIRST_PAUSE_SECONDS
                await asyncio.sleep(0)  # a step that waits for nothing must not keep all others from running

    async def insist(self, name: str, work: Callable[[], Awaitable[bool]]) -> None:
        """Repeat `work` until it answers that nothing is left, with the same pauses after a mistake.

        For workers that run while there is something to do. The owner of `work` keeps failed items, and bounds how often they are
        tried.
        """
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                if not await work():
                    return
            except (Exception, asyncio.CancelledError) as error:
                if _is_ending():
                    raise
                self.note_failure(name, error)
                await asyncio.sleep(pause * random.uniform(0.75, 1.0))
                pause = min(_MAX_PAUSE_SECONDS, 2 * pause)
            else:
                pause = _FIRST_PAUSE_SECONDS

    def note_failure(self, name: str, error: BaseException) -> None:
        """Count a mistake in loop `name`, and log it unless one of that loop was logged in the last 30 s.

        What a dependency refuses (a `HoldfastError`) is no mistake: nothing is done.
        """
        if isinstance(error, HoldfastError):
            return
        self._failures.labels(name).inc()
        now = self._monotonic()
        if now - self._logged_at.get(name, -_LOG_SECONDS) >= _LOG_SECONDS:
            self._logged_at[name] = now
            _log.error("the loop %s failed; it goes on", name, exc_info=error)

    def look(self, away: Collection[str]) -> None:
        """To be called once a second: excuse the loops whose dependency is among `away`, and all after a standstill."""
        now = self._monotonic()
        stood_still = now - self._looked_at >= _STALL_SECONDS
        self._looked_at = now
        for run in self._runs.values():
            if stood_still or any(needed in away for needed in run.loop.needs):
                run.succeed(now)

    @property
    def failing(self) -> dict[str, str]:
        """The loops that are failing, each with the name of its last error; empty for a round that does not end."""
        return {run.loop.name: run.error for run in self._silent(FAILING_SECONDS)}

    @property
    def stuck(self) -> dict[str, str]:
        """The vital loops that hang, or meet nothing but mistakes, for a minute: a restart may help."""
        silent = self._silent(STUCK_SECONDS)
        return {run.loop.name: run.error for run in silent if run.loop.is_vital and not run.is_refused}

    def _silent(self, least_seconds: float) -> list[_Run]:
        now = self._monotonic()
        return [run for run in self._runs.values() if run.is_silent(now, least_seconds)]


def each_of(*parts: Callable[[], None]) -> None:
    """Call all of them, whatever one raises: one part's mistake must not stop the others. The first mistake is raised then."""
    first: Exception | None = None
    for part in parts:
        try:
            part()
        except Exception as error:  # noqa: BLE001 - raised below, when the others had their turn
            first = first or error
    if first is not None:
        raise first
