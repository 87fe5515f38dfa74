"""`firestore.indexes.json` against the queries that the adapter makes: the emulator asks for no index, production does.

Every query is built by the adapter's own code and caught before it leaves. An unused index is as wrong as a missing one: on
rising values (`seq`, times) it would bound a whole collection group at about 500 writes a second.
"""

import json
import re
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.firestore_v1.async_aggregation import AsyncAggregationQuery
from google.cloud.firestore_v1.async_client import AsyncClient
from google.cloud.firestore_v1.async_query import AsyncQuery
from google.cloud.firestore_v1.types import StructuredQuery

from holdfast.adapters.firestore import (
    blocks,
    bulletins,
    conversations,
    documents,
    messages,
    notifications,
    presence,
    room,
    stored_marks,
)
from holdfast.adapters.firestore.client import Calls
from holdfast.adapters.firestore.tails import Tails
from holdfast.adapters.machine.clock import SystemClock
from holdfast.domain.bulletins import Bulletin
from holdfast.domain.conversations import NewConversation, PageKey
from holdfast.domain.ids import ConversationId, Epoch, InstanceId, UserId
from holdfast.domain.marks import StoredMark
from holdfast.domain.messages import Draft
from holdfast.domain.notifications import Claims, Notification

FOLDER = Path(documents.__file__).parent
SHIPPED = json.loads(files("holdfast.adapters.firestore").joinpath("firestore.indexes.json").read_text())

C, USER = ConversationId("c1"), UserId("alice")
QUERIES: list[Callable[[Calls], Awaitable[object]]] = [
    lambda calls: conversations.memberships_of(calls, USER),
    lambda calls: room.count_memberships(calls, USER),
    lambda calls: room.count_created_by(calls, USER, UserId("bob")),
    lambda calls: conversations.page(calls, USER, 5, None),
    lambda calls: conversations.page(calls, USER, 5, PageKey(1, C)),
    lambda calls: messages.page(calls, Tails(calls), C, 1, None, 5),
    lambda calls: messages.page(calls, Tails(calls), C, 1, 9, 5),
    lambda calls: messages.read_cursors(calls, C),
    lambda calls: presence.users_on(calls, "one:e1", 5),
    lambda calls: notifications.page_of_catch_ups(calls, None, 5),
    lambda calls: notifications.page_of_catch_ups(calls, USER, 5),
    lambda calls: notifications.claim(calls, Claims(), 5, 1.0),
    lambda calls: notifications.recorded(calls, ["n1:alice", "n1:bob"]),
    lambda calls: bulletins.read_bulletins(calls, only_unwell=False),
    lambda calls: bulletins.read_bulletins(calls, only_unwell=True),
    lambda calls: bulletins.page_of_revocations(calls, bulletins.since_filters(1)[0], None, 5),
    lambda calls: bulletins.page_of_revocations(calls, bulletins.since_filters(1)[1], None, 5),
    lambda calls: bulletins.page_of_revocations(calls, None, None, 5),
    lambda calls: bulletins.page_of_revoked_tokens(calls, 0, None, 5),
    lambda calls: bulletins.page_of_revoked_tokens(calls, 1, None, 5),
    lambda calls: stored_marks.page(calls, "one:e1", "", 5),
    lambda calls: stored_marks.page(calls, "", "one:e1~00000000", 5),
    lambda calls: blocks.blockers_of(calls, USER, 5),
]

BULLETIN = Bulletin(InstanceId("one"), Epoch("e1"), 1, "ok")

# The fields stored in each collection. Fields that are written in place are listed here, the others come from `documents`.
WRITTEN = {
    "messages": documents.message_fields(Draft(USER, "m", "b", None, "k", "d"), 1, 1),
    "conversations": documents.conversation_fields(NewConversation(C, (USER,), USER, 1, None, None, "d")) | {"joined": {}},
    "instances": documents.bulletin_fields(BULLETIN) | documents.death_fields(BULLETIN),
    "sends": {"seq", "digest", "expireAt"},
    "cursors": {"lastReadSeq"},
    "users": {"online", "on", "lastSeen", "catchup", "catchupSince"},
    "notifications": documents.notification_fields(Notification("n", USER, C, 1, USER, "p", 1), "t"),
    "revocations": {"revokedAt", "notBefore"},
    "revokedTokens": {"revokedAt", "expireAt"},
    "marks": documents.mark_fields(StoredMark("one:e1~00000000", C, 1, 1)),
    "blocks": {"users"},
}

Mode = tuple[str, str]
"""(field, CONTAINS or ASCENDING or DESCENDING)"""


class _CaughtError(Exception):
    """Instead of leaving the process."""


@dataclass(frozen=True)
class Need:
    """The index that one query needs: one mode is a single-field index, more are a composite one."""

    collection: str
    modes: tuple[Mode, ...]


@pytest.fixture
def calls() -> Calls:
    """A client without a server."""
    calls = Calls("project", "(default)", 1.0, SystemClock(), watch=None)  # type: ignore[arg-type]  # nothing is called
    calls._client = AsyncClient(project="project", credentials=AnonymousCredentials())
    return calls


@pytest.fixture
def caught(monkeypatch: pytest.MonkeyPatch) -> list[StructuredQuery]:
    """Every query that was about to be sent."""
    queries: list[StructuredQuery] = []

    async def catch(query: Any, *_: Any, **__: Any) -> None:
        queries.append((query._nested_query if isinstance(query, AsyncAggregationQuery) else query)._to_protobuf())
        raise _CaughtError

    monkeypatch.setattr(AsyncQuery, "get", catch)
    monkeypatch.setattr(AsyncAggregationQuery, "get", catch)
    return queries


def need_of(query: StructuredQuery) -> Need:
    """Equality and containment first, then the order; the document's name is part of every index."""
    where = query.where
    filters = [each.field_filter for each in where.composite_filter.filters] or ([where.field_filter] if where else [])
    operators = StructuredQuery.FieldFilter.Operator
    contains = [(each.field.field_path, "CONTAINS") for each in filters if each.op == operators.ARRAY_CONTAINS]
    orders = [(each.field.field_path, each.direction.name) for each in query.order_by]
    ranges = [(each.field.field_path, "ASCENDING") for each in filters if each.op != operators.ARRAY_CONTAINS]
    ordered = {field for field, _ in orders}
    modes = [*contains, *orders, *(each for each in ranges if each[0] not in ordered)]
    (source,) = query.from_
    return Need(source.collection_id, tuple(mode for mode in modes if mode[0] != "__name__"))


async def needs_of(calls: Calls, caught: list[StructuredQuery]) -> set[Need]:
    """What all queries together need."""
    for make in QUERIES:
        with pytest.raises(_CaughtError):
            await make(calls)
    return {need for query in caught if (need := need_of(query)).modes}


def shipped_single() -> dict[tuple[str, str], set[str]]:
    """(collection, field) -> modes, of the fields whose automatic indexes are replaced."""
    return {
        (each["collectionGroup"], each["fieldPath"]): {mode_of(index) for index in each["indexes"]}
        for each in SHIPPED["fieldOverrides"]
    }


def mode_of(entry: dict[str, str]) -> str:
    """CONTAINS, ASCENDING or DESCENDING."""
    return entry.get("arrayConfig") or entry["order"]


async def test_every_query_has_its_composite_index_and_no_other_is_shipped(calls: Calls, caught: list[StructuredQuery]) -> None:
    """A missing one is an error in production only."""
    needed = {need for need in await needs_of(calls, caught) if len(need.modes) > 1}
    shipped = {
        Need(each["collectionGroup"], tuple((field["fieldPath"], mode_of(field)) for field in each["fields"]))
        for each in SHIPPED["indexes"]
    }
    assert shipped == needed
    assert {each["queryScope"] for each in SHIPPED["indexes"]} == {"COLLECTION"}


async def test_exactly_the_fields_that_are_queried_are_indexed(calls: Calls, caught: list[StructuredQuery]) -> None:
    """Rising values in an index bound the writes; maps in one (`heads`, `receipts`) cost an entry per key."""
    single = [(need.collection, *need.modes[0]) for need in await needs_of(calls, caught) if len(need.modes) == 1]
    expected = {(collection, field): set[str]() for collection, fields in WRITTEN.items() for field in fields}
    for collection, field, mode in single:
        expected[collection, field].add(mode)
    expected["revocations", "notBefore"].add("ASCENDING")  # instances of the version before ask by it during an upgrade
    assert shipped_single() == expected


def test_only_keys_of_sends_notifications_and_revocations_of_tokens_expire() -> None:
    """The first two count for 7 days, the last as long as the token; a TTL anywhere else would delete what people wrote."""
    expiring = [(each["collectionGroup"], each["fieldPath"]) for each in SHIPPED["fieldOverrides"] if each.get("ttl")]
    assert expiring == [("sends", "expireAt"), ("notifications", "expireAt"), ("revokedTokens", "expireAt")]


async def test_no_query_of_the_adapter_is_forgotten_here(
    calls: Calls, caught: list[StructuredQuery], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every place that names a collection was reached by one of `QUERIES`."""
    reached = set()
    collection = AsyncClient.collection

    def noting(client: AsyncClient, *path: str) -> Any:
        reached.update(
            (Path(frame.filename).name, frame.lineno)
            for frame in traceback.extract_stack()
            if Path(frame.filename).parent == FOLDER
        )
        return collection(client, *path)

    monkeypatch.setattr(AsyncClient, "collection", noting)
    await needs_of(calls, caught)
    named = {
        (path.name, number)
        for path in FOLDER.glob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"\.collection(_group)?\(", line)
    }
    assert named <= reached
