"""How a connection comes back: what it costs the store, and what it is told when something changes meanwhile."""

import asyncio
from collections.abc import Mapping

from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.domain.messages import Message
from holdfast.errors import StoreUnavailable
from holdfast.node.sending.append import Commit
from support.connecting_scene import C, D, Scene, frames, synced
from support.fakes import connection, conversation
from support.virtual_time import in_virtual_time, passed, settled


@in_virtual_time
async def test_a_hundred_users_who_come_back_cost_no_read() -> None:
    """20 conversations each, after a restart of their instance; the first time each cost a list, a tail, and a cursor a row."""
    scene = Scene()
    scene.store.conversations.clear()
    for group in range(5):
        for number in range(20):
            c = f"c{group}-{number}"
            scene.store.conversations[c] = conversation(c, *(f"user{group * 20 + member}" for member in range(20)))
    before = scene.instance()
    await asyncio.gather(*(before.connect(f"user{number}", {}) for number in range(100)))
    assert scene.reads() >= 200
    reads, after = scene.reads(), scene.instance()
    everybody = await asyncio.gather(*(after.connect(f"user{number}", {}) for number in range(100)))
    assert scene.reads() == reads
    assert all(len(synced(each)["heads"]) == 20 for each in everybody)


@in_virtual_time
async def test_what_was_said_meanwhile_is_replayed() -> None:
    """Redis says how far each conversation is; the messages come from `recent`, or from the store."""
    scene = Scene()
    await scene.instance().connect("alice")
    scene.store.put(C, "one", "two")
    scene.cache.published[C] = 2
    again = await scene.instance().connect("alice", {})
    assert [frame["seq"] for frame in frames(again) if frame["type"] == "message"] == [1, 2]
    assert synced(again)["heads"] == {"c1": 2, "c2": 0}


@in_virtual_time
async def test_time_from_hello_to_synced_is_measured() -> None:
    """It is what a user waits for after a reconnection; a store that is slow shows there."""
    scene = Scene()
    instance = scene.instance()
    await instance.connect("alice")
    await instance.connect("bob", {"c1": 0})
    value = instance.telemetry.registry.get_sample_value
    assert [value("holdfast_resume_seconds_count", {"resumed": each}) for each in ("yes", "no")] == [1.0, 1.0]


@in_virtual_time
async def test_a_publication_that_is_still_to_come_is_live() -> None:
    """Committed, in no roster and not published yet: it comes after `synced`, once."""
    scene = Scene()
    await scene.instance().connect("alice")
    scene.store.put(C, "one")
    again = scene.instance()
    alice = await again.connect("alice", {})
    assert synced(alice)["heads"]["c1"] == 0
    again.delivery.publish_again(C, scene.store.messages[C])
    await passed(0.5)
    assert [frame["type"] for frame in frames(alice)] == ["synced", "message"]


@in_virtual_time
async def test_who_is_removed_while_connecting_is_let_go() -> None:
    """The list was read before, the change is heard on the user's channel before the client is told anything."""
    scene = Scene()
    await scene.instance().connect("alice")
    again = scene.instance()
    opening = connection("alice")
    again.connecting.open(opening)
    await passed(0.5)
    scene.store.conversations[C] = conversation(C, "bob", version=2, revision=2)
    scene.cache.forget("alice")
    again.told("member_removed", 2, "alice")
    again.connecting.resume(opening, {})
    await passed(0.5)
    assert synced(opening)["heads"] == {"c2": 0}
    again.delivery.hand_over(_commit("not for alice"))
    await settled()
    assert not [frame for frame in frames(opening) if frame["type"] == "message"]


@in_virtual_time
async def test_user_removed_while_connecting_is_replayed_nothing_while_the_store_is_away() -> None:
    """The list was read before. The change was heard, but the members cannot be read: the answer waits for them."""
    scene = Scene()
    await scene.instance().connect("alice")
    again, opening = scene.instance(), connection("alice")
    again.connecting.open(opening)
    await passed(0.5)
    scene.store.conversations[C] = conversation(C, "bob", version=2, revision=2)
    scene.store.fail("read_conversation", *[StoreUnavailable("away")] * 8)
    scene.cache.forget("alice")
    scene.store.put(C, "after the removal")
    scene.cache.published[C] = 1
    again.told("member_removed", 2, "alice")
    again.connecting.resume(opening, {})
    await passed(0.5)
    assert frames(opening) == []
    await passed(10.0)
    assert synced(opening)["heads"] == {"c2": 0}
    assert not [frame for frame in frames(opening) if frame["type"] == "message"]


@in_virtual_time
async def test_a_change_that_was_reported_and_is_in_no_store_delays_no_connection() -> None:
    """A conversation that is gone, or a revision that was never written: the answer comes after the reads that show it."""
    scene = Scene()
    await scene.instance().connect("alice")
    again = scene.instance()
    del scene.store.conversations[C]
    again.conversations.hint(C, 2)
    again.conversations.hint(D, 2)
    reads = scene.store.calls["read_conversation"]
    alice = await again.connect("alice", {})
    assert synced(alice)["heads"] == {"c1": 0, "c2": 0}
    assert scene.store.calls["read_conversation"] - reads == 4


@in_virtual_time
async def test_connection_that_ends_while_the_list_is_read_leaves_its_user_to_presence() -> None:
    """Instances that saw it notified its user of nothing: what came meanwhile has to be looked through."""
    scene = Scene()
    instance, opening = scene.instance(), connection("alice")
    reading = scene.store.hold("memberships_of")
    instance.connecting.open(opening)
    await passed(0.5)
    instance.connecting.close(opening, 0.0)
    assert instance.presence.missed_users == []
    reading.set()
    await passed(0.5)
    assert instance.presence.missed_users == ["alice"]


@in_virtual_time
async def test_who_is_added_while_connecting_hears_the_first_message() -> None:
    """Neither the list that was read nor the one in Redis has it: the change is heard, and what follows it."""
    scene = Scene()
    scene.store.conversations[C] = conversation(C, "bob")
    await scene.instance().connect("alice")
    again = scene.instance()
    opening = connection("alice")
    again.connecting.open(opening)
    await passed(0.5)
    scene.store.conversations[C] = conversation(C, "bob", "alice", version=2, revision=2)
    scene.cache.forget("alice")
    again.told("member_added", 2, "alice")
    again.connecting.resume(opening, {})
    await passed(0.5)
    scene.store.put(C, "welcome")
    again.delivery.hand_over(_commit("welcome"))
    await passed(0.5)
    assert [frame["seq"] for frame in frames(opening) if frame["type"] == "message"] == [1]


@in_virtual_time
async def test_cursor_of_hello_counts_when_the_stale_list_lacked_its_conversation() -> None:
    """The device has seen the first message at another instance; the change comes after `synced`."""
    scene = Scene()
    scene.store.conversations[C] = conversation(C, "bob")
    await scene.instance().connect("alice")
    scene.store.conversations[C] = conversation(C, "bob", "alice", version=2, revision=2)
    scene.store.put(C, "seen", "new")
    again = scene.instance()
    alice = await again.connect("alice", {C: 1})
    assert C not in synced(alice)["heads"]
    again.told("member_added", 2, "alice")
    await passed(0.5)
    assert [frame["seq"] for frame in frames(alice) if frame["type"] == "message"] == [2]


@in_virtual_time
async def test_a_list_that_outlived_a_removal_shows_nothing() -> None:
    """Should Redis ever be wrong: before anything is shown the membership is read, and the former member is let go."""
    scene = Scene()
    await scene.instance().connect("alice")
    scene.store.conversations[C] = conversation(C, "bob", version=2, revision=2)
    again = scene.instance()
    alice = await again.connect("alice")
    again.delivery.hand_over(_commit("not for alice"))
    await passed(0.5)
    assert not [frame for frame in frames(alice) if frame["type"] == "message"]
    assert [frame["event"] for frame in frames(alice) if frame["type"] == "conversation"] == ["member_removed"]


@in_virtual_time
async def test_who_was_removed_while_connecting_and_nobody_heard_of_it_is_let_go() -> None:
    """The bus was gone for that moment: the list that is read at the end says so."""
    scene = Scene()
    await scene.instance().connect("alice")
    again, alice = scene.instance(), connection("alice")
    again.connecting.open(alice)
    await passed(0.5)
    scene.store.conversations[C] = conversation(C, "bob", version=2, revision=2)
    scene.cache.forget("alice")
    again.connecting.resume(alice, {})
    await passed(0.5)
    assert alice not in again.delivery.locals[C].connections
    assert [frame["event"] for frame in frames(alice) if frame["type"] == "conversation"] == ["member_removed"]


@in_virtual_time
async def test_a_change_whose_owner_died_is_told_by_whoever_finds_its_mark() -> None:
    """The new member's sockets are let in and told, and what Redis remembers of all lists goes; once is enough."""
    scene = Scene()
    scene.store.conversations.pop(D)
    one = scene.instance()
    alice, carol = await one.connect("alice"), await one.connect("carol")
    scene.store.conversations[C] = conversation(C, "alice", "bob", "carol", version=2, revision=2)
    for _ in range(2):
        await one.membership.publish_again(C, 1, [UserId("carol")])
        await settled()
    channels = [channel for channel, _ in one.bus.published]
    assert channels == ["conversation:c1", "user:carol"] * 2
    assert [frame["event"] for frame in frames(carol) if frame["type"] == "conversation"] == ["member_added"]
    assert [frame["event"] for frame in frames(alice) if frame["type"] == "conversation"] == ["updated"]
    one.delivery.hand_over(_commit("welcome"))
    await settled()
    assert [frame["seq"] for frame in frames(carol) if frame["type"] == "message"] == [1]


@in_virtual_time
async def test_a_change_that_never_came_about_is_not_told() -> None:
    """Its owner died before the store had it."""
    scene = Scene()
    one = scene.instance()
    alice = await one.connect("alice")
    await one.membership.publish_again(C, 1, [UserId("carol")])
    await one.membership.publish_again(ConversationId("none"), 0, [UserId("carol")])
    assert one.bus.published == []
    assert [frame["type"] for frame in frames(alice)] == ["synced"]


@in_virtual_time
async def test_a_tail_that_redis_proves_is_not_asked_of_the_store() -> None:
    """Only once the channel is confirmed: what is published after that is heard."""
    one = Scene().instance()
    asked: list[tuple[dict[ConversationId, Seq], str]] = []

    async def published(known: Mapping[ConversationId, Seq], proof: str) -> dict[ConversationId, Seq]:
        asked.append((dict(known), proof))
        return {C: 4} if proof else {}

    one.delivery.published_tails = published
    await one.delivery.activate({C: 2}, "proof")
    assert one.delivery.head(C) == 4
    assert one.store.calls["heads"] == 0
    one.bus.is_live = False
    await one.delivery.activate({D: 2}, "proof")
    assert asked == [({C: 2}, "proof"), ({D: 2}, "")]
    assert one.store.calls["heads"] == 1


def _commit(body: str) -> Commit:
    return Commit(C, [Message(C, 1, UserId("bob"), "key", body, None, 5)], 0.0, None)


@in_virtual_time
async def test_an_older_reading_does_not_turn_away_a_connection_whose_list_is_newer() -> None:
    """Read here for a call by REST, then a member was added elsewhere and connects: the next message is shown to that member."""
    scene = Scene()
    instance = scene.instance()
    instance.conversations.keep(conversation(C, "alice", "bob", version=2, revision=2))
    instance.change_members("alice", "bob", "dan", version=3)
    dan = await instance.connect("dan", {})
    instance.receive(1)
    await settled()
    assert [frame["seq"] for frame in frames(dan) if frame["type"] == "message"] == [1]
    assert not [frame for frame in frames(dan) if frame.get("event") == "member_removed"]
    instance.change_members("alice", "bob", version=4)
    instance.conversations.keep(scene.store.conversations[C])
    instance.receive(2)
    await settled()
    assert [frame["seq"] for frame in frames(dan) if frame["type"] == "message"] == [1]


@in_virtual_time
async def test_a_membership_that_begins_beyond_the_end_is_delivered_from_the_end() -> None:
    """A store that was restored in part: told to begin later, the client would drop the next messages as known."""
    scene = Scene()
    scene.store.conversations[C] = conversation(C, "bob", "alice", version=2, revision=2, joined={"alice": 5})
    scene.store.put(C, "one", "two")
    again = scene.instance()
    back = await again.connect("alice", {})
    (notice,) = [frame for frame in frames(back) if frame["type"] == "conversation"]
    assert notice["conversation"]["last_seq"] == synced(back)["heads"][C] == 2


@in_virtual_time
async def test_cursor_of_another_generation_is_reset_although_the_store_has_grown_past_it() -> None:
    """The client had 50 messages, the store was put back to 30, and others wrote 25: its 31 to 50 are not the store's."""
    scene = Scene()
    scene.store.put(C, *(f"m{n}" for n in range(1, 56)))
    instance = scene.instance()
    instance.delivery.generation = "g2"
    reads = scene.store.calls["read_messages"]
    made = await instance.connect("alice", {C: 50}, "g1")
    told = [(frame["type"], frame["conversation_id"]) for frame in frames(made) if "seq" in frame or frame["type"] == "reset"]
    assert told == [("reset", C)]
    assert [frame["last_seq"] for frame in frames(made) if frame["type"] == "reset"] == [55]
    assert synced(made)["heads"][C] == 55
    assert scene.store.calls["read_messages"] == reads


@in_virtual_time
async def test_cursor_of_the_same_or_of_no_named_generation_is_replayed() -> None:
    """Clients of today name none: for them nothing changes."""
    scene = Scene()
    scene.store.put(C, *(f"m{n}" for n in range(1, 56)))
    instance = scene.instance()
    instance.delivery.generation = "g2"
    for generation in ("", "g2"):
        made = await instance.connect("alice", {C: 50}, generation)
        assert [frame["seq"] for frame in frames(made) if frame["type"] == "message"] == [51, 52, 53, 54, 55]
        assert not [frame for frame in frames(made) if frame["type"] == "reset"]
