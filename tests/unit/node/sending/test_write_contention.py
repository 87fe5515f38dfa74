"""Which instance commits next where several do: each in the order of their ids, and no instance waits alone."""

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence

from holdfast.domain.ids import ConversationId, InstanceId, Seq, UserId
from holdfast.domain.messages import Draft, Settlement
from holdfast.errors import CommandError
from holdfast.node.sending.append import Appender, Commit, Settled
from holdfast.node.sending.committer import Committer
from holdfast.node.sending.write_contention import WriteContention
from holdfast.telemetry import Telemetry
from support.fakes import FakeStore, draft
from support.identities import identity_of
from support.own_marks import own_marks_of
from support.virtual_time import LoopClock, in_virtual_time, passed

C = ConversationId("c1")
A, B, D = InstanceId("a"), InstanceId("b"), InstanceId("d")
ROUND_TRIP = 0.01


def _waits(contention: WriteContention, now: float) -> float:
    return contention.wait(C, ROUND_TRIP, now)


def test_who_is_alone_never_waits() -> None:
    contention = WriteContention(A)
    contention.won(C, A, 1.0)
    assert _waits(contention, 1.0) == 0


def test_after_a_win_the_next_one_goes_first_and_the_winner_last() -> None:
    everybody = {each: WriteContention(each) for each in (A, B, D)}
    for contention in everybody.values():
        for position, each in enumerate((A, B, D)):
            contention.won(C, each, 1.0 + position / 1000)
    order = sorted(everybody, key=lambda each: _waits(everybody[each], 1.002))
    assert order == [A, B, D]
    assert _waits(everybody[A], 1.002) == 0
    assert _waits(everybody[B], 1.002) < _waits(everybody[D], 1.002)


def test_a_turn_that_nobody_takes_passes() -> None:
    contention = WriteContention(A)
    contention.won(C, B, 1.0)
    contention.won(C, A, 1.0)
    assert 0 < _waits(contention, 1.0) < 5 * ROUND_TRIP
    assert _waits(contention, 1.0 + 5 * ROUND_TRIP) == 0


def test_who_has_not_committed_for_long_has_no_turn() -> None:
    contention = WriteContention(A)
    contention.won(C, B, 1.0)
    contention.won(C, A, 9.0)
    assert _waits(contention, 9.0) == 0


def test_without_the_bus_the_winner_lets_whoever_it_beat_go_first() -> None:
    """It knows of others only by its own losses."""
    contention = WriteContention(A)
    contention.lost(C, 1.0)
    assert _waits(contention, 1.0) == 0
    contention.won(C, A, 1.0)
    assert _waits(contention, 1.0) > 0


class FarStore:
    """A store whose answers take their time; the middle of the way there and back is when it happens."""

    def __init__(self, round_trip: float) -> None:
        self._inner = FakeStore()
        self._round_trip = round_trip

    async def append(self, c: ConversationId, first_seq: Seq, drafts: Sequence[Draft], sent_at_ms: int, _: None) -> None:
        await self._way()
        try:
            await self._inner.append(c, first_seq, drafts, sent_at_ms)
        finally:
            await self._way()

    async def settle(self, c: ConversationId, keys: Sequence[str]) -> Settlement:
        await self._way()
        settlement = await self._inner.settle(c, keys)
        await self._way()
        return settlement

    async def _way(self) -> None:
        await asyncio.sleep(self._round_trip * random.uniform(0.25, 0.75))


class Silent:
    """A bus that takes marks."""

    losses = 0
    connection = 1

    async def mark_dirty(self, *_: str) -> bool:
        """Done."""
        return True


async def _no_non_members(_c: ConversationId, _senders: Iterable[UserId]) -> set[UserId]:
    return set()


class Fleet:
    """Instances that commit to one conversation; with a bus each hears of the others' wins a millisecond later."""

    def __init__(self, names: Sequence[str], round_trip: float, *, has_bus: bool) -> None:
        store = FarStore(round_trip)
        self.appenders: dict[str, Appender] = {}
        self.committers: list[Committer] = []
        for name in names:
            telemetry = Telemetry(name)
            on_commit = self._telling(name) if has_bus else lambda _: None
            appender = Appender(identity_of(name), store, LoopClock(), telemetry, on_commit)  # type: ignore[arg-type]  # the part it uses
            self.appenders[name] = appender
            self.committers.append(Committer(appender, own_marks_of(Silent(), name), LoopClock(), telemetry, _no_non_members))

    def _telling(self, winner: str) -> Callable[[Commit], None]:
        def tell(tail: Seq) -> None:
            for name, appender in self.appenders.items():
                if name != winner:
                    appender.note_foreign(C, InstanceId(winner), tail)

        return lambda commit: (asyncio.get_running_loop().call_later(0.001, tell, commit.messages[-1].seq), None)[1]


async def _talk(*, has_bus: bool) -> None:
    """100 messages a second at three instances, 20 ms to the store and back: no send is refused for lateness."""
    random.seed(1)
    fleet = Fleet(["one", "three", "two"], 0.02, has_bus=has_bus)
    answers: list[Settled | CommandError] = []
    for number in range(6_000):
        await passed(random.expovariate(100))
        committer = random.choice(fleet.committers)
        committer.submit(C, draft(key=f"k{number}"), answers.append)
        for each in fleet.committers:
            each.expire()
    for each in fleet.committers:
        await each.close(10)
    assert [answer for answer in answers if isinstance(answer, CommandError)] == []
    assert sorted(answer.message.seq for answer in answers if isinstance(answer, Settled)) == list(range(1, 6_001))


@in_virtual_time
async def test_nobody_starves_in_a_hot_conversation() -> None:
    """Without turns the winner goes on winning, and senders at the others are told that the store is unavailable."""
    await _talk(has_bus=True)


@in_virtual_time
async def test_nobody_starves_without_the_bus_either() -> None:
    await _talk(has_bus=False)
