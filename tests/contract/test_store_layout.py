"""The content of Firestore, document by document: operators, rules and the acceptance guide read these names."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.cloud.firestore_v1.async_client import AsyncClient

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.conversations import LastMessage
from holdfast.domain.ids import ConversationId, Epoch, InstanceId, UserId
from holdfast.domain.notifications import CatchUp, Notification, PushOutcome
from holdfast.ports import Store
from support.appending import NOW_MS, begin, draft, drafts, new_conversation
from support.fixtures_firestore import NewFirestore

C = ConversationId("c1")
ALICE, BOB = UserId("alice"), UserId("bob")
NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)


class Console:
    """Firestore as its console shows it."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def document(self, path: str) -> dict[str, Any]:
        """The fields of one document; fails when it does not exist."""
        snapshot = await self._client.document(path).get()
        assert snapshot.exists, path
        return snapshot.to_dict() or {}

    async def ids(self, path: str) -> list[str]:
        """The documents of one collection."""
        return [snapshot.id async for snapshot in self._client.collection(path).stream()]

    async def add(self, path: str, fields: dict[str, Any]) -> None:
        """Set fields by hand."""
        await self._client.document(path).set(fields, merge=True)


@pytest.fixture
async def store(new_firestore: NewFirestore) -> Store:
    """Firestore only."""
    return await new_firestore()


@pytest.fixture
async def console(new_firestore: NewFirestore) -> Console:
    """Over the same project."""
    return Console(new_firestore.client())


async def test_messages_and_their_keys(store: Store, console: Console) -> None:
    """The document's id is the public message id; no user has read it; its key expires after 7 days."""
    sent = draft("m1", "hello", metadata_json='{"a":1}')
    await begin(store, C)
    await store.append(C, 1, [sent], NOW_MS)
    assert await console.ids("conversations/c1/messages") == ["000000000001"]
    assert await console.document("conversations/c1/messages/000000000001") == {
        "seq": 1,
        "sender": "alice",
        "clientMessageId": "m1",
        "body": "hello",
        "metadataJson": '{"a":1}',
        "sentAt": NOW,
        "readBy": [],
    }
    assert await console.document(f"conversations/c1/sends/{sent.key}") == {
        "seq": 1,
        "digest": sent.digest,
        "expireAt": NOW + timedelta(days=7),
    }


async def test_read_by_gathers_every_reader_once(store: Store, console: Console) -> None:
    """On the message addressed, and nowhere else; beside the cursors, which are the truth."""
    await begin(store, C)
    await store.append(C, 1, drafts(2), NOW_MS)
    await store.advance_cursors(C, {ALICE: 2}, {2: [ALICE]})
    await store.advance_cursors(C, {ALICE: 2, BOB: 2}, {2: [ALICE, BOB]})
    await store.advance_cursors(C, {}, {2: [BOB]})
    assert (await console.document("conversations/c1/messages/000000000002"))["readBy"] == ["alice", "bob"]
    assert (await console.document("conversations/c1/messages/000000000001"))["readBy"] == []
    assert await console.document("conversations/c1/cursors/alice") == {"lastReadSeq": 2}


async def test_a_reader_of_nothing_leaves_no_document(store: Store, console: Console) -> None:
    """Neither a message without a body nor a conversation without members."""
    await store.advance_cursors(C, {ALICE: 7}, {7: [ALICE]})
    await store.note_activity(C, LastMessage(7, ALICE, "x", NOW_MS))
    assert await console.ids("conversations/c1/messages") == []
    assert await console.ids("conversations") == []


async def test_conversations(store: Store, console: Console) -> None:
    """Hints included, whose time is Firestore's own."""
    await store.create_conversation(new_conversation("c1", "alice", "bob"))
    await store.note_activity(C, LastMessage(4, BOB, "last", NOW_MS))
    fields = await console.document("conversations/c1")
    assert abs(fields.pop("lastMessageAt") - datetime.now(UTC)) < timedelta(hours=1)
    assert fields == {
        "members": ["alice", "bob"],
        "memberCount": 2,
        "membersVersion": 1,
        "revision": 1,
        "title": "Title",
        "metadataJson": '{"topic":"tests"}',
        "createdAt": NOW,
        "createdBy": "alice",
        "digest": "alice,bob",
        "lastSeq": 4,
        "lastMessage": {"seq": 4, "sender": "bob", "body": "last", "sentAt": NOW},
    }


async def test_presence_keeps_what_it_does_not_know(store: Store, console: Console) -> None:
    """`catchup` belongs to the notifier; writes of presence must not lose it. A further connection is no later proof of life."""
    await store.add_presence("one:e1", dict.fromkeys([ALICE], NOW_MS))
    await console.add("users/alice", {"catchup": True})
    await store.add_presence("two:e1", dict.fromkeys([ALICE], NOW_MS + 1))
    expected = {"online": True, "on": ["one:e1", "two:e1"], "lastSeen": NOW, "catchup": True}
    assert await console.document("users/alice") == expected


async def test_who_goes_offline_is_flagged(store: Store, console: Console) -> None:
    """Since the last proof of life at any instance; both fields leave together."""
    await store.add_presence("one:e1", dict.fromkeys([ALICE], NOW_MS))
    await store.remove_presence("one:e1", dict.fromkeys([ALICE], NOW_MS - 2_000))
    offline = {"online": False, "on": [], "lastSeen": NOW}
    flagged = {**offline, "catchup": True, "catchupSince": NOW}
    assert await console.document("users/alice") == flagged
    await store.finish_catch_up(CatchUp(ALICE, NOW_MS))
    assert await console.document("users/alice") == offline


async def test_notifications(store: Store, console: Console) -> None:
    """Due, by Firestore's own time, as long as there is something to do; gone after 7 days."""
    await store.create_notifications([Notification("c1:000000000001:alice", ALICE, C, 1, BOB, "hel", NOW_MS)])
    fields = await console.document("notifications/c1:000000000001:alice")
    assert abs(fields.pop("dueAt") - datetime.now(UTC)) < timedelta(hours=1)
    assert fields.pop("token")
    assert fields == {
        "userId": "alice",
        "conversationId": "c1",
        "seq": 1,
        "sender": "bob",
        "preview": "hel",
        "createdAt": NOW,
        "state": "pending",
        "attempts": 0,
        "expireAt": NOW + timedelta(days=7),
    }
    (claimed,) = await store.claim_notifications(5, 30.0)
    await store.mark_notifications([PushOutcome(claimed.notification_id, "sent")])
    fields = await console.document("notifications/c1:000000000001:alice")
    assert (fields["state"], fields["attempts"], "dueAt" in fields) == ("sent", 1, False)


async def test_a_user_whom_somebody_else_began_is_taken_up(store: Store, console: Console) -> None:
    """A document with other fields only is no reason to fail."""
    await console.add("users/alice", {"catchup": False})
    (came,) = await store.add_presence("one:e1", dict.fromkeys([ALICE], NOW_MS))
    assert came.online
    await console.add("users/bob", {"catchup": False})
    assert not (await store.read_presence([BOB]))[BOB].online


async def test_bulletins_revocations_and_the_generation(store: Store, console: Console) -> None:
    """One small document each."""
    await store.write_bulletin(Bulletin(InstanceId("one"), Epoch("e1"), 3, "ok", {C: 7}, users=(ALICE,), server="8c2f01"))
    revoked_at_ms = await store.revoke(ALICE)
    assert await console.document("instances/one:e1") == {
        "name": "one",
        "epoch": "e1",
        "beat": 3,
        "mode": "ok",
        "heads": {"c1": 7},
        "members": {},
        "users": ["alice"],
        "receipts": {},
        "left": {},
        "earlier": {"one:e1": 0},
        "overflow": False,
        "server": "8c2f01",
        "isCut": False,
        "isOut": False,
        "isEnded": False,
        "beats": False,
    }
    revocation = await console.document("revocations/alice")
    assert revocation["notBefore"] == revoked_at_ms // 1000 + 1
    assert set(revocation) == {"notBefore", "revokedAt"}
    await store.revoke_token("alice.1f", NOW_MS)
    token = await console.document("revokedTokens/alice.1f")
    assert token["expireAt"] == NOW
    assert set(token) == {"revokedAt", "expireAt"}
    assert await console.document("meta/generation") == {"id": await store.generation()}


async def test_another_generation_is_seen_at_once(store: Store, console: Console) -> None:
    """A restored store has another one; no instance may go on with what it remembers."""
    before = await store.generation()
    await console.add("meta/generation", {"id": "restored"})
    assert before != await store.generation() == "restored"
