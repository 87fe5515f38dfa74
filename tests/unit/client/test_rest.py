"""REST of the client: what may succeed later is asked again within a bound, what cannot fails at once."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from client_conformance.server import Json, ScriptedServer
from holdfast.client import CallFailed, Client, ClientStopped, SendFailed, backoff, calls, rest
from holdfast.client.tokens import Token

NOW = "2026-01-31T12:00:00.000Z"


def conversation(conversation_id: str = "c", **changed: Any) -> Json:
    """A conversation as an instance answers it, with a field that this client does not know."""
    names: Json = {
        "conversation_id": conversation_id,
        "title": None,
        "metadata": {"a": 1},
        "created_by": "ann",
        "created_at": NOW,
    }
    numbers: Json = {"member_count": 2, "last_seq": 1, "last_read_seq": 0, "unread_count": 1, "revision": 1}
    return {**names, **numbers, "members": ["ann", "ben"], "newer": True, **changed}


def stored(seq: int, conversation_id: str = "c") -> Json:
    """A message of a page."""
    ids: Json = {"conversation_id": conversation_id, "seq": seq, "message_id": f"{seq:012d}", "client_message_id": f"k{seq}"}
    return {**ids, "sender": "ben", "body": "hello", "sent_at": NOW, "metadata": {"a": 1}, "read_by": []}


def problem(status: int, code: str, *, retryable: bool = False, **headers: str) -> Json:
    """The service refuses."""
    return {"status": status, "problem": {"code": code, "detail": "no", "retryable": retryable}, "headers": headers}


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were asked for, none of which is kept."""
    asked: list[float] = []

    def short(_attempt: int, *, at_least: float = 0.0) -> float:
        asked.append(at_least)
        return 0.001

    monkeypatch.setattr(backoff, "pause", short)
    return asked


@pytest.fixture
def _one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next attempt would begin after the bound."""
    monkeypatch.setattr(backoff, "pause", lambda _attempt, *, at_least=0.0: rest.WITHIN_SECONDS + at_least)


@asynccontextmanager
async def client_of(*answers: Json, token: Token = "secret-token") -> AsyncIterator[tuple[Client, ScriptedServer]]:
    """A client of a server that gives these answers in turn, the last one again and again."""
    async with (
        ScriptedServer({"rest": list(answers)}) as server,
        Client([f"http://127.0.0.1:{server.port}"], token) as client,
    ):
        await client.connected()
        yield client, server


def asked(server: ScriptedServer) -> list[str]:
    """The calls."""
    return [entry["rest"] for entry in server.log if "rest" in entry]


async def test_create_is_repeated_under_one_id_until_it_is_answered() -> None:
    """An attempt without an answer may have been carried out: a second conversation must not come of it."""
    away: list[Json] = [
        problem(503, "overloaded", retryable=True),
        {"status": 502, "text": "<html>"},
        {"status": 404, "text": "?"},
    ]
    async with client_of(*away, {"status": 201, "json": conversation("team")}) as (client, server):
        made = await client.rest.create(["ben"], title="Team", metadata={"a": 1}, conversation_id="team")
        bodies = [entry["body"] for entry in server.log if "rest" in entry]
    assert (made.conversation_id, made.metadata, made.members) == ("team", {"a": 1}, ("ann", "ben"))
    assert asked(server) == ["/api/conversations"] * 4
    assert bodies == [{"members": ["ben"], "title": "Team", "metadata": {"a": 1}, "conversation_id": "team"}] * 4


async def test_create_without_an_id_chooses_one() -> None:
    """Without an id of its own the call could not be repeated."""
    async with client_of(problem(409, "conversation_exists")) as (client, server):
        for _ in range(2):
            with pytest.raises(CallFailed, match="conversation_exists"):
                await client.rest.create(["ben"])
    ids = {entry["body"]["conversation_id"] for entry in server.log if "rest" in entry}
    assert len(ids) == 2


async def test_history_is_a_page_of_messages() -> None:
    """As `messages()` gives them out."""
    page = {"messages": [stored(1), stored(2)], "has_more": True, "last_seq": 9}
    async with client_of({"status": 200, "json": page}) as (client, server):
        history = await client.rest.history("c", after_seq=0, limit=2)
    assert [(each.seq, each.body, each.metadata) for each in history.messages] == [(1, "hello", {"a": 1}), (2, "hello", {"a": 1})]
    assert (history.has_more, history.last_seq) == (True, 9)
    assert asked(server) == ["/api/conversations/c/messages?limit=2&after_seq=0"]


async def test_direct_and_members() -> None:
    """Each at its path; unknown fields are passed over, absent ones are None."""
    members = [{"user_id": "ann", "last_read_seq": 3, "newer": 1}, {"user_id": "ben"}]
    answers: list[Json] = [
        {"status": 200, "json": conversation("d-1")},
        {"status": 200, "json": conversation(members=members)},
        {"status": 201, "json": conversation()},
        {"status": 204},
    ]
    async with client_of(*answers) as (client, server):
        assert (await client.rest.direct("ben")).conversation_id == "d-1"
        assert [(each.user_id, each.last_read_seq, each.online) for each in await client.rest.members("c")] == [
            ("ann", 3, None),
            ("ben", None, None),
        ]
        assert (await client.rest.add_member("c", "ben")).conversation_id == "c"
        await client.rest.remove_member("c", "ben")
    base = "/api/conversations"
    assert asked(server) == [f"{base}/direct/ben", f"{base}/c", f"{base}/c/members/ben", f"{base}/c/members/ben"]
    assert [entry["method"] for entry in server.log if "rest" in entry] == ["PUT", "GET", "PUT", "DELETE"]


async def test_refusal_of_the_service_fails_at_once_with_its_code() -> None:
    """The same call would be answered in the same way."""
    async with client_of(problem(403, "forbidden")) as (client, server):
        with pytest.raises(CallFailed) as failed:
            await client.rest.remove_member("c", "ben")
    assert (failed.value.code, failed.value.outcome, failed.value.retryable, failed.value.status) == (
        "forbidden",
        "refused",
        False,
        403,
    )
    assert isinstance(failed.value, SendFailed)
    assert len(asked(server)) == 1


async def test_user_whose_removal_lost_its_answer_is_removed() -> None:
    """A user who has left does not see the conversation any more: the repetition is answered as if there were none."""
    gone = problem(404, "conversation_not_found")
    lost: Json = {"status": 502, "text": "bad gateway"}
    async with client_of(lost, gone) as (client, server):
        await client.connected()
        await client.rest.remove_member("c", "ann")
    assert len(asked(server)) == 2
    async with client_of(lost, gone) as (client, server):
        await client.connected()
        with pytest.raises(CallFailed, match="conversation_not_found"):
            await client.rest.remove_member("c", "ben")  # the conversation is hidden from Ben then, not from Ann
    async with client_of(gone) as (client, _):
        with pytest.raises(CallFailed, match="conversation_not_found"):
            await client.rest.remove_member("c", "ann")


async def test_call_that_reached_no_address_was_not_carried_out() -> None:
    """Else the answer of the next address, which knows of no earlier attempt, would be read as its effect."""
    async with client_of(problem(404, "conversation_not_found")) as (client, _):
        await client.connected()
        client._link.base_url = f"http://127.0.0.1:{_closed_port()}"
        with pytest.raises(CallFailed, match="conversation_not_found") as failed:
            await client.rest.remove_member("c", "ann")
    assert failed.value.outcome == "refused"


def _closed_port() -> int:
    """Where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port: int = closed.getsockname()[1]
        return port


async def test_pause_that_the_service_asks_for_is_kept(pauses: list[float]) -> None:
    """A client that asks again sooner is refused again; one that would have to wait longer than its bound fails at once."""
    busy = problem(429, "rate_limited", retryable=True, **{"Retry-After": "7"})
    async with client_of(busy, {"status": 200, "json": conversation()}) as (client, _):
        await client.rest.direct("ben")
    assert pauses == [7.0]


@pytest.mark.usefixtures("_one_attempt")
async def test_call_ends_within_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application waits no longer than that, whatever hangs; the last failure is told."""
    hanging = asyncio.Event()

    async def hook() -> str:
        if hanging.is_set():
            await asyncio.Event().wait()
        return "token"

    async with client_of(problem(503, "overloaded", retryable=True), token=hook) as (client, _):
        with pytest.raises(CallFailed, match="overloaded") as failed:
            await client.rest.add_member("c", "ben")
        assert (failed.value.retryable, failed.value.outcome) == (True, "unknown")
        hanging.set()
        client._tokens.forget()
        monkeypatch.setattr(rest, "WITHIN_SECONDS", 0.3)
        with pytest.raises(CallFailed, match="unreachable"):
            await client.rest.members("c")


@pytest.mark.usefixtures("_one_attempt")
async def test_redirect_is_not_followed() -> None:
    """The token would be sent to an address that the application did not name."""
    async with (
        ScriptedServer({}) as elsewhere,
        client_of({"status": 302, "headers": {"Location": f"http://127.0.0.1:{elsewhere.port}/"}}) as (client, _),
    ):
        with pytest.raises(CallFailed, match="http_302"):
            await client.rest.members("c")
        assert elsewhere.log == []


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 200, "text": "<html>"},
        {"status": 200, "json": {"conversation_id": "c", "members": [7]}},
        {"status": 200, "json": {"messages": [stored(1, "other")], "has_more": False, "last_seq": 1}},
        {"status": 200, "text": "[" * 100_000},
    ],
    ids=["html", "other_types", "other_conversation", "deep"],
)
@pytest.mark.usefixtures("_one_attempt")
async def test_answer_that_is_not_the_services_is_no_result(answer: Json) -> None:
    """A proxy's page is a failure with a code of its own, whatever its status."""
    async with client_of(answer) as (client, _):
        for call in (client.rest.history("c"), client.rest.members("c")):
            with pytest.raises(CallFailed, match="http_200"):
                await call


@pytest.mark.usefixtures("_one_attempt")
async def test_endless_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is held in memory: its size has a bound."""
    monkeypatch.setattr(calls, "_MAX_BYTES", 1_000)
    async with client_of({"status": 200, "text": " " * 2_000}) as (client, _):
        with pytest.raises(CallFailed, match="unreachable"):
            await client.rest.members("c")


async def test_refused_token_is_replaced() -> None:
    """A token may expire between two calls; three refused ones are believed."""
    tokens: list[str] = []

    async def hook() -> str:
        tokens.append(f"token-{len(tokens)}")
        return tokens[-1]

    refused = problem(401, "token_expired")
    async with client_of(refused, {"status": 200, "json": conversation()}, refused, token=hook) as (client, server):
        assert (await client.rest.direct("ben")).conversation_id == "c"
        with pytest.raises(CallFailed, match="token_expired"):
            await client.rest.direct("ben")
    assert len(asked(server)) == 2 + 3
    assert len(tokens) == 1 + 1 + 2


async def test_refused_text_of_a_token_fails_at_once_and_is_named_nowhere() -> None:
    """There will be no better one; errors end up in logs."""
    async with client_of(problem(401, "unauthenticated")) as (client, server):
        with pytest.raises(CallFailed, match="unauthenticated") as failed:
            await client.rest.direct("ben")
    assert len(asked(server)) == 1
    assert "secret-token" not in f"{failed.value!r}{failed.value}{failed.value.detail}"


@pytest.mark.parametrize("wrong", ["a/b", "..", "", "__x__", "ä", 7, None])
async def test_ids_that_no_instance_accepts_are_not_asked_for(wrong: Any) -> None:
    """An id stands in a path: another path must not come of it."""
    async with client_of({"status": 200, "json": conversation()}) as (client, server):
        makings = [
            client.rest.direct(wrong),
            client.rest.members(wrong),
            client.rest.history(wrong),
            client.rest.add_member("c", wrong),
            client.rest.remove_member(wrong, "ben"),
            client.rest.create([wrong]),
        ]
        for call in makings:
            with pytest.raises(CallFailed, match="invalid_request"):
                await call
    assert asked(server) == []


@pytest.mark.parametrize(
    "wrong", [{"limit": 0}, {"limit": 201}, {"limit": True}, {"after_seq": -1}, {"before_seq": 1.5}, {"after_seq": 10**12}]
)
async def test_numbers_that_no_instance_accepts_are_not_asked_for(wrong: Json) -> None:
    """A mistake of the application is told at once."""
    async with client_of({"status": 200, "json": conversation()}) as (client, server):
        with pytest.raises(CallFailed, match=f"invalid_request: {next(iter(wrong))}"):
            await client.rest.history("c", **wrong)
    assert asked(server) == []


@pytest.mark.parametrize(
    "wrong", [{"members": "ben"}, {"title": "x" * 201}, {"title": "\ud800"}, {"metadata": {"a": float("nan")}}]
)
async def test_conversations_that_no_instance_accepts_are_not_asked_for(wrong: Json) -> None:
    """The rules are those of sends."""
    async with client_of({"status": 200, "json": conversation()}) as (client, server):
        with pytest.raises(CallFailed, match="invalid_request"):
            await client.rest.create(**{"members": ["ben"], **wrong})
    assert asked(server) == []


async def test_closed_client_calls_nothing() -> None:
    """Its connections are gone."""
    async with client_of({"status": 200, "json": conversation()}) as (client, server):
        pass
    with pytest.raises(ClientStopped, match="closed"):
        await client.rest.direct("ben")
    assert asked(server) == []
