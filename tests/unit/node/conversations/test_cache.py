"""How long an instance may believe what it knows of a conversation."""

import asyncio
import gc

import pytest

from holdfast.domain.conversations import Conversation
from holdfast.domain.ids import ConversationId, UserId
from holdfast.errors import StoreTimeout
from holdfast.node.conversations.cache import MAX_CACHED, UNPROVEN_SECONDS, Conversations
from support.fake_cluster import FakeBus
from support.fake_redis_trust import FakeRedisTrust
from support.fakes import FakeStore, conversation
from support.virtual_time import LoopClock, in_virtual_time, passed, settled

C = ConversationId("c1")


class Scene:
    """A cache; `c1` has alice and bob."""

    def __init__(self) -> None:
        self.store, self.bus = FakeStore(), FakeBus()
        self.store.conversations[C] = conversation(C, "alice", "bob")
        redis_trust = FakeRedisTrust(self.bus, LoopClock())
        self.peers = redis_trust.peers
        self.cache = Conversations(
            self.store,  # type: ignore[arg-type]  # the part it uses
            self.bus,
            LoopClock(),
            redis_trust,
        )


@in_virtual_time
async def test_it_is_believed_while_somebody_would_tell_us_of_a_change() -> None:
    """Read while it was subscribed, on a bus that is live; else for a second."""
    scene = Scene()
    assert scene.cache.cached(C) is None
    await scene.cache.get(C)
    await passed(UNPROVEN_SECONDS - 0.1)
    assert scene.cache.cached(C) is not None
    await passed(0.2)
    assert scene.cache.cached(C) is None
    scene.bus.wanted.add(f"conversation:{C}")
    await scene.cache.get(C)
    await passed(60)
    assert scene.cache.cached(C) is not None
    scene.peers.is_trusted = False
    assert scene.cache.cached(C) is None
    scene.peers.is_trusted = True
    assert scene.cache.cached(C) is not None
    scene.bus.is_live = False
    assert scene.cache.cached(C) is None


@in_virtual_time
async def test_members_as_of_a_commit_are_read_after_it_unless_each_change_is_heard() -> None:
    """A member who was added during a Redis outage is notified of the next message, whichever instance commits it."""
    scene = Scene()
    scene.bus.is_live = False
    await scene.cache.get(C)
    await passed(0.1)
    scene.store.conversations[C] = conversation(C, "alice", "bob", "carol", revision=2)
    committed_at = LoopClock().monotonic()
    assert scene.cache.cached(C) is not None, "still believed for what may be late"
    found = await scene.cache.as_of(C, committed_at)
    assert found is not None
    assert "carol" in found.members
    reads = scene.store.calls["read_conversation"]
    assert await scene.cache.as_of(C, committed_at) is found
    assert scene.store.calls["read_conversation"] == reads, "what was read since then is enough"
    scene.bus.is_live = True
    scene.bus.wanted.add(f"conversation:{C}")
    await scene.cache.read(C)
    reads = scene.store.calls["read_conversation"]
    await passed(60)
    await scene.cache.as_of(C, LoopClock().monotonic())
    assert scene.store.calls["read_conversation"] == reads, "every change would have been heard"


@in_virtual_time
async def test_a_conversation_read_before_its_subscription_was_confirmed_is_read_again() -> None:
    """Changes that were published in between did not arrive here; a later subscription does not bring them back."""
    scene = Scene()
    await scene.cache.get(C)
    scene.bus.wanted.add(f"conversation:{C}")
    await passed(UNPROVEN_SECONDS + 0.1)
    assert scene.cache.cached(C) is None
    await scene.cache.get(C)
    scene.bus.confirmations += 1  # another connection to Redis: what came in between was missed
    await passed(UNPROVEN_SECONDS + 0.1)
    assert scene.cache.cached(C) is None


@in_virtual_time
async def test_a_refusal_is_read_anew() -> None:
    """A user who was added at another instance a moment ago is not refused for good by what was read before."""
    scene = Scene()
    carol = UserId("carol")
    scene.bus.wanted.add(f"conversation:{C}")
    await scene.cache.get(C)
    scene.store.conversations[C] = conversation(C, "alice", "bob", "carol", version=2, revision=2)
    assert await scene.cache.non_members(C, [UserId("alice")]) == set()
    assert scene.store.calls["read_conversation"] == 1
    assert await scene.cache.non_members(C, [carol]) == set()
    assert scene.store.calls["read_conversation"] == 2


@in_virtual_time
async def test_callers_that_arrive_during_a_read_share_the_next_one() -> None:
    """The read under way may have missed what they know of; two are enough for however many callers."""
    scene = Scene()
    answering = scene.store.hold("read_conversation")
    first = asyncio.create_task(scene.cache.read(C))
    await settled()
    later = [asyncio.create_task(scene.cache.read(C)) for _ in range(20)]
    await settled()
    assert scene.store.calls["read_conversation"] == 1
    answering.set()
    await asyncio.gather(first, *later)
    assert scene.store.calls["read_conversation"] == 2
    assert scene.cache._reads == {}, "nothing is kept of a conversation that none reads"


@in_virtual_time
async def test_a_hint_ends_the_belief_at_once() -> None:
    """And a read that began before the change is not taken for its answer."""
    scene = Scene()
    await scene.cache.get(C)
    scene.cache.hint(C, 1)
    assert scene.cache.cached(C) is not None
    answering = scene.store.hold("read_conversation")
    reading = asyncio.create_task(scene.cache.read(C))
    await settled()
    scene.cache.hint(C, 2)
    assert scene.cache.cached(C) is None
    old = scene.store.conversations[C]
    scene.store.fail("read_conversation", StoreTimeout("old"), after=True)
    answering.set()
    with pytest.raises(StoreTimeout):
        await reading
    assert old.revision == 1
    scene.store.conversations[C] = conversation(C, "alice", version=2, revision=2)
    found = await scene.cache.read(C)
    assert found is not None
    assert found.members == ("alice",)


@in_virtual_time
async def test_a_hint_that_nobody_ever_wrote_is_forgotten() -> None:
    """It must not cost a read for every message for ever."""
    scene = Scene()
    scene.cache.hint(C, 99)
    await scene.cache.get(C)
    assert scene.cache.cached(C) is not None
    before = scene.store.calls["read_conversation"]
    await scene.cache.get(C)
    assert scene.store.calls["read_conversation"] == before


@in_virtual_time
async def test_an_older_reading_does_not_replace_a_younger() -> None:
    """Reads overtake each other."""
    scene = Scene()
    scene.cache.keep(conversation(C, "alice", version=3, revision=3))
    scene.cache.keep(conversation(C, "alice", "bob", version=2, revision=2))
    latest = scene.cache.latest(conversation(C, "alice", "bob"))
    assert latest is not None
    assert latest.revision == 3


@in_virtual_time
async def test_many_who_ask_at_once_cost_one_read() -> None:
    """A hot conversation after a resubscription."""
    scene = Scene()
    await asyncio.gather(*(scene.cache.get(C) for _ in range(50)))
    assert scene.store.calls["read_conversation"] == 1


@in_virtual_time
async def test_a_read_that_fails_after_everybody_who_asked_is_gone_is_nobodys_error() -> None:
    """An instance stops while it reads: its log is not to end with a traceback."""
    scene, reported = Scene(), list[dict[str, object]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    answering = scene.store.hold("read_conversation")
    scene.store.fail("read_conversation", StoreTimeout("closed"))
    asking = asyncio.create_task(scene.cache.read(C))
    await settled()
    asking.cancel()
    await settled()
    answering.set()
    await settled()
    del asking  # its traceback holds the read
    gc.collect()
    assert reported == []


@in_virtual_time
async def test_a_miss_is_never_remembered() -> None:
    """It may be created the next moment."""
    scene = Scene()
    new = ConversationId("c2")
    assert await scene.cache.get(new) is None
    scene.store.conversations[new] = conversation(new, "alice")
    assert await scene.cache.get(new) is not None


@in_virtual_time
async def test_doubt_reads_everything_again() -> None:
    """After a gap of the bus nothing that was believed is."""
    scene = Scene()
    scene.bus.wanted.add(f"conversation:{C}")
    await scene.cache.get(C)
    scene.cache.invalidate()
    assert scene.cache.cached(C) is None


@in_virtual_time
async def test_who_may_speak() -> None:
    """Members, where there is a conversation at all."""
    scene = Scene()
    alice, eve = UserId("alice"), UserId("eve")
    assert await scene.cache.non_members(C, [alice, eve]) == {eve}
    assert await scene.cache.non_members(ConversationId("none"), [alice]) is None
    scene.cache.invalidate()
    scene.store.fail("read_conversation", StoreTimeout("away"))
    with pytest.raises(StoreTimeout):
        await scene.cache.non_members(C, [alice])


@in_virtual_time
async def test_it_is_bounded() -> None:
    """The least recently kept goes first."""
    scene = Scene()
    for number in range(MAX_CACHED + 5):
        scene.cache.keep(conversation(f"x{number}", "alice"))
        scene.cache.hint(ConversationId(f"x{number}"), 1)
    assert scene.cache.peek(ConversationId("x4")) is None
    assert scene.cache.peek(ConversationId("x5")) is not None


@in_virtual_time
async def test_changes_that_come_during_every_read_are_not_forgotten() -> None:
    """The last read may have missed the latest of them: a removed member would be believed to be one."""
    scene = Scene()
    await scene.cache.get(C)
    revisions = iter(range(2, 10))

    async def read(_: str) -> Conversation:
        revision = next(revisions)
        scene.cache.hint(C, revision + 1)
        return conversation(C, "alice", version=revision, revision=revision)

    scene.store.read_conversation = read  # type: ignore[method-assign]  # each read meets the next change
    await scene.cache.read(C)
    assert scene.cache.cached(C) is None
