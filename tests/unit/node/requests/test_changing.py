"""Many changes of members at once: few writes, each caller answered once, each change told once and only if it was made."""

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.domain.conversations import MemberChange, MembersChanged
from holdfast.domain.ids import ConversationId, UserId
from holdfast.errors import CommandError, StoreConflict, StoreTimeout
from holdfast.node.requests.changing import DEADLINE_SECONDS, MAX_BATCH, MAX_WAITING, MemberChanges
from holdfast.node.requests.marked_changes import MarkedChanges
from holdfast.node.sending.own_marks import Marking
from holdfast.node.tasks import Tasks
from support.delivery_scene import C, Scene
from support.fakes import conversation
from support.own_marks import own_marks_of
from support.virtual_time import in_virtual_time, passed

ALICE = UserId("alice")


class Lanes:
    """The lanes of one instance; announcements are noted as (event, user, revision)."""

    def __init__(self, max_members: int = 1000) -> None:
        self.scene = Scene()
        self.store = self.scene.store
        self.store.conversations[C] = conversation(C, "alice")
        self.told: list[tuple[str, str, int]] = []
        self.added: list[tuple[str, int]] = []
        membership: Any = SimpleNamespace(publish=self._publish, take=lambda _: None)
        bulletins: Any = SimpleNamespace(write_first=self._nothing)
        redis_trust: Any = SimpleNamespace(is_seen_by_all=True, losses=SimpleNamespace(unmarked=nullcontext))
        notifications: Any = SimpleNamespace(note_added=lambda _, user, joined: self.added.append((user, joined)))
        tasks, store = Tasks(), self.store
        cluster: Any = SimpleNamespace(bulletins=bulletins, redis_trust=redis_trust)
        self.own_marks = own_marks_of(self.scene.bus)
        parts: Any = (store, self.scene.conversations, membership, cluster, self.own_marks, tasks)
        marked = MarkedChanges(*parts)
        self.changes = MemberChanges(store, marked, notifications, tasks, max_members=max_members)  # type: ignore[arg-type]  # a fake

    def _publish(self, _: Any, event: str, _by: str, affected: Sequence[str], *, revision: int) -> None:
        self.told.append((event, affected[0], revision))

    async def _nothing(self, *_: Any) -> None:
        pass

    def change(self, user_id: str, *, is_member: bool = True) -> "asyncio.Task[bool | str]":
        """A caller and its answer: whether it changed anything, or a code."""

        async def ask() -> bool | str:
            try:
                return (await self.changes.make(C, UserId(user_id), is_member=is_member, by=ALICE))[1]
            except CommandError as refusal:
                return refusal.code
            except StoreTimeout:
                return "timeout"

        return asyncio.create_task(ask())

    @property
    def members(self) -> tuple[UserId, ...]:
        """As stored."""
        return self.store.conversations[C].members


@in_virtual_time
async def test_sixty_additions_at_once_are_two_writes_and_each_is_told_once() -> None:
    """The first one goes alone, what arrives meanwhile is one batch."""
    lanes = Lanes()
    names = [f"user{number}" for number in range(60)]
    first = lanes.change(names[0])
    await asyncio.sleep(0)
    assert await asyncio.gather(first, *map(lanes.change, names[1:])) == [True] * 60
    assert lanes.store.calls["change_members"] <= 2
    assert lanes.members == (ALICE, *names)
    assert lanes.told == [("member_added", name, number) for number, name in enumerate(names, 2)]


@in_virtual_time
async def test_user_who_is_added_twice_and_removed_is_in_two_writes() -> None:
    """The order of the calls decides; of two equal ones the first made the change."""
    lanes = Lanes()
    calls = [lanes.change("bob"), lanes.change("bob"), lanes.change("bob", is_member=False), lanes.change("carl")]
    assert await asyncio.gather(*calls) == [True, False, True, True]
    assert lanes.members == (ALICE, "carl")
    assert [(event, user) for event, user, _ in lanes.told] == [
        ("member_added", "bob"),
        ("member_removed", "bob"),
        ("member_added", "carl"),
    ]


@in_virtual_time
async def test_additions_beyond_the_limit_are_refused_and_the_others_are_made() -> None:
    """The limit is kept exactly, and nothing is told of those that were refused."""
    lanes = Lanes(max_members=4)
    answers = await asyncio.gather(*(lanes.change(f"user{number}") for number in range(6)))
    assert answers == [True, True, True, *["limit_reached"] * 3]
    assert len(lanes.told) == 3
    assert lanes.members == (ALICE, "user0", "user1", "user2")


@in_virtual_time
async def test_membership_begins_at_the_tail_before_the_change() -> None:
    """Read for the batch, after its callers asked."""
    lanes = Lanes()
    lanes.store.put(C, "one", "two", "three")
    await asyncio.gather(lanes.change("bob"), lanes.change("carl"))
    assert [lanes.store.conversations[C].joined_seq(UserId(user)) for user in ("bob", "carl")] == [3, 3]
    assert lanes.added == [("bob", 3), ("carl", 3)]


@in_virtual_time
async def test_changes_that_others_outran_are_tried_again_until_the_deadline() -> None:
    """Instances contend for one document; their callers do not have to."""
    lanes = Lanes()
    lanes.store.fail("change_members", *[StoreConflict("others were first")] * 3)
    assert await lanes.change("bob") is True
    lanes.store.fail("change_members", *[StoreConflict("others were first")] * 100)
    assert await lanes.change("carl") == "timeout"
    await passed(DEADLINE_SECONDS)
    assert lanes.members == (ALICE, "bob")
    assert lanes.changes._lanes == {}, "a caller that is gone ends its lane"


@in_virtual_time
async def test_change_whose_answer_was_lost_is_told_once_and_only_if_it_is_in() -> None:
    """Others change the same conversation: a higher revision proves nothing about this change."""
    lanes = Lanes()
    lanes.store.fail("change_members", StoreTimeout("away"))
    assert await lanes.change("bob") == "timeout"
    assert await lanes.change("carl") is True
    await passed(15)
    assert lanes.told == [("member_added", "carl", 2)]
    assert lanes.own_marks.to_finish(0.0, 9) == ["user:bob|one|0001|1|c1|1"], "it may be in later"
    lanes.store.fail("change_members", StoreTimeout("the answer is lost"), after=True)
    assert await lanes.change("dan") == "timeout"
    for name in ("eve", "fay"):
        await passed(1)
        assert await lanes.change(name) is True
    await passed(15)
    assert [user for _, user, _ in lanes.told].count("dan") == 1
    assert lanes.own_marks.to_finish(9.0, 9) == ["user:bob|one|0001|1|c1|1"]


@in_virtual_time
async def test_caller_is_answered_within_the_deadline_and_its_change_told_when_it_is_in() -> None:
    """A store that hangs must not keep a caller; the change that was begun goes on."""
    lanes = Lanes()
    writing = lanes.store.hold("change_members")
    calls = [lanes.change("bob")]
    await passed(1)
    calls.append(lanes.change("carl"))
    await passed(DEADLINE_SECONDS + 0.1)
    assert [call.result() for call in calls] == ["timeout", "timeout"]
    writing.set()
    await passed(1)
    assert lanes.told == [("member_added", "bob", 2)]
    assert lanes.members == (ALICE, "bob"), "what was not begun is left out"


@in_virtual_time
async def test_removal_whose_caller_was_answered_does_not_undo_a_later_addition() -> None:
    """The instance stood still before the write. Its caller was told so, asked another instance, and added the user again."""
    lanes = Lanes()
    lanes.store.conversations[C] = conversation(C, "alice", "bob", "carl")
    marked, set_for_change = asyncio.Event(), lanes.own_marks.set_for_change

    async def held(*change: Any) -> Marking:
        await marked.wait()
        return await set_for_change(*change)

    lanes.own_marks.set_for_change = held  # type: ignore[method-assign]  # a process that stands still
    removal = lanes.change("bob", is_member=False)
    await passed(DEADLINE_SECONDS + 0.1)
    assert removal.result() == "timeout"
    lanes.store.conversations[C] = conversation(C, "alice", "carl", "bob", version=3, revision=3)
    later = lanes.change("dan")
    marked.set()
    assert await later is True
    assert lanes.members == (ALICE, "carl", "bob", "dan")
    assert [event for event, *_ in lanes.told] == ["member_added"]
    assert lanes.own_marks.to_finish(0.0, 9) == []


@in_virtual_time
async def test_change_whose_caller_was_answered_is_left_out_and_the_others_of_its_batch_are_made() -> None:
    """One caller after another gives up on a slow store: beginning anew for each of them would write nothing for all."""
    lanes = Lanes()
    lanes.store.conversations[C] = conversation(C, "alice", "bob")
    writing = lanes.store.hold("change_members")
    first = lanes.change("carl")
    await passed(0.1)
    removal = lanes.change("bob", is_member=False)
    await passed(DEADLINE_SECONDS - 1.0)
    marked, set_for_change = asyncio.Event(), lanes.own_marks.set_for_change

    async def held(*change: Any) -> Marking:
        await marked.wait()
        return await set_for_change(*change)

    later = lanes.change("dan")
    lanes.own_marks.set_for_change = held  # type: ignore[method-assign]  # a process that stands still
    writing.set()
    await passed(2.0)
    assert (first.result(), removal.result(), later.done()) == (True, "timeout", False)
    marked.set()
    assert await later is True
    assert lanes.members == (ALICE, "bob", "carl", "dan")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@in_virtual_time
async def test_queue_is_bounded() -> None:
    """Beyond it callers are told to come back."""
    lanes = Lanes()
    lanes.store.hold("change_members")
    calls = [lanes.change(f"user{number}") for number in range(MAX_WAITING + MAX_BATCH + 2)]
    await passed(0.1)
    assert "overloaded" in [call.result() for call in calls if call.done()]
    await passed(DEADLINE_SECONDS)
    assert {call.result() for call in calls} == {"overloaded", "timeout"}


@in_virtual_time
async def test_change_of_a_conversation_that_does_not_exist_is_refused() -> None:
    """It may have been there when its caller was checked."""
    lanes = Lanes()
    del lanes.store.conversations[C]
    assert await asyncio.gather(lanes.change("bob"), lanes.change("carl", is_member=False)) == ["conversation_not_found"] * 2
    assert lanes.told == []


@in_virtual_time
async def test_one_refused_change_costs_the_others_few_writes() -> None:
    """One user with a full list among sixty: made one by one, most of the others would wait longer than their callers do."""
    lanes = Lanes()
    made = lanes.store.change_members

    async def change_members(c: ConversationId, changes: Sequence[MemberChange], **limits: Any) -> MembersChanged | None:
        await asyncio.sleep(0.04)
        if any(change.user_id == "user31" for change in changes):
            raise CommandError("limit_reached", "the list is full")
        return await made(c, changes, **limits)

    lanes.store.change_members = change_members  # type: ignore[method-assign]  # one user's list is full
    names = [f"user{number}" for number in range(60)]
    answers = dict(zip(names, await asyncio.gather(*map(lanes.change, names)), strict=True))
    assert answers.pop("user31") == "limit_reached"
    assert set(answers.values()) == {True}
    assert lanes.store.calls["change_members"] <= 12, "those that were made"
