"""The store's contract, messages: created if absent, gapless, settled after every unknown outcome. Over SQLite and Firestore."""

import asyncio
import sys
from pathlib import Path

import pytest

from holdfast.domain.ids import ConversationId, Seq
from holdfast.errors import StoreConflict
from holdfast.ports import Store
from support import appending
from support.appending import NOW_MS, begin, draft, drafts, insist
from support.fixtures_store import NewStore
from support.wrong_clock import WrongClock

C = ConversationId("c1")
OTHER = ConversationId("c2")
WEEK_MS = 7 * 24 * 3600 * 1000

HOSTILE_BODIES = (
    "plain",
    "\N{ZERO WIDTH JOINER}\N{RIGHT-TO-LEFT OVERRIDE}abc\N{POP DIRECTIONAL ISOLATE}",
    "\x01\x02\x1b[31m\x7f",
    "nul \x00 inside",
    "line\r\nline\u2028line\u2029",
    "\N{FAMILY}\N{VARIATION SELECTOR-16}\U0010ffff\ufffe\ufeff",
    "'; DROP TABLE messages; --",
    '{"$ref":"#"} `x` ${y} %s',
    "e\N{COMBINING ACUTE ACCENT} is not é",
    "Z" + "\N{COMBINING GRAVE ACCENT}" * 2_000,
    "x" * 16_384,
    "\N{GRINNING FACE}" * 4_096,
)


async def stored(store: Store, conversation_id: ConversationId = C) -> list[tuple[Seq, str]]:
    """(seq, client's id) of everything."""
    messages = []
    while page := await store.read_messages(conversation_id, after_seq=len(messages), limit=500):
        messages += page
    return [(message.seq, message.client_message_id) for message in messages]


async def test_messages_get_the_places_asked_for(store: Store) -> None:
    """`seq` is the caller's, and a batch is consecutive."""
    await begin(store, C)
    await store.append(C, 1, drafts(3), NOW_MS)
    await store.append(C, 4, [draft("m4")], NOW_MS)
    assert await stored(store) == [(1, "m1"), (2, "m2"), (3, "m3"), (4, "m4")]


async def test_a_message_comes_back_as_it_was_sent(store: Store) -> None:
    """Every field is what clients see later."""
    await begin(store, C)
    sent = draft("m1", "body", sender="bob", metadata_json='{"b": 1.50, "a": null}')
    await store.append(C, 1, [sent], NOW_MS + 7)
    (message,) = await store.read_messages(C, limit=10)
    assert (message.conversation_id, message.seq, message.sender, message.sent_at_ms) == (C, 1, "bob", NOW_MS + 7)
    assert (message.client_message_id, message.body, message.metadata_json) == ("m1", "body", '{"b": 1.50, "a": null}')


async def test_hostile_content_echoes_verbatim(store: Store) -> None:
    """Text of users is not parsed, and nothing is normalized."""
    await begin(store, C)
    await store.append(C, 1, [draft(f"m{n}", body) for n, body in enumerate(HOSTILE_BODIES)], NOW_MS)
    messages = await store.read_messages(C, after_seq=0, limit=100)
    assert [message.body for message in messages] == list(HOSTILE_BODIES)


async def test_a_taken_place_is_refused_and_nothing_of_the_batch_is_written(store: Store) -> None:
    """A loser of a race may try all of its batch again."""
    await begin(store, C)
    await store.append(C, 1, drafts(2), NOW_MS)
    with pytest.raises(StoreConflict):
        await store.append(C, 2, [draft("new1"), draft("new2")], NOW_MS)
    assert await stored(store) == [(1, "m1"), (2, "m2")]
    settlement = await store.settle(C, [draft("new1").key, draft("new2").key])
    assert (settlement.tail, settlement.sends) == (2, {})


async def test_a_known_key_is_refused_and_nothing_of_the_batch_is_written(store: Store) -> None:
    """The same send never gets a second place, whichever instance it reaches."""
    await begin(store, C)
    await store.append(C, 1, drafts(2), NOW_MS)
    with pytest.raises(StoreConflict):
        await store.append(C, 3, [draft("new"), draft("m1")], NOW_MS)
    assert await stored(store) == [(1, "m1"), (2, "m2")]


async def test_keys_belong_to_their_conversation(store: Store) -> None:
    """A client may use one id in two conversations."""
    await begin(store, C, OTHER)
    await store.append(C, 1, [draft("m1")], NOW_MS)
    await store.append(OTHER, 1, [draft("m1")], NOW_MS)
    assert await stored(store, OTHER) == [(1, "m1")]


async def test_settling_tells_what_is_in_and_where_the_conversation_ends(store: Store) -> None:
    """After an unknown outcome this is the only source of truth."""
    await begin(store, C)
    await store.append(C, 1, [draft("m1"), draft("m2", metadata_json="{}")], NOW_MS)
    settlement = await store.settle(C, [draft("m2").key, draft("never").key])
    assert settlement.tail == 2
    ((key, send),) = settlement.sends.items()
    assert (key, send.digest) == (draft("m2").key, draft("m2", metadata_json="{}").digest)
    assert (send.message.seq, send.message.client_message_id, send.message.sent_at_ms) == (2, "m2", NOW_MS)


async def test_settling_without_keys_is_the_tail(store: Store) -> None:
    """An empty conversation ends at 0."""
    await begin(store, C)
    assert (await store.settle(C, [])).tail == 0
    await store.append(C, 1, drafts(3), NOW_MS)
    assert (await store.settle(C, [])).tail == 3


async def test_many_writers_from_several_instances_leave_no_gap_and_no_double(new_store: NewStore) -> None:
    """Twenty writers of three instances race for every place of one conversation."""
    instances = [await new_store() for _ in range(3)]
    await begin(instances[0], C)
    writers = [insist(instances[n % 3], C, drafts(6, f"w{n}-")) for n in range(20)]
    await asyncio.gather(*writers)
    messages = await stored(instances[0])
    assert [seq for seq, _ in messages] == list(range(1, 121))
    assert sorted(name for _, name in messages) == sorted(f"w{n}-{number}" for n in range(20) for number in range(1, 7))


async def test_processes_of_one_machine_leave_no_gap_and_no_double(new_sqlite: NewStore, tmp_path: Path) -> None:
    """SQLite's locks hold between real processes, this one included."""
    store = await new_sqlite()
    await begin(store, C)
    assert appending.__file__ is not None
    rivals = [
        await asyncio.create_subprocess_exec(
            sys.executable, appending.__file__, str(tmp_path / "holdfast.db"), C, f"p{n}-", "100", stderr=asyncio.subprocess.PIPE
        )
        for n in range(3)
    ]
    await insist(store, C, drafts(100, "own-"))
    for rival in rivals:
        _, complaint = await rival.communicate()
        assert rival.returncode == 0, complaint.decode()
    messages = await stored(store)
    assert [seq for seq, _ in messages] == list(range(1, 401))
    assert len({name for _, name in messages}) == 400


async def test_equal_sends_through_two_instances_are_one_message(new_store: NewStore) -> None:
    """A client that tries again elsewhere while the first attempt still runs."""
    one, two = await new_store(), await new_store()
    await begin(one, C)
    for number in range(10):
        outcomes = await asyncio.gather(
            *(each.append(C, number + 1, [draft(f"m{number}")], NOW_MS) for each in (one, two)), return_exceptions=True
        )
        assert sorted(type(outcome) for outcome in outcomes if outcome is not None) == [StoreConflict]
    assert await stored(one) == [(number + 1, f"m{number}") for number in range(10)]


async def test_pages_go_forward_from_a_bound(store: Store) -> None:
    """Replay after a cursor: ascending, the bound excluded, never more than asked for."""
    await begin(store, C)
    await store.append(C, 1, drafts(10), NOW_MS)

    async def page(after: Seq, limit: int, before: Seq | None = None) -> list[Seq]:
        return [m.seq for m in await store.read_messages(C, after_seq=after, before_seq=before, limit=limit)]

    assert await page(0, 3) == [1, 2, 3]
    assert await page(3, 500) == [4, 5, 6, 7, 8, 9, 10]
    assert await page(3, 500, before=6) == [4, 5]
    assert await page(3, 1, before=9) == [4]
    assert await page(10, 5) == []
    assert await page(5, 5, before=6) == []
    assert await page(99, 5) == []


async def test_pages_go_back_from_a_bound_or_the_end(store: Store) -> None:
    """History while scrolling up: the nearest ones, ascending all the same."""
    await begin(store, C)
    await store.append(C, 1, drafts(10), NOW_MS)

    async def page(before: Seq | None, limit: int) -> list[Seq]:
        return [m.seq for m in await store.read_messages(C, before_seq=before, limit=limit)]

    assert await page(None, 3) == [8, 9, 10]
    assert await page(None, 500) == list(range(1, 11))
    assert await page(8, 3) == [5, 6, 7]
    assert await page(3, 500) == [1, 2]
    assert await page(1, 5) == []
    assert await page(99, 2) == [9, 10]
    assert await store.read_messages(OTHER, limit=5) == []


@pytest.mark.parametrize("length", [0, 1, 2, 33, 150])
async def test_heads_are_the_true_tails_whatever_was_believed(new_store: NewStore, length: int) -> None:
    """Right, too low and too high beliefs, many conversations in one call, by an instance that has seen none of it."""
    writer, reader = await new_store(), await new_store()
    beliefs = sorted({0, 1, max(0, length - 1), length, length + 1, length + 40, 10_000})
    known = {ConversationId(f"c{belief}"): belief for belief in beliefs}
    await begin(writer, *known)
    if length:
        for conversation_id in known:
            await writer.append(conversation_id, 1, drafts(length), NOW_MS)
    assert await reader.heads(known) == dict.fromkeys(known, length)
    assert await reader.heads({}) == {}


async def test_heads_see_what_another_instance_wrote_since(new_store: NewStore) -> None:
    """What an instance remembers of a tail is never its answer."""
    one, two = await new_store(), await new_store()
    await begin(one, C)
    await one.append(C, 1, drafts(5), NOW_MS)
    assert await one.heads({C: 5}) == {C: 5}
    await two.append(C, 6, drafts(200, "more"), NOW_MS)
    assert await one.heads({C: 5}) == {C: 205}
    assert (await one.settle(C, [])).tail == 205
    assert [m.seq for m in await one.read_messages(C, limit=1)] == [205]


async def test_a_key_older_than_a_week_may_be_used_again(new_sqlite: NewStore) -> None:
    """SQLite has no TTL policy of its own: what Firestore removes after 7 days is ignored here, then replaced."""
    store = await new_sqlite()
    await begin(store, C)
    await store.append(C, 1, [draft("m1")], NOW_MS)
    almost = await new_sqlite(clock=WrongClock(WEEK_MS / 1000 - 60, is_set=True))
    with pytest.raises(StoreConflict):
        await almost.append(C, 2, [draft("m1")], NOW_MS)
    later = await new_sqlite(clock=WrongClock(WEEK_MS / 1000 + 60, is_set=True))
    assert (await later.settle(C, [draft("m1").key])).sends == {}
    await later.append(C, 2, [draft("m1")], NOW_MS)
    assert await stored(store) == [(1, "m1"), (2, "m1")]
