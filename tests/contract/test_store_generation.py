"""The store's contract, generations: which store this is, told by one document that travels with every backup."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest

from holdfast.domain.ids import ConversationId
from holdfast.errors import StoreError
from holdfast.ports import Store
from support.appending import NOW_MS, begin, drafts
from support.fixtures_firestore import NewFirestore
from support.fixtures_store import NewStore
from support.restoring import StoreOperator

C = ConversationId("c1")


@pytest.fixture
def operator(new_store: NewStore, tmp_path: Path) -> StoreOperator | NewFirestore:
    """Of the store that `new_store` makes."""
    if isinstance(new_store, NewFirestore):
        return new_store
    return StoreOperator({"HOLDFAST_STORE__URL": f"sqlite:///{tmp_path}/holdfast.db"})


async def test_renewed_store_has_another_generation_for_every_process(new_store: NewStore) -> None:
    """That alone is changed: what is stored stays."""
    one, two = await new_store(), await new_store()
    await begin(one, C)
    await one.append(C, 1, drafts(3), NOW_MS)
    before = await one.generation()
    after = await two.renew()
    assert after not in {"", before}
    assert [await store.generation() for store in (one, two)] == [after, after]
    await one.open()
    assert await one.generation() == after
    assert [message.seq for message in await one.read_messages(C, after_seq=0, limit=9)] == [1, 2, 3]


async def test_of_several_processes_that_renew_the_same_generation_one_does(new_store: NewStore) -> None:
    """All instances see the same restore: one new generation has to come of it, or each would end the runs of the others."""
    stores = [await new_store() for _ in range(4)]
    before = await stores[0].generation()
    (after,) = set(await asyncio.gather(*(store.renew(before) for store in stores)))
    assert after not in {"", before}
    assert {await store.renew(before) for store in stores} == {after}
    assert await stores[0].generation() == after


async def test_emptied_store_has_no_generation_until_one_process_of_several_creates_it(
    new_store: NewStore, operator: StoreOperator | NewFirestore
) -> None:
    """All agree on the new one, and it is not the one of before."""
    stores = [await new_store() for _ in range(3)]
    before = await stores[0].generation()
    await operator.empty()
    assert [await store.generation() for store in stores] == ["", "", ""]
    await asyncio.gather(*(store.open() for store in [await new_store(may_open=False) for _ in range(4)]))
    (after,) = {await store.generation() for store in stores}
    assert after not in {"", before}


async def test_store_that_is_opened_without_leave_to_create_stays_as_it_is(
    new_store: NewStore, operator: StoreOperator | NewFirestore
) -> None:
    """A command at a wrong address must not set up a store there."""
    await new_store()
    await operator.empty()
    visitor = await new_store(may_open=False)
    await visitor.open(may_create=False)
    assert await visitor.generation() == ""


async def test_firestore_document_without_an_id_is_replaced_by_the_next_start(new_firestore: NewFirestore) -> None:
    """Another program wrote another value there: instances must not wait for ever."""
    store = await new_firestore()
    await store._calls.client.document("meta/generation").set({"id": 5})  # type: ignore[attr-defined]  # as a console does
    assert await store.generation() == ""
    await asyncio.gather(store.open(), (await new_firestore()).open())
    assert await store.generation() != ""


@pytest.mark.parametrize("is_replaced", [True, False], ids=["replaced", "removed"])
async def test_sqlite_file_that_is_not_at_its_path_any_more_has_no_generation(
    new_sqlite: NewStore, tmp_path: Path, is_replaced: bool
) -> None:
    """What an open connection writes there is lost, and SQLite does not say so."""
    store = await new_sqlite()
    before = await store.generation()
    path = tmp_path / "holdfast.db"
    copy = tmp_path / "copy.db"
    if is_replaced:
        with contextlib.closing(sqlite3.connect(path)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        copy.rename(path)
    else:
        path.unlink()
    assert await store.generation() == ""
    await store.close()
    await store.open()
    assert (await store.generation() == before) is is_replaced


async def test_sqlite_backup_that_is_written_into_the_open_file_is_seen(new_sqlite: NewStore, tmp_path: Path) -> None:
    """As `.restore` of the `sqlite3` command does it, with instances running."""
    store = await new_sqlite()
    first = await store.generation()
    copy = tmp_path / "copy.db"
    with (
        contextlib.closing(sqlite3.connect(tmp_path / "holdfast.db")) as live,
        contextlib.closing(sqlite3.connect(copy)) as backup,
    ):
        live.backup(backup)
        await store.renew()
        await begin(store, C)
        assert await store.read_conversation(C) is not None
        backup.backup(live)
    assert await store.generation() == first
    assert await store.read_conversation(C) is None


async def test_nothing_is_renewed_in_a_closed_store(new_store: NewStore) -> None:
    """As for every other call."""
    store: Store = await new_store()
    await store.close()
    for expected in (None, "g1"):
        with pytest.raises(StoreError):
            await store.renew(expected)
