"""A store that is put back to an earlier moment, or emptied, under running instances."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import httpx
import pytest

from holdfast.client import Client
from holdfast.protocol import frames
from support.chatting import Chatter, Rest, new_conversation
from support.eventually import eventually
from support.instances import Instances, Serving, token
from support.restoring import StoreOperator


@pytest.fixture
def store(store_environ: dict[str, str]) -> StoreOperator:
    """Of the instances' store."""
    return StoreOperator(store_environ)


async def replacements(instance: Serving) -> float:
    """How often it found its store replaced; -1 while it does not answer."""
    try:
        async with httpx.AsyncClient(verify=False) as client:
            text = (await client.get(f"{instance.internal_url}/metrics", timeout=2)).text
    except httpx.HTTPError:
        return -1
    return next(
        (float(line.split()[1]) for line in text.splitlines() if line.startswith("holdfast_store_replacements_total ")), -1
    )


async def anew(instance: Serving, times: int = 1) -> None:
    """Wait until it has begun anew and is ready."""

    async def is_anew() -> bool:
        return await replacements(instance) == times and await instance.is_ready()

    await eventually(is_anew)


async def have_beaten(store: StoreOperator, since: dict[str, int], times: int) -> None:
    """Wait until both instances have written their bulletins so often since then."""

    async def have_all() -> bool:
        beats = await store.beats()
        return sum(beats.get(run, 0) >= beat + times for run, beat in since.items()) >= 2  # the living ones

    await eventually(have_all, within=20)


async def talk(c: str, one: Chatter, two: Chatter, count: int) -> None:
    """Messages 1 … `count`, shown to both."""
    for number in range(1, count + 1):
        await (one if number % 2 else two).say(c, f"body {number}", f"m{number}")
    for device in (one, two):
        await device.receive("message", seq=count)


async def test_messages_after_a_restore_get_the_next_seq_and_are_shown(sqlite_instances: Instances, tmp_path: Path) -> None:
    """50 messages, of which 30 are left: the next is 31, not 51 behind a gap, and every device hears of both."""
    one, two = await sqlite_instances.start("one", "two")
    c = await new_conversation(one, "alice", "bob")
    async with Chatter(one, "alice") as alice, Chatter(two, "bob") as bob:
        for number in range(1, 51):
            await (alice if number % 2 else bob).say(c, f"body {number}", f"m{number}")
        for device in (alice, bob):
            await device.receive("message", seq=50)
        with contextlib.closing(sqlite3.connect(tmp_path / "holdfast.db", isolation_level=None)) as connection:
            connection.executescript("DELETE FROM sends WHERE seq > 30; DELETE FROM messages WHERE seq > 30")
        for sender, body, seq in ((alice, "after", 31), (bob, "the", 32), (alice, "restore", 33)):
            assert (await sender.say(c, body))["seq"] == seq
            for device in (alice, bob):
                await device.receive("message", seq=seq, body=body)
        for device in (alice, bob):
            assert [frame["last_seq"] for frame in device.frames if frame["type"] == "reset"] == [30]
            assert device.seqs(c) == [*range(1, 51), 31, 32, 33]


async def test_renewed_store_ends_every_connection_and_resets_every_cursor(instances: Instances, store: StoreOperator) -> None:
    """All instances begin anew by themselves: devices behind the end are told `reset`, and what follows has no gap."""
    one, two = await instances.start("one", "two")
    c = await new_conversation(one, "alice", "bob")
    async with Chatter(one, "alice") as alice, Chatter(two, "bob") as bob:
        await talk(c, alice, bob, 50)
        await store.put_back(c, 30)
        renewed = store.renew()
        assert (renewed.returncode, renewed.stderr) == (0, "")
        assert [await alice.closed(), await bob.closed()] == [1012, 1012]
    await asyncio.gather(anew(one), anew(two))
    assert one.is_running
    assert two.is_running
    alice, bob = Chatter(two, "alice"), Chatter(one, "bob")
    for device in (alice, bob):
        await device.connect({c: 50})
        assert [frame["last_seq"] for frame in device.frames if frame["type"] == "reset"] == [30]
    for number in (31, 32, 33):
        assert (await alice.say(c, f"again {number}"))["seq"] == number
        await bob.receive("message", seq=number, body=f"again {number}")
    async with Rest(one, "bob") as rest:
        page = (await rest.get(f"/api/conversations/{c}/messages", params={"limit": 100})).json()
    assert [message["seq"] for message in page["messages"]] == list(range(1, 34))
    assert "the store was restored or renewed" in one.log()
    for device in (alice, bob):
        await device.close()


async def test_restore_that_no_operator_renewed_is_noticed_and_ends_every_connection(
    instances: Instances, store: StoreOperator
) -> None:
    """The beats that the store had acknowledged are gone: the generation changes, and both instances begin anew once."""
    one, two = await instances.start("one", "two")
    c = await new_conversation(one, "alice", "bob")
    async with Chatter(one, "alice") as alice, Chatter(two, "bob") as bob:
        await talk(c, alice, bob, 5)
        backup = await store.bulletins()
        for number in range(6, 16):
            await alice.say(c, f"body {number}", f"m{number}")
        await have_beaten(store, since=await store.beats(), times=2)
        (generation,) = {device.frames[0]["generation"] for device in (alice, bob)}
        await store.put_back(c, 5)
        await store.put_bulletins_back(backup)
        assert [await alice.closed(15), await bob.closed(15)] == [1012, 1012]
    await asyncio.gather(anew(one), anew(two))
    device = Chatter(two, "bob")
    await device.connect({c: 5}, generation=generation)
    assert [frame["last_seq"] for frame in device.frames if frame["type"] == "reset"] == [5]
    await device.close()
    await have_beaten(store, since=await store.beats(), times=2)  # each has looked at the store again meanwhile
    assert [await replacements(each) for each in (one, two)] == [1, 1]


async def test_clients_are_reset_after_a_restore_that_grew_past_their_cursors(instances: Instances, store: StoreOperator) -> None:
    """Bob is away with cursor 10 while the store is put back to 6 and others write until 14: 7 to 10 are other messages."""
    one, two = await instances.start("one", "two")
    c = await new_conversation(one, "alice", "bob")
    async with Chatter(one, "alice") as alice, Chatter(two, "bob") as bob:
        await talk(c, alice, bob, 10)
        (generation,) = {device.frames[0]["generation"] for device in (alice, bob)}
        async with Client([two.url], token("bob"), cursors={}) as client:
            resets = asyncio.create_task(_resets(client))
            await client.connected()
            assert client.generation == generation
            await store.put_back(c, 6)
            assert store.renew().returncode == 0
            await asyncio.gather(anew(one), anew(two))
            async with Chatter(one, "alice") as later:
                for number in range(7, 15):
                    assert (await later.say(c, f"other {number}"))["seq"] == number
                assert later.frames[0]["generation"] != generation
            await eventually(lambda: resets.done())
            assert resets.result().conversation_id == c
            assert client.generation == later.frames[0]["generation"]
    for said, reset in ((generation, [14]), ("", []), (later.frames[0]["generation"], [])):
        device = Chatter(two, "bob")
        await device.connect({c: 10}, generation=said)
        assert [frame["last_seq"] for frame in device.frames if frame["type"] == "reset"] == reset
        assert device.seqs(c) == ([] if reset else [11, 12, 13, 14])
        await device.close()


async def _resets(client: Client) -> frames.Reset:
    """The first that the application hears of."""
    async for event in client.events():
        if isinstance(event, frames.Reset):
            return event
    raise AssertionError("the client ended")


async def test_emptied_store_is_set_up_anew_and_says_not_found(instances: Instances, store: StoreOperator) -> None:
    """No message is acknowledged for a conversation that does not exist; everything works with new ones."""
    one, two = await instances.start("one", "two")
    c = await new_conversation(one, "alice", "bob")
    async with Chatter(one, "alice") as alice, Chatter(two, "bob") as bob:
        await talk(c, alice, bob, 5)
        await store.empty()
        assert [await alice.closed(), await bob.closed()] == [1012, 1012]
    await asyncio.gather(anew(one), anew(two))
    assert "the store was emptied" in one.log() + two.log()
    async with Chatter(one, "alice") as alice, Chatter(two, "bob") as bob:
        assert (await alice.say(c, "lost"))["code"] == "conversation_not_found"
        c = await new_conversation(one, "alice", "bob")
        await alice.receive("conversation", conversation_id=c)
        await bob.receive("conversation", conversation_id=c)
        await talk(c, alice, bob, 5)


async def test_file_that_was_replaced_under_running_instances_is_noticed(sqlite_instances: Instances, tmp_path: Path) -> None:
    """Their connections still write to a file that is never read again: they open the new one."""
    one, two = await sqlite_instances.start("one", "two")
    c = await new_conversation(one, "alice", "bob")
    async with Chatter(one, "alice") as alice, Chatter(two, "bob") as bob:
        await talk(c, alice, bob, 5)
        for suffix in ("", "-wal", "-shm"):
            (tmp_path / f"holdfast.db{suffix}").unlink()
        assert [await alice.closed(), await bob.closed()] == [1012, 1012]
    await asyncio.gather(anew(one), anew(two))
    async with Chatter(one, "alice") as alice, Chatter(two, "bob") as bob:
        c = await new_conversation(one, "alice", "bob")
        await talk(c, alice, bob, 5)
