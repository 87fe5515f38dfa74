"""Values in the store that no version wrote: read past and counted; values beside them are served as before."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.conversations import NewConversation
from holdfast.domain.ids import ConversationId, Epoch, InstanceId, UserId
from holdfast.domain.notifications import Notification
from holdfast.ports import Store
from support.appending import change_member
from support.fakes import draft
from support.fixtures_firestore import NewFirestore
from support.fixtures_store import NewStore, RecordingWatch

C, D, ANN, BEN = ConversationId("c1"), ConversationId("c2"), UserId("ann"), UserId("ben")
NOW_MS = 1_765_432_100_000


async def _fill(store: Store) -> None:
    """The sound values: two conversations, three messages in one of them, a bulletin, a record."""
    for conversation_id in (C, D):
        await store.create_conversation(NewConversation(conversation_id, (ANN, BEN), ANN, NOW_MS, None, None, "d"))
    await store.append(C, 1, [draft("ann", f"k{number}", f"m{number}") for number in range(3)], NOW_MS)
    await store.write_bulletin(Bulletin(InstanceId("one"), Epoch("1"), 1, "ok"))
    await store.create_notifications([Notification("sound", ANN, C, 1, BEN, "hi", NOW_MS)])
    await store.add_presence("one:1", {ANN: NOW_MS})
    await store.advance_cursors(C, {ANN: 2}, {})


async def _holds(store: Store, watch: RecordingWatch) -> None:
    """A damaged value costs itself and nothing else."""
    assert [message.seq for message in await store.read_messages(C, after_seq=0, limit=10)] == [1, 2, 3]
    assert [message.body for message in await store.read_messages(C, after_seq=0, limit=10)][::2] == ["m0", "m2"]
    assert await store.heads({C: 0}) == {C: 3}
    assert (await store.settle(C, [draft("ann", "k2", "m2").key])).tail == 3
    assert {row.conversation_id for row in await store.memberships_of(ANN)} >= {C}
    assert (await store.read_conversation(C)) is not None
    await store.read_conversation(D)
    assert [bulletin.instance_id for bulletin in await store.read_bulletins()] == ["one"]
    assert [record.notification_id for record in await store.claim_notifications(8, 60.0)] == ["sound"]
    assert (await store.read_presence([ANN, BEN]))[ANN].online
    assert [change.user_id for change in await store.add_presence("two:1", {BEN: NOW_MS})] == [BEN]
    assert [change.user_id for change in await store.remove_presence("two:1", {BEN: NOW_MS})] == [BEN]
    assert (await store.read_cursors(C))[ANN] == 2
    await store.cursors_of(BEN, [C])
    assert isinstance(await store.catch_ups(10), list)
    assert (await store.read_revocations(0)).get(ANN, 0) == 0
    assert await store.read_revoked_tokens(0, 9) == {}
    assert await store.read_revoked_tokens(1, 9) == {}
    assert await change_member(store, D, UserId("cat"), is_member=True, max_members=10) is not None
    assert {"message", "conversation", "bulletin", "notification"} <= set(watch.unread)
    assert watch.failures == []


async def test_sqlite_reads_past_what_it_did_not_write(new_sqlite: NewStore, tmp_path: Path) -> None:
    """Columns take any type, and text columns bytes that are no text: with SQLite's own reader the whole query would fail."""
    watch = RecordingWatch()
    store = await new_sqlite(watch=watch)
    await _fill(store)
    with sqlite3.connect(tmp_path / "holdfast.db") as connection:
        for statement in (
            "UPDATE messages SET body = CAST(x'ff' AS TEXT), metadata_json = '{', sent_at_ms = 'never' WHERE seq = 2",
            "INSERT INTO messages VALUES ('c1', 'last', 'x', 'x', 'x', NULL, 0, 0)",
            "UPDATE conversations SET revision = x'00', title = x'ff', last_active_at_ms = 'never' WHERE id = 'c2'",
            "INSERT INTO members VALUES ('c1', x'ff', 'third', 0)",
            "INSERT INTO instances VALUES ('bad', '1', '{\"instance_id\": 5}')",
            "INSERT INTO instances VALUES ('worse', '1', x'ff')",
            (
                "INSERT INTO notifications SELECT 'bad', x'ff', conversation_id, 'x', sender, preview, 'x', state, 0, 'x', NULL, "
                "expires_at_ms FROM notifications WHERE id = 'sound'"
            ),
            "INSERT INTO users VALUES ('ben', 0, 'never', 1, 'never')",
            "INSERT INTO present VALUES ('dan', x'ff')",
            "INSERT INTO cursors VALUES ('c1', 'ben', 'far')",
            "INSERT INTO revoked VALUES ('ann', 'never')",
            "INSERT INTO revoked_tokens VALUES ('ann.1f', 'once', 'never')",
            "INSERT INTO revoked_tokens VALUES (x'ff', 5, x'ff')",
        ):
            connection.execute(statement)
    connection.close()
    await _holds(store, watch)


@pytest.fixture
async def damaged_firestore(new_firestore: NewFirestore) -> tuple[Store, RecordingWatch]:
    """A Firestore in which an operator wrote by hand."""
    watch = RecordingWatch()
    store = await new_firestore(watch=watch)
    await _fill(store)
    client = new_firestore.client()
    damage: dict[str, dict[str, Any]] = {
        "conversations/c1/messages/000000000002": {"body": 5, "sender": None, "metadataJson": "{", "sentAt": "never"},
        "conversations/c1/messages/zzz": {"seq": 9},
        "conversations/c2": {"revision": "x", "membersVersion": None, "title": 5, "lastMessageAt": "never", "lastMessage": []},
        "instances/bad": {"epoch": 5},
        "instances/worse": {"mode": "ok", "heads": []},
        "notifications/bad": {"dueAt": 0},
        "users/ben": {"online": "no", "on": "nowhere", "lastSeen": 5, "catchup": True, "catchupSince": "never"},
        "conversations/c1/cursors/ben": {"lastReadSeq": "far"},
        "revocations/ann": {"notBefore": 1.5, "revokedAt": "never"},
        "revokedTokens/ann.1f": {"revokedAt": datetime.now(UTC), "expireAt": "never"},
    }
    for path, fields in damage.items():
        await client.document(path).set(fields, merge=True)
    return store, watch


async def test_firestore_reads_past_what_it_did_not_write(damaged_firestore: tuple[Store, RecordingWatch]) -> None:
    """A field missing or of another type used to end whatever read it, for as long as the document stood there."""
    await _holds(*damaged_firestore)
