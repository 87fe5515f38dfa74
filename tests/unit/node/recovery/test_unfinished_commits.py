"""Unfinished work of an instance: announced by an instance that finds its marks, which go when no late commit can land any
more."""

from collections.abc import Iterable
from types import SimpleNamespace

from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.domain.marks import change_mark, commit_mark
from holdfast.domain.registry import InstanceLease
from holdfast.errors import RedisUnavailable, StoreTimeout
from holdfast.node.recovery.unfinished_commits import UnfinishedCommits
from support.fake_cluster import FakeBus, FakeRegistry
from support.identities import identity_of
from support.own_marks import own_marks_of
from support.supervised import supervised
from support.virtual_time import LoopClock, in_virtual_time, passed, settled

C, D = ConversationId("c1"), ConversationId("c2")


class _Membership:
    """Notes what is told again; `is_away`: the store does not answer."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, list[str]]] = []
        self.is_away = False

    async def publish_again(self, conversation_id: ConversationId, revision: int, user_ids: Iterable[UserId]) -> None:
        if self.is_away:
            raise StoreTimeout("away")
        self.told.append((conversation_id, revision, sorted(user_ids)))


class Scene:
    """Instance `one`, in whose Redis there are marks of changes."""

    def __init__(self) -> None:
        self.bus, self.registry, self.membership = FakeBus(), FakeRegistry(), _Membership()
        self.registry.lease("one", "0001")
        self.finished: list[tuple[str, Seq]] = []
        self.tail = 0  # of each conversation
        on = SimpleNamespace(marks=self.bus, registry=self.registry, clock=LoopClock(), identity=identity_of("one", "0001"))
        self.own_marks = own_marks_of(self.bus)
        self.heard: set[str] = set()
        unfinished = UnfinishedCommits(
            on,  # type: ignore[arg-type]  # the part it uses
            self.own_marks,
            SimpleNamespace(hears=lambda run, _: run in self.heard),  # type: ignore[arg-type]  # as above
            self.membership,  # type: ignore[arg-type]  # as above
            SimpleNamespace(finish=self._finish),  # type: ignore[arg-type]  # as above
        )
        self.running = supervised(unfinished.loop)

    def mark(self, user_id: str, owner: str, conversation_id: ConversationId, revision: int) -> None:
        """An instance is about to change a conversation."""
        self.bus.marks.append(change_mark(UserId(user_id), owner, 1, conversation_id, revision))

    async def _finish(self, conversation_id: ConversationId, first: Seq) -> Seq:
        self.finished.append((conversation_id, first))
        return max(self.tail, first - 1)

    async def close(self) -> None:
        """The end."""
        self.running.cancel()
        await settled()


@in_virtual_time
async def test_changes_of_one_conversation_are_told_at_once() -> None:
    """With all whom they concern; each conversation by itself."""
    scene = Scene()
    scene.mark("ann", "two|0001", C, 3)
    scene.mark("ben", "two|0001", C, 2)
    scene.mark("ann", "two|0001", D, 7)
    await passed(0.7)
    assert sorted(scene.membership.told) == [("c1", 2, ["ann", "ben"]), ("c2", 7, ["ann"])]
    await scene.close()


@in_virtual_time
async def test_commits_of_one_conversation_are_finished_at_once_from_the_first_message_that_may_be_theirs() -> None:
    """Where a mark does not say it, as those of an older version, the latest messages are looked through as well."""
    scene = Scene()
    scene.bus.marks += [commit_mark(C, "two|0001", number, first) for number, first in ((1, 9), (2, 7), (3, 8))]
    scene.bus.marks += ["c2|two|0001|4", "c2|two|0001|4|notify", commit_mark(D, "three|0001", 1, 5)]
    await passed(0.7)
    assert scene.finished == [("c1", 7), ("c2", 0), ("c2", 5)]
    await passed(20)
    assert sorted(scene.bus.cleared) == sorted(scene.bus.marks)
    await scene.close()


@in_virtual_time
async def test_the_mark_of_a_change_goes_when_its_owner_is_gone_and_nothing_can_land_any_more() -> None:
    """A slow write of the dead may be in the store later than the first look; a living owner removes its marks itself.

    And while the store is away no instance has finished anything, however long that lasts.
    """
    scene = Scene()
    scene.registry.lease("three", "0001")
    scene.mark("ann", "two|0001", C, 3)
    scene.mark("ann", "three|0001", D, 3)
    scene.membership.is_away = True
    await passed(40)
    assert scene.membership.told == []
    scene.membership.is_away = False
    await passed(10)
    assert scene.bus.cleared == []
    assert ("c1", 3, ["ann"]) in scene.membership.told
    await passed(8)
    assert scene.bus.cleared == ["user:ann|two|0001|1|c1|3"]
    await scene.close()


@in_virtual_time
async def test_a_mark_that_cannot_be_worked_off_does_not_hide_the_others() -> None:
    """One bad item costs itself: what stands behind it is told in the same round."""
    scene = Scene()
    told = scene.membership.publish_again

    async def picky(conversation_id: ConversationId, revision: int, user_ids: Iterable[UserId]) -> None:
        if conversation_id == C:
            raise TypeError("no such conversation was expected")
        await told(conversation_id, revision, user_ids)

    scene.membership.publish_again = picky  # type: ignore[method-assign]  # the mistake
    scene.mark("ann", "two|0001", C, 3)
    scene.mark("ann", "two|0001", D, 7)
    await passed(0.7)
    assert ("c2", 7, ["ann"]) in scene.membership.told
    await passed(60)
    assert sorted(scene.bus.cleared) == ["user:ann|two|0001|1|c1|3", "user:ann|two|0001|1|c2|7"]
    await scene.close()


@in_virtual_time
async def test_marks_of_an_instance_that_is_heard_are_its_own_business() -> None:
    """It is only busy: were its commits decided about once more by all, it would become slower still."""
    scene = Scene()
    scene.heard = {"two:0001"}
    scene.bus.marks += [commit_mark(C, "two|0001", 1, 9), commit_mark(D, "one|0001", 1, 4)]
    await passed(50)
    assert (scene.finished, scene.bus.cleared) == ([], [])
    scene.heard = set()
    await passed(0.6)
    assert set(scene.finished) == {(C, 9)}
    await scene.close()


@in_virtual_time
async def test_marks_that_were_forgotten_are_finished_after_a_minute_whoever_set_them() -> None:
    """A mistake in the work of an instance must not hide its commits for as long as it lives."""
    scene = Scene()
    scene.registry.lease("two", "0001")
    scene.heard = {"two:0001"}
    scene.bus.marks += [commit_mark(C, "two|0001", 1, 9), own := commit_mark(D, "one|0001", 1, 4)]
    await passed(65)
    assert (set(scene.finished), scene.bus.cleared) == ({(C, 9), (D, 4)}, [])
    await passed(12)
    assert scene.bus.cleared == [own]
    await scene.close()


@in_virtual_time
async def test_messages_that_were_looked_at_for_a_mark_are_not_looked_at_again() -> None:
    """A commit of its owner can only land behind them: a busy conversation would be decided about again and again."""
    scene = Scene()
    scene.bus.marks.append(commit_mark(C, "two|0001", 1, 5))
    for scene.tail in (4, 8, 8, 9):
        await passed(0.51)
    assert scene.finished == [(C, 5), (C, 5), (C, 9), (C, 9)]
    scene.bus.marks.append(commit_mark(C, "two|0001", 2, 7))
    await passed(0.51)
    assert scene.finished[4:] == [(C, 7)]
    await scene.close()


@in_virtual_time
async def test_instance_finishes_itself_the_marks_that_it_left() -> None:
    """Every 2 s, until no attempt of it can land any more: no other instance does it while it lives."""
    scene = Scene()
    marking = await scene.own_marks.set_for_commit(C, 7, 0.0)
    scene.own_marks.leave(marking)
    await passed(13)
    assert (scene.finished, scene.bus.cleared) == ([(C, 7)] * 7, [])
    await passed(5)
    assert scene.bus.cleared == list(marking.entries)
    assert scene.own_marks.to_finish(1e9, 10) == []
    await scene.close()


@in_virtual_time
async def test_mark_that_this_instance_left_goes_when_its_places_are_taken() -> None:
    """No attempt of it can land any more, and all that may have landed was looked at. More looks would cost reads alone."""
    scene = Scene()
    marking = await scene.own_marks.set_for_commit(C, 7, 0.0)
    scene.own_marks.leave(marking, 9)
    scene.tail = 8
    await passed(3)
    scene.own_marks.flush()
    assert (len(scene.finished), scene.bus.cleared) == (2, [])
    scene.tail = 9
    await passed(2)
    scene.own_marks.flush()
    assert (len(scene.finished), scene.bus.cleared) == (3, list(marking.entries))
    await passed(10)
    assert len(scene.finished) == 3
    await scene.close()


@in_virtual_time
async def test_mark_whose_places_are_taken_stays_after_a_loss_of_commands_to_redis() -> None:
    """What the look announced may have reached no instance: it is announced once more before the mark goes."""
    scene = Scene()
    marking = await scene.own_marks.set_for_commit(C, 7, 0.0)
    scene.own_marks.leave(marking, 7)
    scene.tail = 7
    await passed(0.6)
    scene.bus.losses += 1
    scene.own_marks.flush()
    assert scene.bus.cleared == []
    await passed(2)
    assert scene.finished[:2] == [(C, 7), (C, 7)]
    await passed(18)
    assert scene.bus.cleared == list(marking.entries)
    await scene.close()


@in_virtual_time
async def test_messages_are_told_again_after_a_loss_of_commands_to_redis() -> None:
    """They were announced while Redis was away: the announcement may have reached no instance."""
    scene = Scene()
    scene.bus.marks.append(commit_mark(C, "two|0001", 1, 5))
    scene.tail = 8
    await passed(0.6)
    scene.bus.losses += 1
    await passed(1.0)
    assert scene.finished[:2] == [(C, 5), (C, 5)]
    assert set(scene.finished[2:]) == {(C, 9)}
    await scene.close()


@in_virtual_time
async def test_the_15_s_of_a_mark_begin_when_the_store_answers_also_where_redis_was_away_as_well() -> None:
    """Until then no instance can have looked for what may have landed."""
    scene = Scene()
    scene.mark("ann", "two|0001", C, 3)
    scene.membership.is_away = True
    instances = scene.registry.instances

    async def away() -> list[InstanceLease]:
        raise RedisUnavailable("away")

    scene.registry.instances = away  # type: ignore[method-assign]  # the fault
    await passed(30)
    scene.registry.instances = instances  # type: ignore[method-assign]  # the end of it
    scene.membership.is_away = False
    await passed(13)
    assert (scene.membership.told[0], scene.bus.cleared) == (("c1", 3, ["ann"]), [])
    await passed(10)
    assert scene.bus.cleared == scene.bus.marks
    await scene.close()
