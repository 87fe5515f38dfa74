"""The store's contract, bulletins: they come back whole, are written in one chain, and the death of a run is one commit."""

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from holdfast.domain.bulletins import Bulletin, StandingBulletin
from holdfast.domain.ids import ConversationId, Epoch, InstanceId, RunId, UserId
from holdfast.errors import StoreConflict
from holdfast.ports import Store
from support.fixtures_store import NewStore

ALICE, BOB = UserId("alice"), UserId("bob")
RUN = RunId("one:e1")


def bulletin(beat: int = 1, epoch: str = "e1") -> Bulletin:
    """One with something of everything, keys that look like paths included."""
    return Bulletin(
        instance_id=InstanceId("one"),
        epoch=Epoch(epoch),
        beat=beat,
        mode="ok",
        heads={ConversationId("c-1"): 7, ConversationId("1st_conversation"): 2},
        members={ConversationId("c-1"): 3},
        users=(ALICE, BOB),
        receipts={"c-1|alice": 7},
        left={ALICE: 1_700_000_000_000},
        overflow=True,
        server="8c2f01",
        is_cut=True,
        is_out=True,
        is_ended=True,
        beats=True,
    )


async def write(store: Store, each: Bulletin) -> Bulletin:
    """Written, and as it is to be read."""
    written = await store.write_bulletin(each)
    return replace(each, version=written.version, written_at_ms=written.at_ms)


async def test_bulletins_come_back_whole(new_store: NewStore) -> None:
    """They are the way around a broken fast path: any loss would stay unseen."""
    one, two = await new_store(), await new_store()
    first = await write(one, bulletin())
    second = await write(two, Bulletin(InstanceId("two.e9"), Epoch("e9"), 4, "redis", run=RunId("two:e9")))
    assert sorted(await two.read_bulletins(), key=lambda each: each.run) == [first, second]
    assert await one.read_bulletins(only_unwell=True) == [second]
    assert 0 < first.written_at_ms <= second.written_at_ms


async def test_a_bulletin_is_replaced_not_merged(store: Store) -> None:
    """What left the window of 60 s has left the document."""
    first = await write(store, bulletin())
    slimmer = await write(store, replace(first, beat=2, heads={}, members={}, users=(), receipts={}, overflow=False))
    assert await store.read_bulletins() == [slimmer]


async def test_bulletin_is_written_only_over_the_version_that_its_run_wrote(store: Store) -> None:
    """A write that was overtaken, and one of a run that was declared dead, change nothing."""
    first = await write(store, bulletin())
    second = await write(store, replace(first, beat=2))
    assert first.version != second.version
    for refused in (bulletin(3), replace(first, beat=3)):
        with pytest.raises(StoreConflict):
            await store.write_bulletin(refused)
    assert await store.find_bulletin(RUN) == StandingBulletin(second.version, 2, is_dead=False, is_ended=second.is_ended)
    await store.remove_bulletin(second)
    assert await store.find_bulletin(RUN) is None
    with pytest.raises(StoreConflict):
        await store.write_bulletin(replace(second, beat=3))
    assert await store.read_bulletins() == []


async def test_run_is_declared_dead_once_and_cannot_beat_any_more(new_store: NewStore) -> None:
    """The rest of the bulletin stays: it says what is to be completed, and when the run was last alive."""
    one, two = await new_store(), await new_store()
    last = await write(one, bulletin())
    await asyncio.sleep(0.02)  # the time of the last write is compared in whole milliseconds
    assert await two.declare_dead(last)
    assert not await two.declare_dead(last)
    (dead,) = await two.read_bulletins()
    assert dead == replace(last, is_dead=True, version=dead.version)
    with pytest.raises(StoreConflict):
        await one.write_bulletin(replace(last, beat=2))
    standing = await one.find_bulletin(RUN)
    assert standing is not None
    assert standing.is_dead


async def test_run_that_has_beaten_since_is_not_declared_dead(store: Store) -> None:
    """The observer read an older version."""
    first = await write(store, bulletin())
    second = await write(store, replace(first, beat=2))
    assert not await store.declare_dead(first)
    assert await store.read_bulletins() == [second]


async def test_a_bulletin_is_removed_only_in_the_version_that_was_read(store: Store) -> None:
    """Of several instances that complete a run one removes it; doing it again does nothing."""
    first = await write(store, bulletin())
    second = await write(store, replace(first, beat=2))
    await store.remove_bulletin(first)
    assert await store.read_bulletins() == [second]
    await store.remove_bulletin(second)
    await store.remove_bulletin(second)
    assert await store.read_bulletins() == []


async def test_of_one_beat_and_one_declaration_at_once_one_wins(new_store: NewStore) -> None:
    """Either the run lives and knows it, or it is dead and finds out."""
    one, two = await new_store(), await new_store()
    for number in range(5):
        last = await write(one, Bulletin(InstanceId("one"), Epoch(f"e{number}"), 1, "ok"))
        beat = one.write_bulletin(replace(last, beat=2))
        beaten, is_dead = await asyncio.gather(beat, two.declare_dead(last), return_exceptions=True)
        assert isinstance(beaten, StoreConflict) == (is_dead is True)


class Older:
    """An instance of the version before this one: its document has the name of the instance, and is written unconditionally."""

    def __init__(self, put: Callable[[str, dict[str, Any]], Any], get: Callable[[str], Any]) -> None:
        self.put, self.get = put, get


Beside = Callable[[], Awaitable[tuple[Store, Older]]]


@pytest.fixture(params=["sqlite", "emulated", "simulated"])
def beside(request: pytest.FixtureRequest, tmp_path: Path) -> Beside:
    """Opens a store, with an older instance beside it."""
    new_store = request.getfixturevalue(f"new_{request.param}")

    async def opened() -> tuple[Store, Older]:
        store = await new_store()
        return store, _older_in_sqlite(tmp_path) if request.param == "sqlite" else _older_in_firestore(store)

    return opened


def _older_in_firestore(store: Store) -> Older:
    client = store._calls.client  # type: ignore[attr-defined]  # what the adapter calls through

    async def put(name: str, fields: dict[str, Any]) -> None:
        await client.document("instances", name).set(fields)

    async def get(name: str) -> Any:
        return (await client.document("instances", name).get()).to_dict()

    return Older(put, get)


def _older_in_sqlite(directory: Path) -> Older:
    (path,) = directory.glob("*.db")

    async def put(name: str, fields: dict[str, Any]) -> None:
        with sqlite3.connect(path) as connection:
            text = json.dumps({"instance_id": name, "written_at_ms": 5, **fields})
            connection.execute("INSERT OR REPLACE INTO instances VALUES (?, ?, ?)", (name, fields["epoch"], text))

    async def get(name: str) -> Any:
        with sqlite3.connect(path) as connection:
            row = connection.execute("SELECT bulletin FROM instances WHERE id = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    return Older(put, get)


async def test_run_of_an_older_version_is_read_declared_dead_and_removed(beside: Beside) -> None:
    """It stands under its name, and may have moved users from earlier epochs; a later write of it overwrites the declaration."""
    store, old = await beside()
    fields = {"epoch": "e1", "beat": 3, "mode": "ok", "earlier": {"one:e0": 7}}
    await old.put("one", fields)
    (found,) = await store.read_bulletins()
    assert (found.run, found.instance_id, found.is_older, found.is_dead) == (RUN, "one", True, False)
    assert not found.beats
    assert found.entries == {RUN: found.written_at_ms, "one:e0": 7}
    assert await store.declare_dead(found)
    (dead,) = await store.read_bulletins()
    assert (dead.is_dead, dead.is_older, dead.entries) == (True, True, found.entries)
    await old.put("one", fields | {"beat": 4})
    (back,) = await store.read_bulletins()
    assert (back.beat, back.is_dead) == (4, False)
    await store.remove_bulletin(dead)
    await store.remove_bulletin(back)
    assert await store.read_bulletins() == []


async def test_older_version_finds_the_users_of_a_run_by_what_it_knows(beside: Beside) -> None:
    """It takes the name of the document for that of an instance, so the run stands among the earlier entries. While the run lives
    the time there is 0, `as this bulletin`; afterwards it is the time of the last write."""
    store, old = await beside()
    last = await write(store, Bulletin(InstanceId("one"), Epoch("e1"), 1, "ok"))
    assert (await old.get(RUN))["earlier"] == {RUN: 0}
    assert (await old.get(RUN))["epoch"] == "e1"
    await store.declare_dead(last)
    assert (await old.get(RUN))["earlier"] == {RUN: last.written_at_ms}
