"""The store's contract, presence, bulletins, revocations, generation. Over SQLite and Firestore."""

import asyncio
from typing import Any

import pytest
from google.cloud.firestore_v1.async_query import AsyncQuery

from holdfast.adapters.firestore import bulletins
from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import Epoch, InstanceId, UserId
from holdfast.domain.presence import Presence
from holdfast.ports import Store
from support.appending import NOW_MS
from support.fixtures_firestore import NewFirestore
from support.fixtures_store import NewStore

ALICE, BOB = UserId("alice"), UserId("bob")
ONE, TWO = "one:e1", "two:e1"


async def test_the_first_entry_brings_online_and_the_last_one_s_end_offline(store: Store) -> None:
    """A user on two instances is online until both are done; each turn is told once."""
    (came,) = await store.add_presence(ONE, dict.fromkeys([ALICE], NOW_MS))
    assert (came.user_id, came.online, came.last_seen_at_ms) == (ALICE, True, NOW_MS)
    assert await store.add_presence(TWO, dict.fromkeys([ALICE], NOW_MS)) == []
    assert await store.remove_presence(ONE, dict.fromkeys([ALICE], NOW_MS + 5)) == []
    (went,) = await store.remove_presence(TWO, dict.fromkeys([ALICE], NOW_MS + 9))
    assert (went.user_id, went.online, went.last_seen_at_ms) == (ALICE, False, NOW_MS + 9)
    assert went.version > came.version
    assert await store.read_presence([ALICE]) == {ALICE: Presence(ALICE, False, (), NOW_MS + 9)}


async def test_repeating_changes_nothing(store: Store) -> None:
    """Retries and reapers may come again."""
    await store.add_presence(ONE, dict.fromkeys([ALICE], NOW_MS))
    assert await store.add_presence(ONE, dict.fromkeys([ALICE], NOW_MS + 1)) == []
    await store.remove_presence(ONE, dict.fromkeys([ALICE], NOW_MS))
    before = await store.read_presence([ALICE])
    assert await store.remove_presence(ONE, dict.fromkeys([ALICE], NOW_MS + 99)) == []
    assert await store.read_presence([ALICE]) == before


async def test_removing_somebody_who_never_was_makes_nobody(store: Store) -> None:
    """A reaper's list may be old."""
    assert await store.remove_presence(ONE, dict.fromkeys([BOB], NOW_MS)) == []
    assert await store.read_presence([BOB]) == {BOB: Presence(BOB, False, (), None)}


async def test_last_seen_never_goes_back(store: Store) -> None:
    """An instance with a slow clock, or a late reaper, does not undo what is known."""
    await store.add_presence(ONE, dict.fromkeys([ALICE], NOW_MS))
    (went,) = await store.remove_presence(ONE, dict.fromkeys([ALICE], NOW_MS - 5_000))
    assert went.last_seen_at_ms == NOW_MS


async def test_a_group_of_new_and_known_users_is_written_at_once(store: Store) -> None:
    """Users who were online already are no change."""
    known = [UserId(f"known{n}") for n in range(5)]
    new = [UserId(f"new{n}") for n in range(5)]
    await store.add_presence(TWO, dict.fromkeys(known, NOW_MS))
    changes = await store.add_presence(ONE, dict.fromkeys([*known, *new], NOW_MS))
    assert sorted(change.user_id for change in changes) == new
    assert set(await store.users_on(ONE, 100)) == {*known, *new}
    everybody, first = sorted({*known, *new}), await store.users_on(ONE, 3)
    assert first == everybody[:3]
    assert await store.users_on(ONE, 100, first[-1]) == everybody[3:]
    assert await store.users_on(ONE, 100, everybody[-1]) == []
    assert await store.users_on("nobody:e1", 100) == []
    changes = await store.remove_presence(ONE, dict.fromkeys([*known, *new], NOW_MS))
    assert sorted(change.user_id for change in changes) == new


async def test_two_instances_at_once_lose_nothing_and_tell_each_turn_once(new_store: NewStore) -> None:
    """Coming and going at both instances in the same moment: `online` and `on` always agree, and turns alternate."""
    one, two = await new_store(), await new_store()
    users = [UserId(f"user{n}") for n in range(6)]
    turns: dict[UserId, list[tuple[int, bool]]] = {user: [] for user in users}

    async def come_and_go(store: Store, entry: str) -> None:
        for round_number in range(4):
            for change in await store.add_presence(entry, dict.fromkeys(users, NOW_MS + round_number)):
                turns[change.user_id].append((change.version, change.online))
            for change in await store.remove_presence(entry, dict.fromkeys(users, NOW_MS + round_number)):
                turns[change.user_id].append((change.version, change.online))

    await asyncio.gather(come_and_go(one, ONE), come_and_go(two, TWO))
    for user, told in turns.items():
        in_order = [online for _, online in sorted(told)]
        assert in_order == [True, False] * (len(in_order) // 2), (user, sorted(told))
        assert len(in_order) >= 2
    for presence in (await one.read_presence(users)).values():
        assert (presence.online, presence.on) == (False, ())


async def test_an_instance_that_comes_while_the_other_goes_is_not_lost(new_store: NewStore) -> None:
    """Roaming from one instance to another never ends as offline."""
    one, two = await new_store(), await new_store()
    for number in range(8):
        user = UserId(f"roamer{number}")
        await one.add_presence(ONE, {user: NOW_MS})
        await asyncio.gather(one.remove_presence(ONE, {user: NOW_MS}), two.add_presence(TWO, {user: NOW_MS}))
        presence = (await one.read_presence([user]))[user]
        assert (presence.online, presence.on) == (True, (TWO,))


async def test_a_further_connection_does_not_change_when_a_user_was_last_seen(store: Store) -> None:
    """It has not shown yet what the user has missed since; only the first one begins a presence."""
    await store.add_presence(ONE, {ALICE: NOW_MS})
    await store.add_presence(TWO, {ALICE: NOW_MS + 9_000})
    await store.remove_presence(ONE, {ALICE: NOW_MS + 5_000})
    (went,) = await store.remove_presence(TWO, {ALICE: 0})
    assert went.last_seen_at_ms == NOW_MS + 5_000
    for since_ms, is_looked_through in ((NOW_MS + 5_000, False), (NOW_MS + 5_000, True), (NOW_MS + 9_000, False)):
        if is_looked_through:
            await store.finish_catch_up((await store.catch_ups(1))[0])
        else:  # what the absence missed was neither shown nor looked through
            (came,) = await store.add_presence(TWO, {ALICE: NOW_MS + 9_000})
            (went,) = await store.remove_presence(TWO, {ALICE: 0})
            assert came.last_seen_at_ms == went.last_seen_at_ms == since_ms


async def test_revocations_never_move_back(store: Store) -> None:
    """Each has the store's time of its write, and is asked for by that time; a later one replaces it."""
    first = await store.revoke(ALICE)
    await store.revoke(BOB)
    told = await store.read_revocations(0)
    assert set(told) == {ALICE, BOB}
    assert 0 <= first - told[ALICE] < 1_000, "Firestore stamps the field a little before the document"
    await asyncio.sleep(0.02)  # stamps are compared in whole milliseconds
    latest = await store.revoke(ALICE)
    assert latest > told[BOB] >= told[ALICE]
    assert set(await store.read_revocations(told[BOB] + 1)) == {ALICE}
    assert (await store.read_revocations(0))[ALICE] > told[ALICE]
    assert await store.read_revocations(latest + 60_000) == {}


async def test_all_revocations_are_read_however_many(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """In pages: an instance that cannot read them all within one deadline would never start."""
    monkeypatch.setattr(bulletins, "REVOCATIONS_PAGE", 2)
    for count in (4, 5):
        revoked = {UserId(f"user-{number}") for number in range(count)}
        for user_id in revoked:
            await store.revoke(user_id)
        assert set(await store.read_revocations(0)) == revoked


async def test_a_poll_after_a_mass_revocation_reads_it_in_pages(
    new_firestore: NewFirestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read within one deadline, thousands of them made every poll fail: running instances learned of no revocation any more."""
    monkeypatch.setattr(bulletins, "REVOCATIONS_PAGE", 2)
    store, sizes, get = await new_firestore(), list[int](), AsyncQuery.get

    async def noting(query: AsyncQuery, **how: Any) -> Any:
        found = await get(query, **how)
        sizes.append(len(found))
        return found

    monkeypatch.setattr(AsyncQuery, "get", noting)
    for count in (4, 5):
        revoked = {UserId(f"user-{number}"): await store.revoke(UserId(f"user-{number}")) for number in range(count)}
        assert set(await store.read_revocations(min(revoked.values()) - 1_000)) == set(revoked)
    assert max(sizes) <= 2
    assert sum(sizes) == 2 * (4 + 5), "by both fields, and each once although most have the same whole second"


async def test_tokens_are_revoked_until_their_end(store: Store) -> None:
    """Apart from the revocations of users, and asked for by the time of their revocation. A later call replaces the end."""
    await store.revoke_token("alice.1f", NOW_MS + 60_000)
    since_ms = await store.revoke(BOB)
    await asyncio.sleep(0.02)  # stamps are compared in whole milliseconds
    await store.revoke_token("bob.2e", NOW_MS + 90_000)
    both = {"alice.1f": NOW_MS + 60_000, "bob.2e": NOW_MS + 90_000}
    assert await store.read_revoked_tokens(0, 9) == both
    assert await store.read_revoked_tokens(since_ms + 1, 9) == {"bob.2e": NOW_MS + 90_000}
    assert set(await store.read_revocations(0)) == {BOB}
    await store.revoke_token("alice.1f", NOW_MS + 99_000)
    assert await store.read_revoked_tokens(since_ms + 1, 9) == both | {"alice.1f": NOW_MS + 99_000}


async def test_revoked_tokens_are_read_in_pages_up_to_the_limit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start takes as many as an instance remembers: those that end last."""
    monkeypatch.setattr(bulletins, "REVOCATIONS_PAGE", 2)
    ends = {f"alice.{number}": NOW_MS + number * 1_000 for number in (3, 1, 5, 2, 4)}
    for name, ends_at_ms in ends.items():
        await store.revoke_token(name, ends_at_ms)
    for since_ms in (0, 1):
        assert await store.read_revoked_tokens(since_ms, 9) == ends
    for limit in (1, 2, 3, 4, 5):
        assert set((await store.read_revoked_tokens(0, limit)).values()) == {NOW_MS + n * 1_000 for n in range(6 - limit, 6)}
        assert len(await store.read_revoked_tokens(1, limit)) == limit


async def test_sqlite_deletes_tokens_that_have_ended(new_sqlite: NewStore) -> None:
    """It has no TTL policy: the next revocation does it."""
    store = await new_sqlite()
    await store.revoke_token("alice.1f", 1_000)
    await store.revoke_token("bob.2e", NOW_MS)
    assert await store.read_revoked_tokens(0, 9) == {"bob.2e": NOW_MS}


async def test_revocation_has_the_time_of_the_store_like_a_bulletin(store: Store) -> None:
    """Both are compared with each other by every instance, whatever its own clock says."""
    before = await store.write_bulletin(Bulletin(InstanceId("one"), Epoch("e1"), 1, "ok"))
    revoked = await store.revoke(ALICE)
    after = await store.write_bulletin(Bulletin(InstanceId("one"), Epoch("e2"), 1, "ok"))
    assert before.at_ms <= revoked <= after.at_ms
    assert before.at_ms <= (await store.read_revocations(0))[ALICE] <= after.at_ms


async def test_all_instances_agree_on_the_generation(new_store: NewStore) -> None:
    """It is made once, by the first instance; opening again changes nothing."""
    stores = await asyncio.gather(*(new_store() for _ in range(3)))
    generations = {await each.generation() for each in stores}
    assert len(generations) == 1
    assert generations != {""}
    await stores[0].open()
    await stores[0].generation()
    assert {await stores[0].generation()} == generations


async def test_revocation_of_an_instance_of_the_version_before_is_found_by_a_poll(new_firestore: NewFirestore) -> None:
    """It writes whole seconds, and no `revokedAt`: in a rolling upgrade the sockets of other instances are closed, too."""
    store = await new_firestore()
    since_ms = await store.revoke(BOB)
    not_before = since_ms // 1000 + 2
    client = store._calls.client  # type: ignore[attr-defined]  # what the adapter calls through
    await client.document("revocations", ALICE).set({"notBefore": not_before})
    assert (await store.read_revocations(since_ms + 1))[ALICE] == (not_before - 1) * 1000
