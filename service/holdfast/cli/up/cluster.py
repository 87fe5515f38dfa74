"""The life of a local cluster: check, start, wait until ready, watch, end.

Whatever happens on the way, every part that runs is ended at the end: TERM first, KILL after a few seconds.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from holdfast.cli.front import page
from holdfast.cli.front.backends import Backend, Backends, Health
from holdfast.cli.front.server import Front
from holdfast.cli.token import keep_secret, read_secret
from holdfast.cli.up import monitor, redis
from holdfast.cli.up.fleet import Fleet
from holdfast.cli.up.part import Part
from holdfast.cli.up.plan import HOST, Plan, UpRefused, check_ports, claimed_redis_port, make
from holdfast.cli.up.report import Report, explain
from holdfast.cli.up.watch import Watched, watch
from holdfast.launcher.open_files import raise_file_limit
from holdfast.launcher.ports import is_free

_READY_SECONDS = 30.0  # starting instances wait up to 10 s for Redis
_TERM_SECONDS = 8.0  # they have no clients left then: a flush of the last commits at most
_KILL_SECONDS = 2.0
_LOOK_SECONDS = 0.1
_AUTH = "HOLDFAST_AUTH__"
_FILES = 65_536  # where there is no limit


class Cluster:
    """One run of `holdfast up`; owned by one event loop."""

    def __init__(self, data: Path, port: int, instances: int, rules: Path | None = None, report: Report | None = None) -> None:
        """`rules`: the directory of the alert rules for a Prometheus; without it none is started."""
        self._data = data
        self._port = port
        self._instances = instances
        self._rules = rules
        self._report = report or Report()
        self._is_ending = asyncio.Event()
        self._is_hurried = asyncio.Event()

    async def run(self) -> int:
        """Until a signal.

        Raises:
            UpRefused: it cannot start, or a part does not.
        """
        if not is_free(self._port):
            raise UpRefused(f"port {self._port} is taken; choose another with --port")
        with _hold(self._data), claimed_redis_port() as redis_port:
            secret_file = keep_secret(self._data)
            plan = make(self._data, self._port, self._instances, secret_file, os.environ, redis_port)
            if self._rules is not None:
                plan = monitor.with_prometheus(plan, self._rules)
            check_ports(plan)
            self._heed_signals()
            raise_file_limit(_FILES)
            await self._live(plan)
        return 0

    async def _live(self, plan: Plan) -> None:
        backends = Backends(tuple(Backend(part.name, HOST, part.port) for part in plan.instances))
        front = Front(backends, read_secret(self._data), page.load(), Fleet(plan, backends))
        try:
            await self._start(plan, front, backends)
            if not self._is_ending.is_set():
                self._report.summary(plan)
                await self._attend(plan, backends)
                self._report.ending()
        finally:
            await front.close()
            # Instances first: their last writes still find Redis.
            await self._end(plan.instances)
            await self._end(plan.parts)
        self._report.ended()

    async def _start(self, plan: Plan, front: Front, backends: Backends) -> None:
        if any(name.startswith(_AUTH) for name in os.environ):
            self._report.note(f"{_AUTH}* is not used here: a local cluster has its own secret in {self._data / 'secret'}")
        self._report.waiting(", ".join(part.name for part in plan.parts))
        for part in plan.parts:
            part.write_script()
            await part.start()
        try:
            await front.start(plan.port)
        except OSError:
            raise UpRefused(f"port {plan.port} is taken; choose another with --port") from None
        await self._until_ready(plan, backends)

    async def _until_ready(self, plan: Plan, backends: Backends) -> None:
        try:
            async with asyncio.timeout(_READY_SECONDS):
                while not (self._is_ending.is_set() or await _is_ready(plan, backends)):
                    for part in plan.parts:
                        if part.pid is None:
                            raise UpRefused(explain(part))
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            late = [part for part, backend in zip(plan.instances, backends.each, strict=True) if backend.health != Health.READY]
            raise UpRefused(f"not ready after {_READY_SECONDS:g} s: {explain(late[0]) if late else _others(plan)}") from None

    async def _attend(self, plan: Plan, backends: Backends) -> None:
        """Tell losses and returns until the end is asked for."""
        watched = [
            Watched(part, partial(_instance_health, backend)) for part, backend in zip(plan.instances, backends.each, strict=True)
        ]
        if plan.redis is not None:
            watched.append(Watched(plan.redis, partial(_redis_health, plan.redis.port)))
        if plan.prometheus is not None:
            watched.append(Watched(plan.prometheus, partial(_prometheus_health, plan.prometheus.port)))
        watching = asyncio.create_task(watch(watched, self._report.lost, self._report.back))
        try:
            await self._is_ending.wait()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _end(self, parts: Sequence[Part]) -> None:
        if not self._is_hurried.is_set():
            await self._tell(parts, signal.SIGTERM, _TERM_SECONDS)
        await self._tell(parts, signal.SIGKILL, _KILL_SECONDS)

    async def _tell(self, parts: Sequence[Part], number: signal.Signals, seconds: float) -> None:
        """Signal those that run and wait until they are gone, at most `seconds`; a frozen one is thawed to hear it."""
        told = [part for part in parts if part.tell(number) and part.tell(signal.SIGCONT)]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while any(part.pid is not None for part in told):
                    if number is signal.SIGTERM and self._is_hurried.is_set():
                        return
                    await asyncio.sleep(_LOOK_SECONDS)

    def _heed_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._heard)

    def _heard(self) -> None:
        if self._is_ending.is_set():
            self._is_hurried.set()
        self._is_ending.set()


async def _is_ready(plan: Plan, backends: Backends) -> bool:
    if any(backend.health != Health.READY for backend in backends.each):
        return False
    if plan.prometheus is not None and not await monitor.answers(plan.prometheus.port):
        return False
    return plan.redis is None or await redis.answers(plan.redis.port)


def _others(plan: Plan) -> str:
    return " or ".join(part.name for part in (plan.redis, plan.prometheus) if part is not None)


async def _instance_health(backend: Backend) -> Health:
    return backend.health


async def _redis_health(port: int) -> Health:
    return Health.READY if await redis.answers(port) else Health.AWAY


async def _prometheus_health(port: int) -> Health:
    return Health.READY if await monitor.answers(port) else Health.AWAY


@contextlib.contextmanager
def _hold(data: Path) -> Iterator[None]:
    """The data directory, for one `holdfast up` at a time."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = (data / "lock").open("w", encoding="ascii")
    except OSError as error:
        raise UpRefused(f"cannot use {data}: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UpRefused(f"another `holdfast up` uses {data}; name another directory with --data") from None
        yield
