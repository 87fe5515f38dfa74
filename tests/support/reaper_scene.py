"""An instance that looks after the run of another one, in a unit test: `Scene`."""

import dataclasses
from collections.abc import Mapping
from types import SimpleNamespace

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import Epoch, InstanceId, UserId
from holdfast.errors import RedisUnavailable
from holdfast.node.cluster.store_clock import StoreClock
from holdfast.node.recovery.reaper import LOOK_SECONDS, Reaper
from holdfast.telemetry import Telemetry
from support.fake_cluster import FakeRegistry
from support.fake_rosters import FakeRosters
from support.fakes import FakeStore, ManualClock
from support.identities import identity_of

RUN, BEAT_ROUNDS = "two:7", 2


class _Presence:
    """Notes whose entries are taken away."""

    def __init__(self) -> None:
        self.reaped: list[str] = []

    async def reap(self, entry: str, alive_at_ms: int, left: Mapping[UserId, int]) -> None:
        self.reaped.append(entry)


class Scene:
    """Instance `one` looks after run `two:7`."""

    def __init__(self, grace_seconds: float = 5.0) -> None:
        self.registry, self.store, self.clock, self.presence = FakeRegistry(), FakeStore(), ManualClock(), _Presence()
        self.fleet: tuple[str, ...] = ()
        self.rosters, self.store_clock = FakeRosters(), StoreClock(self.clock)
        self.own = SimpleNamespace(is_prompt=True)
        self.bulletins = SimpleNamespace(latest=(float("-inf"), []))
        on = SimpleNamespace(
            registry=self.registry,
            store=self.store,
            roster_cache=self.rosters,
            clock=self.clock,
            telemetry=Telemetry("test"),
            identity=identity_of(),
            settings=SimpleNamespace(presence=SimpleNamespace(grace_seconds=grace_seconds)),
        )
        cluster = SimpleNamespace(
            store_clock=self.store_clock,
            own_bulletin=self.own,
            bulletins=self.bulletins,
            lease=SimpleNamespace(server="here"),
        )
        self.reaper = Reaper(on, cluster, self.presence, self)  # type: ignore[arg-type]  # the parts it uses
        self.registry.lease("one", "1")
        self.registry.lease("two", "7")
        self.beat(1)

    def on_fleet(self, states: tuple[str, ...]) -> None:
        self.fleet = states

    @property
    def now_ms(self) -> int:
        """The store's time."""
        return int(self.clock.now * 1000) + 1_000_000

    def beat(self, beat: int, name: str = "two", epoch: str = "7", **more: object) -> None:
        """What a run has in the store."""
        bulletin = Bulletin(InstanceId(name), Epoch(epoch), beat, "ok", written_at_ms=self.now_ms)
        self.store._put(dataclasses.replace(bulletin, **more))  # type: ignore[arg-type]  # fields of it

    def standing(self, run: str = RUN) -> str:
        """The state of a run in the store: `alive`, `dead` or nothing."""
        found = self.store.bulletins.get(run)
        return "" if found is None else "dead" if found.is_dead else "alive"

    async def look(self) -> None:
        """The next look of the reaper."""
        self.clock.now += LOOK_SECONDS
        self.store_clock.note(self.now_ms, self.clock.now)
        await self.reaper.look()

    async def looks(self, seconds: float, *, is_beating: bool = False) -> None:
        """So much time, with a look every 1.5 s."""
        for number in range(round(seconds / LOOK_SECONDS)):
            if is_beating and number % BEAT_ROUNDS == 0:
                self.beat(100 + number)
            await self.look()

    def lose_redis(self, seconds: float = 1e3) -> None:
        """Redis does not answer."""
        self.registry.fail("instances", *[RedisUnavailable("away")] * round(seconds / LOOK_SECONDS))

    def expire(self) -> None:
        """12 s after the last renewal."""
        self.registry.lease("two", None)
