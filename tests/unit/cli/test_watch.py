"""Losses and returns are told once each."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import cast

import pytest

from holdfast.cli.front.backends import Health
from holdfast.cli.up import watch as watching
from holdfast.cli.up.part import Part
from holdfast.cli.up.watch import Watched, watch
from support.eventually import eventually


@dataclass
class _Part:
    """A part that is whatever the test says."""

    pid: int | None = 4711
    health: Health = Health.READY
    told: list[str] = field(default_factory=list)

    async def ask(self) -> Health:
        return self.health


@contextlib.asynccontextmanager
async def _watching(part: _Part) -> AsyncIterator[None]:
    def lost(_: Part) -> None:
        part.told.append("lost")

    def back(_: Part) -> None:
        part.told.append("back")

    task = asyncio.create_task(watch([Watched(cast("Part", part), part.ask)], lost, back))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_LOOK_SECONDS", 0.001)


async def test_a_loss_and_a_return_are_told_once_each() -> None:
    """A terminal that repeats itself every half second is not read."""
    part = _Part()
    async with _watching(part):
        part.pid, part.health = None, Health.AWAY
        await eventually(lambda: part.told == ["lost"])
        part.pid, part.health = 4712, Health.READY
        await eventually(lambda: part.told == ["lost", "back"])
    assert part.told == ["lost", "back"]


async def test_one_missed_answer_is_no_loss() -> None:
    """A busy machine answers late."""
    part = _Part()
    watched = Watched(cast("Part", part), part.ask)
    part.health = Health.AWAY
    assert await watched.look()
    part.health = Health.READY
    assert await watched.look()


async def test_a_frozen_part_is_lost() -> None:
    """Its process is there, and does not answer."""
    part = _Part(health=Health.AWAY)
    async with _watching(part):
        await eventually(lambda: part.told == ["lost"])


async def test_a_draining_part_is_not_lost_and_a_starting_one_not_back() -> None:
    """Back means that it takes connections again: a reader of the line tries it at once."""
    part = _Part(health=Health.NOT_READY)
    assert await Watched(cast("Part", part), part.ask).look()
    assert not await Watched(cast("Part", part), part.ask, is_up=False).look()
