"""The store's contract, appends: a message is stored only behind its predecessor, whatever its writer believes of the tail."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.firestore_v1.async_client import AsyncClient

from holdfast.adapters.firestore.creates import Creates, can_verify
from holdfast.adapters.firestore.store import FirestoreStore
from holdfast.domain.ids import ConversationId, Seq
from holdfast.errors import PredecessorMissing, StoreConflict
from holdfast.ports import Store
from support.appending import NOW_MS, begin, draft, drafts
from support.fixtures_firestore import NewFirestore
from support.fixtures_store import NewStore

C = ConversationId("c1")


@pytest.fixture(params=["sqlite", "emulated-verify", "emulated-update", "simulated-verify", "simulated-update"])
def way(request: pytest.FixtureRequest) -> tuple[NewStore, bool]:
    """Makes stores of either kind; whether Firestore is asked by a `verify` or by an update."""
    kind, _, condition = request.param.partition("-")
    return request.getfixturevalue(f"new_{kind}"), condition == "verify"


@pytest.fixture
async def any_store(way: tuple[NewStore, bool]) -> Store:
    """A store of either kind; Firestore with each of the two ways to state the condition."""
    new_store, may_verify = way
    store = await new_store()
    if isinstance(store, FirestoreStore):
        store._calls.may_verify = may_verify
    return store


async def seqs(store: Store) -> list[Seq]:
    """The stored messages of the conversation."""
    return [message.seq for message in await store.read_messages(C, after_seq=0, limit=500)]


@pytest.mark.parametrize("first_seq", [3, 51, 10**9])
async def test_append_beyond_the_tail_is_a_conflict_and_writes_nothing(any_store: Store, first_seq: Seq) -> None:
    """A gap would be for ever: no device is shown anything behind it."""
    await begin(any_store, C)
    await any_store.append(C, 1, drafts(1), NOW_MS)
    late = [draft("late"), draft("later")]
    with pytest.raises(PredecessorMissing):
        await any_store.append(C, first_seq, late, NOW_MS)
    settlement = await any_store.settle(C, [each.key for each in late])
    assert (settlement.tail, settlement.sends, await seqs(any_store)) == (1, {}, [1])
    await any_store.append(C, 2, late, NOW_MS)
    assert await seqs(any_store) == [1, 2, 3]


async def test_first_message_without_its_conversation_is_a_conflict_and_writes_nothing(any_store: Store) -> None:
    """A message in a conversation that does not exist has no members who could be shown it."""
    with pytest.raises(PredecessorMissing):
        await any_store.append(C, 1, drafts(2), NOW_MS)
    assert await seqs(any_store) == []
    await begin(any_store, C)
    await any_store.append(C, 1, drafts(2), NOW_MS)
    assert await seqs(any_store) == [1, 2]


async def test_condition_leaves_the_predecessor_as_it_was(any_store: Store) -> None:
    """Neither the conversation nor the message before is changed by a send, and a full batch still fits into one commit."""
    await begin(any_store, C)
    before = await any_store.read_conversation(C)
    await any_store.append(C, 1, drafts(200), NOW_MS)
    (first,) = await any_store.read_messages(C, after_seq=0, limit=1)
    await any_store.append(C, 201, drafts(200, "more"), NOW_MS)
    assert await any_store.read_conversation(C) == before
    assert (await any_store.read_messages(C, after_seq=0, limit=1)) == [first]
    assert await any_store.heads({C: 0}) == {C: 400}


async def test_of_two_appends_behind_one_predecessor_one_is_stored(new_store: NewStore) -> None:
    """Two instances with the same tail, ten times: the loser's batch leaves no trace."""
    one, two = await new_store(), await new_store()
    await begin(one, C)
    for number in range(10):
        tail = 2 * number
        batches = [[draft(f"{writer}-{number}-{part}") for part in (1, 2)] for writer in ("one", "two")]
        appends = [store.append(C, tail + 1, batch, NOW_MS) for store, batch in zip((one, two), batches, strict=True)]
        outcomes = await asyncio.gather(*appends, return_exceptions=True)
        assert sorted(str(type(outcome).__name__) for outcome in outcomes) == ["NoneType", "StoreConflict"]
    assert await seqs(one) == list(range(1, 21))


async def test_append_races_the_message_that_it_has_to_follow(new_store: NewStore) -> None:
    """Whichever commits first: what is stored has no gap."""
    one, two = await new_store(), await new_store()
    await begin(one, C)
    tail = 0
    for number in range(20):
        appends = (one.append(C, tail + 1, [draft(f"a{number}")], NOW_MS), two.append(C, tail + 2, [draft(f"b{number}")], NOW_MS))
        first, second = await asyncio.gather(*appends, return_exceptions=True)
        assert first is None
        assert second is None or isinstance(second, PredecessorMissing)
        tail += 1 if second else 2
        assert await seqs(one) == list(range(1, tail + 1))


async def test_readers_of_the_predecessor_do_not_hold_up_the_append(new_store: NewStore) -> None:
    """`readBy` of the last message is written while the next one is appended behind it."""
    writer, reader = await new_store(), await new_store()
    await begin(writer, C)
    await writer.append(C, 1, drafts(1), NOW_MS)

    async def read(seq: Seq) -> None:
        users = [f"reader-{number}" for number in range(5)]
        await reader.advance_cursors(C, dict.fromkeys(users, seq), {seq: users})  # type: ignore[arg-type]  # user ids are strings

    for tail in range(1, 30):
        await asyncio.gather(writer.append(C, tail + 1, [draft(f"n{tail}")], NOW_MS), read(tail))
    assert await seqs(writer) == list(range(1, 31))


async def test_emptied_firestore_takes_no_message_behind_what_it_has_lost(new_firestore: NewFirestore) -> None:
    """Every process goes on with the tail it remembers: nothing is stored until the conversation exists again."""
    store = await new_firestore()
    await begin(store, C)
    await store.append(C, 1, drafts(5), NOW_MS)
    await new_firestore.empty()
    for first_seq in (6, 1):
        with pytest.raises(PredecessorMissing):
            await store.append(C, first_seq, [draft("late")], NOW_MS)
    assert (await store.settle(C, [draft("late").key])).tail == 0
    await begin(store, C)
    await store.append(C, 1, [draft("late")], NOW_MS)
    assert await seqs(store) == [1]


async def test_emptied_file_takes_no_message_behind_what_it_has_lost(new_sqlite: NewStore, tmp_path: Path) -> None:
    """The same of the embedded store."""
    store = await new_sqlite()
    await begin(store, C)
    await store.append(C, 1, drafts(5), NOW_MS)
    emptying = "DELETE FROM conversations; DELETE FROM members; DELETE FROM messages; DELETE FROM sends"
    with contextlib.closing(sqlite3.connect(tmp_path / "holdfast.db")) as connection:
        connection.executescript(emptying)
    for first_seq in (6, 1):
        with pytest.raises(PredecessorMissing):
            await store.append(C, first_seq, [draft("late")], NOW_MS)
    assert (await store.settle(C, [draft("late").key])).tail == 0


async def test_firestore_takes_a_verify(new_firestore: NewFirestore) -> None:
    """The cheaper of the two ways is the one in use where it works."""
    store = await new_firestore()
    assert store._calls.may_verify is True  # type: ignore[attr-defined]  # what the first contact decided


@pytest.mark.parametrize("answer", ["refused", "ignored", "away"])
async def test_firestore_that_does_not_judge_a_verify_is_asked_by_an_update(
    new_firestore: NewFirestore, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """A condition that is not judged would be none; the update is always right and costs one write."""
    store = await new_firestore()
    client = store._calls.client  # type: ignore[attr-defined]  # what the adapter calls through
    if answer == "away":
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", "127.0.0.1:1")
        client = AsyncClient(project="nowhere", credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]  # untyped library
    elif answer == "refused":
        monkeypatch.setattr(Creates, "require", lambda self, path, *, may_verify: self.add("meta/generation", {}))
    else:
        monkeypatch.setattr(Creates, "require", lambda self, path, *, may_verify: None)
    assert await can_verify(client, "meta/generation", {"retry": None, "timeout": 1.0}) is False


async def test_lost_race_for_a_known_key_is_still_a_plain_conflict(any_store: Store) -> None:
    """Settling tells a repeated send apart from a wrong tail."""
    await begin(any_store, C)
    await any_store.append(C, 1, drafts(1), NOW_MS)
    with pytest.raises(StoreConflict) as refusal:
        await any_store.append(C, 2, drafts(1), NOW_MS)
    assert not isinstance(refusal.value, PredecessorMissing)
