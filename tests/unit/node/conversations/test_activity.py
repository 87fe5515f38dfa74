"""Hints of activity for lists: written soon, none waits for a conversation whose hint cannot be written."""

import asyncio
from collections.abc import Iterable
from typing import Any

from holdfast.domain.conversations import LastMessage
from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.domain.messages import Message
from holdfast.errors import StoreConflict, StoreTimeout, StoreUnavailable
from holdfast.node.conversations.activity import AT_ONCE, MAX_WAITING, Activity
from holdfast.node.sending.append import Commit
from holdfast.node.tasks import Tasks
from support.node_scene import NodeScene
from support.virtual_time import in_virtual_time, passed

ROUND_TRIPS_SECONDS = 0.08  # Firestore: a read and a write


class SlowStore:
    """Takes a while for each hint, and refuses those of some conversations."""

    def __init__(self) -> None:
        self.written: dict[ConversationId, Seq] = {}
        self.refuses: dict[ConversationId, Exception] = {}
        self.is_away = False
        self.asked: list[ConversationId] = []
        self.at_once = self.most_at_once = 0

    async def note_activity(self, conversation_id: ConversationId, last: LastMessage) -> None:
        self.asked.append(conversation_id)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(ROUND_TRIPS_SECONDS)
        self.at_once -= 1
        if self.is_away:
            raise StoreUnavailable("away")
        if conversation_id in self.refuses:
            raise self.refuses[conversation_id]
        self.written[conversation_id] = max(last.seq, self.written.get(conversation_id, 0))


class Scene:
    """The hints of one instance."""

    def __init__(self) -> None:
        self.mistakes: list[BaseException] = []
        self.store, self.tasks = SlowStore(), Tasks(lambda _, error: self.mistakes.append(error))
        self.activity = Activity(self.store, self.tasks)  # type: ignore[arg-type]  # the part it uses

    def note(self, numbers: Iterable[int], seq: Seq = 1) -> list[ConversationId]:
        """Each of these conversations has a new last message."""
        return note(self.activity, numbers, seq)

    async def ticks(self, seconds: int) -> None:
        """As an instance does."""
        for _ in range(seconds):
            self.activity.tick()
            await passed(1.0)


def note(activity: Activity, numbers: Iterable[int], seq: Seq = 1) -> list[ConversationId]:
    """Each of these conversations has a new last message."""
    named = [ConversationId(f"c{number}") for number in numbers]
    for c in named:
        activity.note(Commit(c, [Message(c, seq, UserId("bob"), "key", "body", None, 5)], 0.0, None))
    return named


@in_virtual_time
async def test_hints_of_many_conversations_are_written_within_seconds() -> None:
    """Written one after the other, a busy instance's lists were minutes behind."""
    scene = Scene()
    named = scene.note(range(200))
    await scene.ticks(3)
    assert scene.store.written.keys() == set(named)
    assert scene.store.most_at_once == AT_ONCE


@in_virtual_time
async def test_a_hint_that_is_refused_delays_no_other() -> None:
    """A conversation that is written all the time loses each race; the others do not wait for it."""
    scene = Scene()
    hot, *others = scene.note(range(100))
    scene.store.refuses[hot] = StoreConflict("contended")
    await scene.ticks(1)
    assert scene.store.written.keys() == set(others)
    scene.store.refuses.clear()
    await scene.ticks(1)
    assert scene.store.written[hot] == 1


@in_virtual_time
async def test_hints_that_are_refused_again_and_again_keep_no_other_out() -> None:
    """They have new messages every second, and they look like a store that is away: the next round begins with the others."""
    scene = Scene()
    hot = scene.note(range(AT_ONCE))
    scene.store.refuses.update(dict.fromkeys(hot, StoreTimeout("contended")))
    for second in range(1, 4):
        await scene.ticks(1)
        scene.note(range(AT_ONCE), second + 1)
        others = scene.note(range(100 * second, 100 * second + 50))
        await scene.ticks(2)
        assert scene.store.written.keys() >= set(others)
    scene.store.refuses.clear()
    await scene.ticks(1)
    assert {scene.store.written[c] for c in hot} == {4}


@in_virtual_time
async def test_a_store_that_is_away_is_asked_for_a_few_hints_a_round() -> None:
    """It gets a few calls a round, not thousands. The number of waiting hints is bounded; they are written when it answers."""
    scene = Scene()
    scene.store.is_away = True
    scene.note(range(MAX_WAITING))
    scene.activity.tick()
    scene.note(range(MAX_WAITING, 2 * MAX_WAITING))
    await scene.ticks(1)
    assert len(scene.store.asked) == AT_ONCE
    scene.note(range(AT_ONCE, MAX_WAITING), 2)
    scene.store.is_away = False
    await scene.ticks(120)
    assert len(scene.store.written) == MAX_WAITING
    assert set(scene.store.written.values()) == {1, 2}


@in_virtual_time
async def test_a_mistake_with_one_hint_is_counted_and_the_others_are_written() -> None:
    """It is not tried again: it would fail for ever."""
    scene = Scene()
    broken, *others = scene.note(range(100))
    scene.store.refuses[broken] = ValueError("a mistake")
    await scene.ticks(3)
    assert scene.store.written.keys() == set(others)
    assert scene.store.asked.count(broken) == 1
    assert [str(error) for error in scene.mistakes] == ["a mistake"]


@in_virtual_time
async def test_flush_writes_what_a_round_under_way_has_too() -> None:
    """The instance stops after it: background tasks are cancelled then."""
    scene = Scene()
    scene.note(range(100))
    scene.activity.tick()
    await passed(ROUND_TRIPS_SECONDS)
    scene.note(range(100, 150))
    await scene.activity.flush()
    assert len(scene.store.written) == 150
    assert scene.store.most_at_once == AT_ONCE


@in_virtual_time
async def test_an_instance_that_stops_with_many_hints_says_that_its_run_ended() -> None:
    """Its last bulletin does not wait for them: without it, the other instances take the run for dead."""
    scene, store = NodeScene(), SlowStore()
    await scene.start()
    await passed(5.0)
    scripted: Any = scene.store
    scripted.note_activity = store.note_activity
    note(scene.node.conversations.activity, range(3_000))
    await scene.close()
    (bulletin,) = scene.store.bulletins.values()
    assert bulletin.is_ended
    assert store.written
