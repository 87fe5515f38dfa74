"""The store's contract, conversations, members, hints and read cursors. Over SQLite and Firestore."""

import asyncio

import pytest

from holdfast.domain.conversations import LastMessage, MemberChange, PageKey
from holdfast.domain.ids import ConversationId, UserId
from holdfast.errors import CommandError
from holdfast.ports import Store
from support.appending import NOW_MS, begin, change_member, drafts, new_conversation
from support.fixtures_store import NewStore

C = ConversationId("c1")
ALICE, BOB, CARL, DAN = UserId("alice"), UserId("bob"), UserId("carl"), UserId("dan")
TITLE, METADATA = frozenset({"title"}), frozenset({"metadata"})


def last(seq: int) -> LastMessage:
    """The preview of message `seq`."""
    return LastMessage(seq, BOB, f"body {seq}", NOW_MS + seq)


async def members_of(store: Store) -> tuple[UserId, ...]:
    """As stored."""
    conversation = await store.read_conversation(C)
    assert conversation is not None
    return conversation.members


async def test_a_conversation_is_stored_as_it_was_created(store: Store) -> None:
    """Members keep their order; versions begin at 1; its activity begins with its creation."""
    created, is_new = await store.create_conversation(new_conversation("c1", "carl", "alice", "bob", title=None))
    assert is_new
    assert (created.conversation_id, created.members, created.created_by) == (C, (CARL, ALICE, BOB), CARL)
    assert (created.members_version, created.revision, created.title, created.metadata_json) == (1, 1, None, '{"topic":"tests"}')
    assert (created.created_at_ms, created.digest, created.last_active_at_ms) == (NOW_MS, "carl,alice,bob", NOW_MS)
    assert (created.last_seq, created.last_message) == (0, None)
    assert await store.read_conversation(C) == created


async def test_nothing_is_nothing(store: Store) -> None:
    """Asking never creates."""
    assert await store.read_conversation(C) is None
    assert await store.update_conversation(C, title="x", metadata_json=None) is None
    assert await change_member(store, C, ALICE, is_member=True, max_members=5) is None
    await store.note_activity(C, last(1))
    assert await store.read_conversation(C) is None
    assert (await store.memberships_of(ALICE), len(await store.memberships_of(ALICE))) == ([], 0)
    assert (await store.read_cursors(C), await store.cursors_of(ALICE, [C])) == ({}, {})


async def test_creating_an_existing_id_answers_what_is_stored(store: Store) -> None:
    """A repeated creation is told what the first one made, whatever it asks for now."""
    created, _ = await store.create_conversation(new_conversation("c1", "alice", "bob"))
    assert await store.create_conversation(new_conversation("c1", "carl", created_at_ms=NOW_MS + 1)) == (created, False)


async def test_of_creations_at_the_same_time_one_wins(new_store: NewStore) -> None:
    """Exactly one caller created it, and all are told the same conversation."""
    stores = [await new_store() for _ in range(3)]
    names = ["alice", "bob", "carl"]
    answers = await asyncio.gather(
        *(each.create_conversation(new_conversation("c1", name)) for each, name in zip(stores, names, strict=True))
    )
    assert sorted(is_new for _, is_new in answers) == [False, False, True]
    assert len({conversation.created_by for conversation, _ in answers}) == 1


async def test_title_and_metadata_are_replaced_and_the_revision_rises(store: Store) -> None:
    """Clients throw away what carries a lower revision."""
    await store.create_conversation(new_conversation("c1", "alice"))
    updated = await store.update_conversation(C, title="New", metadata_json=None)
    assert updated is not None
    assert (updated.title, updated.metadata_json, updated.revision, updated.members_version) == ("New", None, 2, 1)
    assert await store.read_conversation(C) == updated
    assert await store.update_conversation(C, title="New", metadata_json=None) == updated


async def test_the_field_that_a_change_does_not_name_stays_as_it_is_stored(new_store: NewStore) -> None:
    """Callers of two instances change title and metadata at once: neither undoes the change of the other."""
    stores = [await new_store() for _ in range(2)]
    await stores[0].create_conversation(new_conversation("c1", "alice"))
    await asyncio.gather(
        stores[0].update_conversation(C, title="New", metadata_json="ignored", keeps=METADATA),
        stores[1].update_conversation(C, title="ignored", metadata_json='{"a":1}', keeps=TITLE),
    )
    stored = await stores[0].read_conversation(C)
    assert stored is not None
    assert (stored.title, stored.metadata_json, stored.revision) == ("New", '{"a":1}', 3)
    for kept in (METADATA, TITLE, METADATA | TITLE):
        assert await stores[0].update_conversation(C, title="New", metadata_json='{"a":1}', keeps=kept) == stored
    emptied = await stores[1].update_conversation(C, title=None, metadata_json=None, keeps=METADATA)
    assert emptied is not None
    assert (emptied.title, emptied.metadata_json, emptied.revision) == (None, '{"a":1}', 4)


async def test_members_come_and_go_with_their_version(store: Store) -> None:
    """Every change raises `membersVersion` and `revision` in the same write; no change raises nothing."""
    await store.create_conversation(new_conversation("c1", "alice", "bob"))
    added = await change_member(store, C, CARL, is_member=True, max_members=5)
    assert added is not None
    conversation, has_changed = added
    assert has_changed
    assert (conversation.members, conversation.members_version, conversation.revision) == ((ALICE, BOB, CARL), 2, 2)
    assert await change_member(store, C, CARL, is_member=True, max_members=5) == (conversation, False)
    removed = await change_member(store, C, ALICE, is_member=False, max_members=5)
    assert removed is not None
    conversation, has_changed = removed
    assert has_changed
    assert (conversation.members, conversation.members_version, conversation.revision) == ((BOB, CARL), 3, 3)
    assert await change_member(store, C, ALICE, is_member=False, max_members=5) == (conversation, False)
    assert await store.read_conversation(C) == conversation


async def test_the_position_at_which_a_membership_begins_is_stored_with_it(store: Store) -> None:
    """Delivery to a new member starts there; a member who is removed and added again begins anew."""
    await store.create_conversation(new_conversation("c1", "alice", "bob"))
    await change_member(store, C, CARL, is_member=True, max_members=5, joined_seq=7)
    found = await store.read_conversation(C)
    assert found is not None
    assert [found.joined_seq(user) for user in (ALICE, BOB, CARL)] == [0, 0, 7]
    assert [(row.conversation_id, row.joined_seq) for row in await store.memberships_of(CARL)] == [(C, 7)]
    assert [row.joined_seq for row in await store.memberships_of(BOB)] == [0]
    await change_member(store, C, CARL, is_member=True, max_members=5, joined_seq=8)  # a member already: nothing changes
    assert [row.joined_seq for row in await store.memberships_of(CARL)] == [7]
    removed = await change_member(store, C, CARL, is_member=False, max_members=5)
    assert removed is not None
    assert dict(removed[0].joined) == {}
    await change_member(store, C, CARL, is_member=True, max_members=5, joined_seq=9)
    assert [row.joined_seq for row in await store.memberships_of(CARL)] == [9]


async def test_a_full_conversation_takes_nobody(store: Store) -> None:
    """But it lets members stay, and go."""
    await store.create_conversation(new_conversation("c1", "alice", "bob"))
    with pytest.raises(CommandError) as refusal:
        await change_member(store, C, CARL, is_member=True, max_members=2)
    assert (refusal.value.code, refusal.value.field) == ("limit_reached", "members")
    assert await members_of(store) == (ALICE, BOB)
    again = await change_member(store, C, BOB, is_member=True, max_members=2)
    assert again is not None
    assert not again[1]


async def test_changes_of_members_in_one_write_are_made_in_order(store: Store) -> None:
    """Each has a revision of its own, by which it is announced; a change that is made already has none."""
    await store.create_conversation(new_conversation("c1", "alice", "bob"))
    changes = [
        MemberChange(CARL, is_member=True, joined_seq=7),
        MemberChange(ALICE, is_member=True, joined_seq=7),
        MemberChange(BOB, is_member=False),
        MemberChange(DAN, is_member=True),
    ]
    done = await store.change_members(C, changes, max_members=3)
    assert done is not None
    assert dict(done.revisions) == {CARL: 2, BOB: 3, DAN: 4}
    assert (done.conversation.members, dict(done.conversation.joined)) == ((ALICE, CARL, DAN), {CARL: 7})
    assert (done.conversation.revision, done.conversation.members_version) == (4, 4)
    assert await store.read_conversation(C) == done.conversation
    again = await store.change_members(C, changes, max_members=3)
    assert again is not None
    assert (again.conversation, dict(again.revisions)) == (done.conversation, {})


async def test_changes_of_which_one_is_refused_are_not_made(store: Store) -> None:
    """The limit is kept exactly; the caller makes them one by one then."""
    await store.create_conversation(new_conversation("c1", "alice", "bob"))
    with pytest.raises(CommandError) as refusal:
        await store.change_members(C, [MemberChange(each, is_member=True) for each in (CARL, DAN)], max_members=3)
    assert (refusal.value.code, refusal.value.field) == ("limit_reached", "members")
    assert await members_of(store) == (ALICE, BOB)


async def test_changes_of_members_by_several_instances_are_all_kept(new_store: NewStore) -> None:
    """No read-modify-write loses another's change."""
    stores = [await new_store() for _ in range(3)]
    await stores[0].create_conversation(new_conversation("c1", "alice"))
    users = [UserId(f"user{n}") for n in range(9)]
    await asyncio.gather(
        *(change_member(stores[n % 3], C, user, is_member=True, max_members=100) for n, user in enumerate(users))
    )
    conversation = await stores[0].read_conversation(C)
    assert conversation is not None
    assert set(conversation.members) == {ALICE, *users}
    assert (len(conversation.members), conversation.members_version, conversation.revision) == (10, 10, 10)


async def test_a_user_s_conversations_are_listed_by_activity(store: Store) -> None:
    """Most recently active first; only those of which one is a member."""
    for at, name in enumerate(["old", "middle", "new"]):
        await store.create_conversation(new_conversation(name, "alice", "bob", created_at_ms=NOW_MS + at * 1000))
    await store.create_conversation(new_conversation("foreign", "carl"))
    await change_member(store, ConversationId("middle"), BOB, is_member=False, max_members=5)
    rows = await store.memberships_of(ALICE)
    assert [row.conversation_id for row in rows] == ["new", "middle", "old"]
    assert [row.member_count for row in rows] == [2, 1, 2]
    assert [row.members_version for row in rows] == [1, 2, 1]
    assert [row.conversation_id for row in await store.memberships_of(BOB)] == ["new", "old"]
    assert (len(await store.memberships_of(ALICE)), len(await store.memberships_of(BOB))) == (3, 2)


async def test_pages_of_conversations_hold_each_once(store: Store) -> None:
    """Equal times are told apart by id; a page begins strictly after the last one's end."""
    times = [0, 5, 5, 5, 5, 9, 12]
    for number, at in enumerate(times):
        await store.create_conversation(new_conversation(f"c{number}", "alice", created_at_ms=NOW_MS + at))
    found: list[ConversationId] = []
    after = None
    while page := await store.page_conversations(ALICE, 2, after):
        assert len(page) <= 2
        found += [conversation.conversation_id for conversation in page]
        after = PageKey(page[-1].last_active_at_ms, page[-1].conversation_id)
    assert found == ["c6", "c5", "c4", "c3", "c2", "c1", "c0"]


async def test_hints_never_go_back(store: Store) -> None:
    """Instances report activity late and out of order."""
    await store.create_conversation(new_conversation("c1", "alice", "bob", created_at_ms=1))
    await store.note_activity(C, last(5))
    noted = await store.read_conversation(C)
    assert noted is not None
    assert (noted.last_seq, noted.last_message, noted.revision) == (5, last(5), 1)
    assert noted.last_active_at_ms > 1
    await store.note_activity(C, last(3))
    assert await store.read_conversation(C) == noted
    await store.note_activity(C, last(6))
    newest = await store.read_conversation(C)
    assert newest is not None
    assert newest.last_message == last(6)


async def test_of_concurrent_hints_the_newest_stays(new_store: NewStore) -> None:
    """Whatever order they arrive in."""
    stores = [await new_store() for _ in range(3)]
    await stores[0].create_conversation(new_conversation("c1", "alice"))
    await asyncio.gather(*(stores[seq % 3].note_activity(C, last(seq)) for seq in (4, 2, 6, 1, 5, 3)))
    conversation = await stores[0].read_conversation(C)
    assert conversation is not None
    assert (conversation.last_seq, conversation.last_message) == (6, last(6))


async def test_read_cursors_only_move_forward(store: Store) -> None:
    """The answer is what is committed: never below what was asked, possibly above."""
    await begin(store, C)
    await store.append(C, 1, drafts(9), NOW_MS)
    assert await store.advance_cursors(C, {ALICE: 5, BOB: 2}, {}) == {ALICE: 5, BOB: 2}
    assert await store.advance_cursors(C, {ALICE: 3, BOB: 4}, {}) == {ALICE: 5, BOB: 4}
    assert await store.advance_cursors(C, {}, {}) == {}
    assert await store.read_cursors(C) == {ALICE: 5, BOB: 4}
    other = ConversationId("c2")
    await begin(store, other)
    await store.append(other, 1, drafts(1), NOW_MS)
    await store.advance_cursors(other, {ALICE: 1}, {})
    assert await store.cursors_of(ALICE, [C, other, ConversationId("never")]) == {C: 5, other: 1}


async def test_a_cursor_that_does_not_move_is_kept_as_evidence(store: Store) -> None:
    """Its user has written in the conversation, and has read nothing; a cursor further on stays where it is."""
    await begin(store, C)
    assert await store.advance_cursors(C, {ALICE: 0}, {}) == {ALICE: 0}
    assert await store.read_cursors(C) == await store.read_cursors(C) == {ALICE: 0}
    assert await store.cursors_of(ALICE, [C]) == {C: 0}
    await store.append(C, 1, drafts(2), NOW_MS)
    await store.advance_cursors(C, {ALICE: 2}, {})
    assert await store.advance_cursors(C, {ALICE: 0}, {}) == {ALICE: 2}


async def test_cursors_of_several_instances_converge(new_store: NewStore) -> None:
    """Reordered and repeated, the highest stays."""
    stores = [await new_store() for _ in range(3)]
    await begin(stores[0], C)
    await stores[0].append(C, 1, drafts(9), NOW_MS)
    asked = [7, 3, 9, 1, 9, 5]
    answers = await asyncio.gather(*(stores[n % 3].advance_cursors(C, {ALICE: seq}, {}) for n, seq in enumerate(asked)))
    assert all(answer[ALICE] >= seq for answer, seq in zip(answers, asked, strict=True))
    assert await stores[0].read_cursors(C) == {ALICE: 9}


async def test_readers_of_a_message_that_does_not_exist_make_no_ghost(store: Store) -> None:
    """A document without a body would be read as a message, and block its place."""
    await begin(store, C)
    await store.append(C, 1, drafts(2), NOW_MS)
    assert await store.advance_cursors(C, {ALICE: 2}, {2: [ALICE], 3: [ALICE]}) == {ALICE: 2}
    assert await store.heads({C: 2}) == {C: 2}
    assert [message.seq for message in await store.read_messages(C, after_seq=0, limit=10)] == [1, 2]
    await store.append(C, 3, drafts(1, "third"), NOW_MS)


async def test_a_cursor_beyond_the_end_is_not_written(store: Store) -> None:
    """A restore took its message away, and this instance has not noticed: the next message there would count as read."""
    await begin(store, C)
    await store.append(C, 1, drafts(2), NOW_MS)
    assert await store.advance_cursors(C, {ALICE: 3, BOB: 2}, {2: [BOB], 3: [ALICE]}) == {BOB: 2}
    assert await store.advance_cursors(C, {ALICE: 3}, {3: [ALICE]}) == {}
    assert await store.read_cursors(C) == {BOB: 2}
    await store.append(C, 3, drafts(1, "third"), NOW_MS)
    assert await store.advance_cursors(C, {ALICE: 3}, {3: [ALICE]}) == {ALICE: 3}
