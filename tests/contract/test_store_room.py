"""The store's contract, room in users' lists of conversations. Over SQLite and Firestore."""

import asyncio

import pytest

from holdfast.domain.conversations import Room
from holdfast.domain.ids import ConversationId, UserId
from holdfast.errors import CommandError
from holdfast.ports import Store
from support.appending import change_member, new_conversation
from support.fixtures_store import NewStore

ALICE, BOB, CARL = UserId("alice"), UserId("bob"), UserId("carl")


async def refusal_of(store: Store, name: str, *members: str, room: Room) -> str | None:
    """The field of the refusal, None when the conversation was created."""
    try:
        await store.create_conversation(new_conversation(name, *members), room)
    except CommandError as refusal:
        found = await store.read_conversation(ConversationId(name))
        return refusal.field if found is None and refusal.code == "limit_reached" else f"{refusal}, stored: {found}"
    return None


async def test_what_others_create_takes_no_room_for_ones_own(store: Store) -> None:
    """One account filled the lists of others; a user's own conversations are counted by their creator."""
    room = Room(own=2, added=3)
    for number in range(3):
        assert await refusal_of(store, f"theirs-{number}", f"user-{number}", "bob", room=room) is None
    assert await refusal_of(store, "theirs-3", "alice", "bob", room=room) == "members"
    for number in range(2):
        assert await refusal_of(store, f"own-{number}", "bob", "carl", room=room) is None
    assert await refusal_of(store, "own-2", "bob", "carl", room=room) == "conversations_per_user"
    assert await refusal_of(store, "other", "alice", "carl", room=room) is None
    assert len(await store.memberships_of(BOB)) == 5


async def test_one_creator_does_not_take_the_room_for_all_others(store: Store) -> None:
    """One account filled a list, and left each conversation again; then all friends of that user were refused."""
    room = Room(own=9, added=5, by_one=2)
    for number in range(2):
        assert await refusal_of(store, f"m{number}", "mallory", "bob", room=room) is None
        await change_member(store, ConversationId(f"m{number}"), UserId("mallory"), is_member=False, max_members=5, room=room)
    assert await refusal_of(store, "m2", "mallory", "carl", "bob", room=room) == "members"
    await store.create_conversation(new_conversation("m3", "mallory"), room)
    with pytest.raises(CommandError) as refusal:
        await change_member(store, ConversationId("m3"), BOB, is_member=True, max_members=5, room=room)
    assert refusal.value.code == "limit_reached"
    assert await refusal_of(store, "friend", "alice", "bob", room=room) is None
    assert await refusal_of(store, "m4", "mallory", "carl", room=room) is None


async def test_a_repeated_creation_is_answered_however_full_the_list_is(store: Store) -> None:
    """The reply to the first call may have been lost."""
    room = Room(own=1, added=1)
    created, _ = await store.create_conversation(new_conversation("c1", "alice", "bob"), room)
    assert await store.create_conversation(new_conversation("c1", "alice", "bob"), room) == (created, False)
    assert await refusal_of(store, "c2", "alice", room=room) == "conversations_per_user"


async def test_a_member_is_added_only_where_the_list_has_room(store: Store) -> None:
    """The creator who comes back takes one of the creator's own; a member stays a member; a removal needs no room."""
    room, c = Room(own=1, added=1), ConversationId("c1")
    await store.create_conversation(new_conversation("c1", "alice", "bob"), room)
    await store.create_conversation(new_conversation("c2", "carl"), room)
    with pytest.raises(CommandError) as refusal:
        await change_member(store, ConversationId("c2"), BOB, is_member=True, max_members=5, room=room)
    assert (refusal.value.code, refusal.value.field) == ("limit_reached", "members")
    again = await change_member(store, c, BOB, is_member=True, max_members=5, room=room)
    assert again is not None
    assert not again[1]
    assert await change_member(store, c, ALICE, is_member=False, max_members=5, room=room) is not None
    added = await change_member(store, c, ALICE, is_member=True, max_members=5, room=room)
    assert added is not None
    assert added[1]
    assert await change_member(store, ConversationId("none"), BOB, is_member=True, max_members=5, room=room) is None


async def test_forty_creations_at_once_do_not_exceed_the_limit_by_more_than_the_other_processes(new_store: NewStore) -> None:
    """At 45 of 50 they made 81: each counted before any had written."""
    stores = [await new_store() for _ in range(2)]
    room = Room(own=50, added=50)
    for number in range(45):
        await stores[0].create_conversation(new_conversation(f"c{number}", "alice"), room)
    calls = (refusal_of(stores[number % 2], f"more-{number}", "alice", room=room) for number in range(40))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    unexpected = [answer for answer in answers if answer not in (None, "conversations_per_user")]
    assert not unexpected, unexpected
    beyond = len(await stores[0].memberships_of(ALICE)) - 50
    assert 0 <= beyond <= (0 if stores[0].name == "sqlite" else 1)
