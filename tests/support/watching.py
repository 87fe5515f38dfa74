"""A Prometheus over live instances, and waiting for its alerts to fire and to resolve."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from support.eventually import eventually
from support.instances import Serving
from support.prometheus import Prometheus, address_of

FIRES_SECONDS = 90.0  # a busy machine; the figures of a quiet one are in docs/operating.md
RESOLVES_SECONDS = 120.0  # windows of up to 20 s must pass, and an instance may have to start


@contextlib.asynccontextmanager
async def watching(directory: Path, instances: Sequence[Serving], *, is_quick: bool = True) -> AsyncIterator[Prometheus]:
    """A Prometheus that has scraped each of the instances twice; not quick: at the pace of production, the rules as they are."""
    folder = directory / "prometheus"
    folder.mkdir()
    targets = {each.name: address_of(each) for each in instances}
    server = Prometheus(folder, targets) if is_quick else Prometheus(folder, targets, rewrite=str, scrape_seconds=15)
    seen = f"count(count_over_time(holdfast_bus_up[1m]) >= 2) == {len(instances)}"
    try:
        await server.start()
        await eventually(lambda: server.query(seen), within=60)
        yield server
    finally:
        server.close()


class Alarms:
    """What a test expects of the alerts. `told`: takes `seconds_to_fire_NAME` and the seconds, for the report of a run."""

    def __init__(self, prometheus: Prometheus, told: Callable[[str, object], None]) -> None:
        self._prometheus = prometheus
        self._told = told

    async def quiet(self) -> None:
        """No alert fires."""
        assert await self._prometheus.firing() == {}

    async def fire(self, *names: str, since: float) -> None:
        """Each of the alerts fires; `since`: the fault's beginning on the monotonic clock."""
        left = set(names)

        async def all_fire() -> bool:
            for name in left & (await self._prometheus.firing()).keys():
                left.remove(name)
                self._told(f"seconds_to_fire_{name}", round(time.monotonic() - since, 1))
            return not left

        try:
            await eventually(all_fire, within=FIRES_SECONDS)
        except AssertionError:
            firing = sorted(await self._prometheus.firing())
            raise AssertionError(f"{sorted(left)} did not fire within {FIRES_SECONDS:g} s; firing: {firing}") from None

    async def resolve(self, *names: str) -> None:
        """None of the alerts fires any more."""

        async def none_fires() -> bool:
            return not (await self._prometheus.firing()).keys() & set(names)

        try:
            await eventually(none_fires, within=RESOLVES_SECONDS)
        except AssertionError:
            firing = sorted(await self._prometheus.firing())
            raise AssertionError(f"still firing after {RESOLVES_SECONDS:g} s: {firing}") from None
