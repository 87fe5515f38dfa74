"""Faults of calls to the simulated Firestore, as the real adapter sees them."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable

import pytest

from holdfast.adapters.firestore.store import FirestoreStore
from holdfast.adapters.machine.clock import SystemClock
from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import ConversationId, Epoch, InstanceId, UserId
from holdfast.errors import StoreConflict, StoreDenied, StoreTimeout, StoreUnavailable
from holdfast.ports import Store, Unwatched
from simulation.firestore import (
    Exchange,
    Fault,
    FirestoreServer,
    Status,
    connecting,
    contention,
    lost_answer,
    lost_request,
    refused,
    unavailable,
)
from support.appending import NOW_MS, begin, drafts

C, ALICE = ConversationId("c1"), UserId("alice")
SHORT_SECONDS = 0.3

NewClient = Callable[[str], Store]


@pytest.fixture
def server() -> FirestoreServer:
    """Empty, and well."""
    return FirestoreServer(time.time, random.Random(0))


@pytest.fixture
async def client(server: FirestoreServer) -> AsyncIterator[NewClient]:
    """Makes a store that the server knows by a name."""
    stores: list[Store] = []

    def make(name: str) -> Store:
        connect = connecting(server, name)
        stores.append(store := FirestoreStore("p", "(default)", SHORT_SECONDS, SystemClock(), Unwatched(), connect))
        return store

    yield make
    for store in stores:
        await store.close()


@pytest.fixture
async def store(client: NewClient) -> Store:
    """Open, with one conversation."""
    store = client("one")
    await store.open()
    await begin(store, C)
    return store


async def tail(store: Store) -> int:
    return (await store.settle(C, [])).tail


async def test_contention_writes_nothing_and_is_a_conflict(server: FirestoreServer, store: Store) -> None:
    """Once: the next try goes through."""
    server.faults.add(contention())
    with pytest.raises(StoreConflict):
        await store.append(C, 1, drafts(2), NOW_MS)
    assert await tail(store) == 0
    await store.append(C, 1, drafts(2), NOW_MS)
    assert await tail(store) == 2


@pytest.mark.parametrize("is_done", [True, False])
async def test_broken_connection_tells_nothing_of_the_commit(server: FirestoreServer, store: Store, is_done: bool) -> None:
    """The same error, two truths."""
    server.faults.add(unavailable(is_done=is_done, method="Commit"))
    with pytest.raises(StoreUnavailable):
        await store.append(C, 1, drafts(2), NOW_MS)
    assert await tail(store) == (2 if is_done else 0)


@pytest.mark.parametrize(("fault", "after"), [(lost_answer, 2), (lost_request, 0)])
async def test_call_without_an_answer_ends_by_its_deadline(
    server: FirestoreServer, store: Store, fault: Callable[..., Fault], after: int
) -> None:
    """As with a network that drops what it carries."""
    server.faults.add(fault(method="Commit"))
    with pytest.raises(StoreTimeout):
        await store.append(C, 1, drafts(2), NOW_MS)
    assert await tail(store) == after


@pytest.mark.parametrize(
    ("code", "error"), [(Status.PERMISSION_DENIED, StoreDenied), (Status.RESOURCE_EXHAUSTED, StoreUnavailable)]
)
async def test_refusals_have_the_meaning_that_they_have_in_production(
    server: FirestoreServer, store: Store, code: Status, error: type[Exception]
) -> None:
    """The code is what the adapter goes by."""
    server.faults.add(refused(code, method="Commit"))
    with pytest.raises(error):
        await store.append(C, 1, drafts(2), NOW_MS)
    assert await tail(store) == 0


async def test_fault_can_wait_for_the_nth_call_of_one_client(server: FirestoreServer, store: Store, client: NewClient) -> None:
    """So that a moment is named by what happens, not by the clock."""
    other = client("other")
    await other.open()
    server.faults.add(unavailable(is_done=True, method="Commit", client="one", after=1))
    await store.append(C, 1, drafts(1), NOW_MS)
    await other.append(C, 2, [drafts(2)[1]], NOW_MS)
    with pytest.raises(StoreUnavailable):
        await store.append(C, 3, [drafts(3)[2]], NOW_MS)
    assert await tail(other) == 3


async def test_hook_stands_between_the_commit_and_its_answer(server: FirestoreServer, store: Store) -> None:
    """There a process is killed: what it wrote is in, and it never hears of it."""
    seen: list[tuple[str, int]] = []

    def look(call: Exchange) -> None:
        seen.append((call.client, len(server.service.stored)))
        assert not call.outcome.done()

    before = len(server.service.stored)
    server.faults.add(Fault(hook=look, method="Commit"))
    await store.append(C, 1, drafts(1), NOW_MS)
    assert seen == [("one", before + 2)]


async def test_client_that_is_cut_off_hears_nothing_while_others_go_on(
    server: FirestoreServer, store: Store, client: NewClient
) -> None:
    """And goes on itself when the way is good again."""
    other = client("other")
    await other.open()
    server.cut("one")
    with pytest.raises(StoreTimeout):
        await store.generation()
    await other.append(C, 1, drafts(1), NOW_MS)
    server.heal("one")
    assert await tail(store) == 1


async def test_request_that_was_held_may_arrive_after_its_caller_has_given_up(server: FirestoreServer, store: Store) -> None:
    """Half of them do, by chance: an uncertain write may land late."""
    names = [InstanceId(f"i{n}") for n in range(20)]
    server.freeze()
    beats = (store.write_bulletin(Bulletin(name, Epoch("e"), 1, "ok")) for name in names)
    assert all(isinstance(each, StoreTimeout) for each in await asyncio.gather(*beats, return_exceptions=True))
    server.thaw()
    landed = {each.instance_id for each in await store.read_bulletins()}
    assert 0 < len(landed) < 20


async def test_slow_client_waits_and_its_deadline_holds(server: FirestoreServer, store: Store) -> None:
    """Another is as fast as before."""
    server.slow["one"] = 60.0
    with pytest.raises(StoreTimeout):
        await store.generation()


async def test_refused_connections_say_so_at_once(server: FirestoreServer, store: Store) -> None:
    """And are accepted again."""
    server.refuse("one")
    with pytest.raises(StoreUnavailable) as away:
        await store.generation()
    assert not isinstance(away.value, StoreTimeout)
    server.listen("one")
    assert await store.generation()


async def test_backup_is_what_it_was_whatever_is_written_afterwards(server: FirestoreServer, store: Store) -> None:
    """A restore takes away what came after it, and brings back what was removed."""
    await store.append(C, 1, drafts(3), NOW_MS)
    await store.revoke(ALICE)
    backup = server.backup()
    generation = await store.generation()
    await store.append(C, 4, [drafts(4)[3]], NOW_MS)
    await store.renew()
    await store.update_conversation(C, title="other", metadata_json=None)
    server.restore(backup)
    conversation = await store.read_conversation(C)
    assert conversation is not None
    assert (await tail(store), await store.generation(), conversation.title) == (3, generation, "Title")
    server.empty()
    assert (await tail(store), await store.generation(), await store.read_conversation(C)) == (0, "", None)


async def test_answers_of_a_stream_may_end_in_the_middle(server: FirestoreServer, store: Store) -> None:
    """The part of an answer before a broken stream's end is not taken for the whole."""
    await store.append(C, 1, drafts(3), NOW_MS)
    server.faults.add(Fault(code=Status.UNAVAILABLE, kept=2, method="RunQuery"))
    with pytest.raises(StoreUnavailable):
        await store.read_messages(C, after_seq=0, limit=9)
    assert len(await store.read_messages(C, after_seq=0, limit=9)) == 3
