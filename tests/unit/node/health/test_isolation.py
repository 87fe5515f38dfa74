"""Which instance leaves the Service when Redis is lost: the isolated one, after others were asked, and never half of all."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Self, cast

import pytest

from holdfast.domain.ids import InstanceId
from holdfast.node.health.evaluator import Health
from holdfast.node.health.isolation import Isolation
from holdfast.ports import Peer
from support.identities import identity_of
from support.supervised import supervised
from support.virtual_time import LoopClock, in_virtual_time, passed

PATIENCE = 10.0
LONG = 60.0


@dataclass
class Fleet:
    """All instances, by address; each sees Redis unless it is cut off, and is ready unless it left."""

    size: int
    cut: set[str] = field(default_factory=set)
    away: set[str] = field(default_factory=set)
    draining: set[str] = field(default_factory=set)
    names: Sequence[str] = ()
    asked: int = 0

    def __post_init__(self) -> None:
        self.names = [f"i{number}" for number in range(self.size)]
        self.healths = {name: SimpleNamespace(has_lost_redis=False) for name in self.names}
        self.isolations = {
            name: Isolation(identity_of(name), cast("Health", self.healths[name]), self, LoopClock()) for name in self.names
        }

    async def addresses(self) -> Sequence[str]:
        return list(self.names)

    async def ask(self, address: str) -> Peer | None:
        self.asked += 1
        await passed(0.01)
        if address in self.away:
            return None
        is_ready = not self.isolations[address].is_isolated and address not in self.draining
        return Peer(InstanceId(address), address not in self.cut, is_ready, address in self.draining)

    async def close(self) -> None:
        """Nothing is held."""

    def lose_redis(self, *names: str) -> None:
        self.cut |= set(names)
        for name in names:
            self.healths[name].has_lost_redis = True

    def regain_redis(self, *names: str) -> None:
        self.cut -= set(names)
        for name in names:
            self.healths[name].has_lost_redis = False

    @property
    def left(self) -> set[str]:
        return {name for name, isolation in self.isolations.items() if isolation.is_isolated}

    async def __aenter__(self) -> Self:
        self._running = [supervised(each.loop) for each in self.isolations.values()]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


@in_virtual_time
async def test_the_only_one_without_redis_leaves_and_comes_back() -> None:
    """Its clients would only get the slow path; the others are well."""
    async with Fleet(4) as fleet:
        fleet.lose_redis("i1")
        await passed(PATIENCE - 1)
        assert fleet.left == set(), "a restart of Redis must not move any client"
        await passed(LONG)
        assert fleet.left == {"i1"}
        fleet.regain_redis("i1")
        await passed(2)
        assert fleet.left == set()


@in_virtual_time
async def test_when_redis_is_gone_for_all_nobody_leaves() -> None:
    """The reason why readiness does not follow Redis by default."""
    async with Fleet(4) as fleet:
        fleet.lose_redis(*fleet.names)
        for _ in range(60):
            await passed(1)
            assert fleet.left == set()


@in_virtual_time
async def test_nobody_is_asked_while_redis_is_well() -> None:
    """The question costs the others something."""
    async with Fleet(3) as fleet:
        await passed(LONG)
        assert fleet.asked == 0


@pytest.mark.parametrize("size", [2, 3, 4, 7, 10])
@pytest.mark.parametrize("cut", [1, 2, 3, 6])
def test_half_of_all_remain_whoever_is_cut_off(size: int, cut: int) -> None:
    """Half a zone without Redis must not halve the service again and again."""

    @in_virtual_time
    async def scenario() -> None:
        async with Fleet(size) as fleet:
            fleet.lose_redis(*fleet.names[: min(cut, size)])
            await passed(4 * LONG)
            left = fleet.left
            assert len(left) == 1 or cut > 1
            await passed(LONG)
            assert left <= fleet.left <= fleet.cut, "no instance flaps"
            assert 2 * len(fleet.left) <= size

    scenario()


@in_virtual_time
async def test_who_is_alone_stays() -> None:
    """There is no other instance to ask, and none to serve instead."""
    async with Fleet(1) as fleet:
        fleet.lose_redis("i0")
        await passed(LONG)
        assert fleet.left == set()


@in_virtual_time
async def test_who_can_ask_nobody_stays() -> None:
    """Cut off from the others as well, it does not know their state."""
    async with Fleet(4) as fleet:
        fleet.lose_redis("i0")
        fleet.away |= {"i1", "i2", "i3"}
        await passed(LONG)
        assert fleet.left == set()


@in_virtual_time
async def test_it_comes_back_when_too_few_remain() -> None:
    """Others die while it is out: a slow instance is better than none."""
    async with Fleet(4) as fleet:
        fleet.lose_redis("i0")
        await passed(LONG)
        assert fleet.left == {"i0"}
        fleet.away |= {"i1", "i2"}
        await passed(LONG)
        assert fleet.left == set()


@in_virtual_time
async def test_it_comes_back_when_redis_is_gone_for_the_others_too() -> None:
    """Then all are alike again."""
    async with Fleet(4) as fleet:
        fleet.lose_redis("i0")
        await passed(LONG)
        fleet.lose_redis("i1", "i2", "i3")
        await passed(LONG)
        assert fleet.left == set()


@in_virtual_time
async def test_those_that_are_being_replaced_are_not_counted() -> None:
    """In a rollout the old ones drain: they neither remain nor are missed."""
    async with Fleet(6) as fleet:
        fleet.draining |= {"i3", "i4", "i5"}
        fleet.lose_redis("i0")
        await passed(LONG)
        assert fleet.left == {"i0"}
