"""Reconnecting users: the costs in the store, and that lists in Redis never make a non-member a member."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from support.chatting import Chatter, Rest, new_conversation
from support.eventually import eventually
from support.instances import Instances, Serving

USERS, CONVERSATIONS = 100, 20
PATIENT = {"HOLDFAST_PRESENCE__GRACE_SECONDS": "60"}  # the backfill of users who go offline reads the store, too
SIGNED = {"HOLDFAST_BUS__SECRET": "a-secret-of-the-bus-that-is-long-enough"}  # as in production


def _documents(file: Path) -> Counter[str]:
    """How many documents were read since the file was emptied, by call; it is emptied."""
    counts: Counter[str] = Counter()
    for line in file.read_text().splitlines() if file.exists() else ():
        call, documents = line.split()
        counts[call] += int(documents)
    file.write_text("")
    return counts


async def _come(serving: Serving, names: list[str], cursors: dict[str, dict[str, int]]) -> None:
    """All of them connect, a few at a time, are told what they missed, and remember it."""
    room = asyncio.Semaphore(10)

    async def come(name: str) -> None:
        async with room:
            chatter = await Chatter(serving, name).connect(cursors.get(name, {}))
            synced = await chatter.receive("synced")
            assert len(synced["heads"]) == CONVERSATIONS
            assert synced["heads"].keys() == synced["read_seqs"].keys() == synced["revisions"].keys()
            for c, head in synced["heads"].items():
                assert chatter.seqs(c) == list(range(cursors.get(name, {}).get(c, 0) + 1, head + 1))
            cursors[name] = synced["heads"]
            await chatter.close()

    await asyncio.gather(*(come(name) for name in names))


@pytest.mark.parametrize("is_built", [True, False], ids=["as built", "without it"])
async def test_who_comes_back_costs_the_store_no_read(sqlite_instances: Instances, tmp_path: Path, *, is_built: bool) -> None:
    """100 users with 20 conversations each, after a restart of the instance: Redis has what they are told."""
    file = tmp_path / "reads"
    altered = ",".join(["count_reads", *([] if is_built else ["no_rosters"])])
    (one,) = await sqlite_instances.start("one", ALTERED=altered, READS=str(file), **PATIENT, **SIGNED)
    names = [f"user{number}" for number in range(USERS)]
    groups = [names[start : start + CONVERSATIONS] for start in range(0, USERS, CONVERSATIONS)]
    ids = [await new_conversation(one, *group) for group in groups for _ in range(CONVERSATIONS)]
    cursors: dict[str, dict[str, int]] = {}
    await _come(one, names, cursors)
    async with Chatter(one, names[0]) as speaker:
        for c in ids[:CONVERSATIONS]:
            assert (await speaker.say(c, "while you were away"))["type"] == "ack"
    one.stop()
    await one.start()
    await eventually(partial(_is_degraded_no_more, one))
    _documents(file)
    await _come(one, names, cursors)
    counts = _documents(file)
    print(f"documents read per connection: {sum(counts.values()) / USERS:.2f} {dict(counts)}")
    if is_built:
        assert sum(counts.values()) <= CONVERSATIONS  # of user0, whose cursors may have been on their way at the stop
    else:
        assert sum(counts.values()) >= 2 * USERS * CONVERSATIONS


async def _is_degraded_no_more(serving: Serving) -> bool:
    async with httpx.AsyncClient(verify=False) as client:
        return bool((await client.get(f"{serving.url}/api/health")).json()["status"] == "healthy")


async def _source_of_lists(serving: Serving) -> dict[str, float]:
    """From where this instance had its users' lists, as its metrics say."""
    async with httpx.AsyncClient(verify=False) as client:
        text = (await client.get(f"{serving.internal_url}/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith("holdfast_rosters_total{")]
    return {line.split('"')[1]: float(line.rsplit(" ", 1)[1]) for line in lines}


async def _known(serving: Serving, user_id: str, within: float = 15) -> None:
    """Redis knows the user's list by now."""

    async def comes_from_redis() -> bool:
        before = (await _source_of_lists(serving)).get("redis", 0)
        async with Chatter(serving, user_id):
            return (await _source_of_lists(serving)).get("redis", 0) > before

    await eventually(comes_from_redis, within=within)


@asynccontextmanager
async def _connected(serving: Serving, user_id: str) -> AsyncIterator[Chatter]:
    """A user who wants everything replayed."""
    chatter = await Chatter(serving, user_id).connect({})
    yield chatter
    await chatter.close()


@pytest.mark.parametrize("settings", [{}, SIGNED], ids=["unsigned", "signed"])
async def test_who_was_removed_while_away_gets_nothing(sqlite_instances: Instances, settings: dict[str, str]) -> None:
    """Redis knew the list of before; not even what was said before the removal is replayed."""
    a, b = await sqlite_instances.start("one", "two", **settings)
    c, other = await new_conversation(a, "ann", "ben"), await new_conversation(a, "ann", "ben")
    await _known(b, "ben")
    async with Chatter(a, "ann") as ann, Rest(a, "ann") as rest:
        await ann.say(c, "not for ben")
        await ann.say(other, "for ben")
        assert (await rest.delete(f"/api/conversations/{c}/members/ben")).status_code == 204
        async with _connected(b, "ben") as ben:
            synced = await ben.receive("synced")
            assert list(synced["heads"]) == [other]
            await ann.say(c, "nor this")
            await ann.say(other, "the last word")
            await ben.receive("message", body="the last word")
            assert ben.messages(c) == []


async def test_a_user_added_while_away_gets_what_follows_the_addition(sqlite_instances: Instances) -> None:
    """Redis knew the list of before, without the new conversation; the title and what was said since are there."""
    a, b = await sqlite_instances.start("one", "two")
    c, known = await new_conversation(a, "ann"), await new_conversation(a, "ann", "ben")
    await _known(b, "ben")
    async with Chatter(a, "ann") as ann, Rest(a, "ann") as rest:
        await ann.say(c, "before you came")
        assert (await rest.put(f"/api/conversations/{c}/members/ben")).status_code == 201
        assert (await rest.patch(f"/api/conversations/{known}", json={"title": "new"})).status_code == 200
        async with _connected(b, "ben") as ben:
            synced = await ben.receive("synced")
            assert synced["heads"] == {c: 1, known: 0}
            assert synced["revisions"] == {c: 2, known: 2}
            await ann.say(c, "welcome")
            await ben.receive("message", body="welcome")
            assert ben.seqs(c) == [2]  # earlier messages are history


@pytest.mark.parametrize("settings", [{}, SIGNED], ids=["unsigned", "signed"])
async def test_a_cursor_does_not_go_back_for_who_returns(sqlite_instances: Instances, settings: dict[str, str]) -> None:
    """Read and sent at one instance, asked at the other, at once."""
    a, b = await sqlite_instances.start("one", "two", **settings)
    c = await new_conversation(a, "ann", "ben")
    await _known(b, "ben")
    async with Chatter(a, "ann") as ann, Chatter(a, "ben") as ben:
        for turn in range(10):
            seq = (await ann.say(c, f"word {turn}"))["seq"]
            await ben.receive("message", seq=seq)
            read = await ben.ask(type="read", conversation_id=c, message_id=f"{seq:012d}")
            assert read["seq"] == seq
            async with _connected(b, "ben") as again:
                assert (await again.receive("synced"))["read_seqs"] == {c: seq}


@pytest.mark.parametrize("is_away", [True, False], ids=["away", "connected"])
async def test_a_change_of_members_whose_instance_died_at_once(sqlite_instances: Instances, *, is_away: bool) -> None:
    """Killed between the store and Redis: the others find its marks, tell who is connected, and forget the old lists."""
    (doomed,) = await sqlite_instances.start("doomed", ALTERED="die_after_change")
    (well,) = await sqlite_instances.start("well")
    added, removed = await new_conversation(well, "ann"), await new_conversation(well, "ann", "ben")
    await _known(well, "ben")
    async with Chatter(well, "ann") as ann:
        ben = await Chatter(well, "ben").connect({})
        if is_away:
            await ben.close()
        async with Rest(doomed, "ann") as rest:
            with pytest.raises(httpx.HTTPError):
                await rest.put(f"/api/conversations/{added}/members/ben")
        doomed.kill()  # it is dead; its process is put away
        await doomed.start()
        async with Rest(doomed, "ann") as rest:
            with pytest.raises(httpx.HTTPError):
                await rest.delete(f"/api/conversations/{removed}/members/ben")
        doomed.kill()
        await ann.receive("conversation", event="updated", conversation_id=removed)
        if is_away:
            ben = await Chatter(well, "ben").connect({})
            assert list((await ben.receive("synced"))["heads"]) == [added]
        else:
            await ben.receive("conversation", event="member_added", conversation_id=added)
            await ben.receive("conversation", event="member_removed", conversation_id=removed)
        await ann.say(removed, "not for ben")
        await ann.say(added, "for ben")
        await ben.receive("message", body="for ben")
        assert ben.messages(removed) == []
        await ben.close()


@pytest.mark.long
async def test_a_change_that_redis_took_no_mark_of_and_whose_instance_died_at_once(sqlite_instances: Instances) -> None:
    """Its bulletin was there before the change: no instance uses the lists of before, then and when it is reaped."""
    (doomed,) = await sqlite_instances.start("doomed", ALTERED="die_after_change,no_marks")
    (well,) = await sqlite_instances.start("well")
    left, kept = await new_conversation(well, "ann", "ben"), await new_conversation(well, "ann", "ben")
    await _known(well, "ben")
    async with Rest(doomed, "ann") as rest:
        with pytest.raises(httpx.HTTPError):
            await rest.delete(f"/api/conversations/{left}/members/ben")
    doomed.kill()

    async def is_out() -> bool:
        async with _connected(well, "ben") as ben:
            return list((await ben.receive("synced"))["heads"]) == [kept]

    await eventually(is_out, within=3)
    await _known(well, "ben", within=40)
    assert await is_out()
