"""Commits of an instance that may have died: announced and decided about once more, these messages and no others."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from holdfast.domain.ids import ConversationId, Seq
from holdfast.domain.marks import MAX_MESSAGES, StoredMark
from holdfast.domain.messages import Committed, Message
from holdfast.errors import StoreUnavailable
from holdfast.node.cluster.store_clock import StoreClock
from holdfast.node.recovery.finishing import Finishing
from support.fakes import FakeStore
from support.node_scene import NodeScene
from support.virtual_time import LoopClock, in_virtual_time, passed

C = ConversationId("c1")
NOW_MS = 1_000_000_000


class Scene:
    """A conversation of some messages."""

    def __init__(self, count: int = 5, *, is_time_known: bool = True) -> None:
        self.store = FakeStore()
        self.store.put(C, *(f"m{seq}" for seq in range(1, count + 1)))
        self.published: list[list[Seq]] = []
        self.listed: list[list[Seq]] = []
        self.decided: list[list[Seq]] = []
        conversations = SimpleNamespace(
            delivery=SimpleNamespace(publish_again=self._publish_again),
            activity=SimpleNamespace(note=lambda commit: self.listed.append([each.seq for each in commit.messages])),
        )
        notifications = SimpleNamespace(decide_again=self._decide_again)
        clock = StoreClock(LoopClock())
        if is_time_known:
            clock.note(NOW_MS, 0.0)
        self.finishing = Finishing(
            self.store,  # type: ignore[arg-type]  # the part it uses
            cast("Any", conversations),
            cast("Any", notifications),
            clock,
        )

    def _publish_again(self, _: ConversationId, messages: list[Message]) -> None:
        self.published.append([message.seq for message in messages])

    async def _decide_again(self, _: ConversationId, found: list[Committed]) -> None:
        self.decided.append([each.message.seq for each in found])


async def _finished(first: Seq, last: Seq | None = None) -> list[list[Seq]]:
    scene = Scene()
    await scene.finishing.finish(C, first, last)
    assert scene.published == scene.listed == scene.decided
    return scene.published


@in_virtual_time
async def test_messages_from_the_first_one_are_finished_as_far_as_the_conversation_goes() -> None:
    """A mark in Redis was set before the commit: it does not say how many messages there are."""
    assert await _finished(4) == [[4, 5]]


@in_virtual_time
async def test_messages_of_one_commit_are_finished_and_none_after_them() -> None:
    """A mark in the store names the last one."""
    assert await _finished(2, 3) == [[2, 3]]


@in_virtual_time
async def test_latest_messages_are_finished_where_the_first_one_is_not_known() -> None:
    """Nothing had been read of the conversation, or an older version has set the mark."""
    assert await _finished(0) == [[1, 2, 3, 4, 5]]


@in_virtual_time
async def test_where_the_first_one_is_not_known_only_messages_of_the_last_day_are_finished() -> None:
    """Records of notifications expire: members who are away for weeks would be notified of old messages once more."""
    scene = Scene()
    scene.store.stored_at_ms = {1: NOW_MS - 90_000_000, 2: NOW_MS - 86_500_000}
    await scene.finishing.finish(C, 0)
    assert scene.published == [[3, 4, 5]]
    unknowing = Scene(is_time_known=False)
    with pytest.raises(StoreUnavailable):
        await unknowing.finishing.finish(C, 0)
    assert unknowing.published == []


@in_virtual_time
async def test_many_messages_are_finished_from_the_first_one_on() -> None:
    """The commit of the mark is at the beginning; a busy conversation has thousands after it by the time that Redis is back."""
    scene = Scene(MAX_MESSAGES + 3)
    await scene.finishing.finish(C, 2)
    assert scene.published == scene.decided == [list(range(2, MAX_MESSAGES + 2)), [MAX_MESSAGES + 2, MAX_MESSAGES + 3]]


@in_virtual_time
async def test_nothing_is_finished_where_nothing_was_stored() -> None:
    """The instance died before its commit; or the store was restored, or the mark is forged."""
    assert await _finished(6) == await _finished(400, 401) == []


@in_virtual_time
async def test_mark_of_a_conversation_that_does_not_exist_is_removed() -> None:
    """An emptied or partly restored store may have its messages and not the conversation itself."""
    scene = NodeScene()
    scene.store.put(C, "m1")
    mark = StoredMark("two:0001~00000001", C, 1, 1)
    scene.store.marks[mark.mark_id] = mark
    await scene.start()
    await passed(15.0)
    assert not scene.store.marks
    await scene.close()
