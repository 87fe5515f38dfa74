"""Calls that are asked for at one moment are one, and what becomes of one asker is no other's business."""

import asyncio

import pytest

from holdfast.errors import StoreTimeout
from holdfast.waiting import Joined
from support.virtual_time import in_virtual_time, passed, settled

LIMIT = 20


class Calls:
    """Calls that take a second each; `failures`: of the next ones."""

    def __init__(self, *failures: Exception | None, apart_seconds: float = 0.0) -> None:
        self.made: list[list[int]] = []
        self.failures = list(failures)
        self.joined = Joined(self._call, LIMIT, apart_seconds)

    async def _call(self, items: list[int]) -> int:
        self.made.append(list(items))
        await asyncio.sleep(1)  # virtual time: how long a call takes
        if self.failures and (failure := self.failures.pop(0)) is not None:
            raise failure
        return len(self.made)

    def ask(self, *items: int) -> "asyncio.Task[int]":
        """One asker."""
        return asyncio.create_task(self.joined.of(*items))


@in_virtual_time
async def test_what_is_asked_for_while_a_call_is_under_way_is_the_next_call() -> None:
    """Each asker has the answer to a call that began after the question."""
    calls = Calls()
    first = [calls.ask(1), calls.ask(2)]
    await passed(0.5)
    assert calls.made == [[1, 2]]
    second = [calls.ask(3), calls.ask(4, 5)]
    await passed(0.6)
    assert calls.made == [[1, 2], [3, 4, 5]]
    assert await asyncio.gather(*first, *second) == [1, 1, 2, 2]
    assert await calls.joined.of(6) == 3


@in_virtual_time
async def test_error_of_a_call_is_told_to_those_who_waited_for_it_alone() -> None:
    """The next call is made all the same."""
    calls = Calls(StoreTimeout("away"))
    first = [calls.ask(1), calls.ask(2)]
    await passed(0.5)
    second = calls.ask(3)
    assert [type(each) for each in await asyncio.gather(*first, return_exceptions=True)] == [StoreTimeout, StoreTimeout]
    assert await second == 2


@in_virtual_time
async def test_asker_who_gives_up_takes_no_answer_from_the_others() -> None:
    """Nor is an error that no asker waits for any more told as one that was forgotten."""
    calls = Calls(None, StoreTimeout("away"))
    one, other = calls.ask(1), calls.ask(2)
    await passed(0.5)
    one.cancel()
    assert await other == 1
    lonely = calls.ask(3)
    await settled()
    lonely.cancel()
    with pytest.raises(asyncio.CancelledError):
        await lonely
    await passed(2)
    assert calls.made == [[1, 2], [3]]


@in_virtual_time
async def test_a_call_is_bounded() -> None:
    """Items that are too many for one call are for the call after it."""
    calls = Calls()
    asked = [calls.ask(*range(LIMIT - 1)), calls.ask(1, 2), calls.ask(3)]
    assert await asyncio.gather(*asked) == [1, 2, 2]
    assert [len(items) for items in calls.made] == [LIMIT - 1, 3]


@in_virtual_time
async def test_call_that_waits_is_seen_until_it_begins() -> None:
    """An owner that keeps one object for each key drops it when none waits."""
    calls = Calls()
    first = calls.ask(1)
    await passed(0.5)
    assert not calls.joined.is_asked_again
    second = calls.ask(2)
    await settled()
    assert calls.joined.is_asked_again
    await passed(0.6)
    assert not calls.joined.is_asked_again
    await asyncio.gather(first, second)


@in_virtual_time
async def test_questions_that_come_soon_after_a_call_share_the_next_one() -> None:
    """Where an answer comes within one turn of the loop, each question would else be a call of its own. The first one waits for
    none."""
    calls = Calls(apart_seconds=2.0)
    first = calls.ask(1)
    await passed(1.5)
    assert first.done()
    others = [calls.ask(2)]
    await passed(1.0)
    others.append(calls.ask(3))
    await passed(2.0)
    assert calls.made == [[1], [2, 3]]
    assert await asyncio.gather(*others) == [2, 2]
    await passed(5.0)
    last = calls.ask(4)
    await settled()
    assert calls.made[2:] == [[4]]
    assert await last == 3
