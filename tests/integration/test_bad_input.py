"""The socket and REST refuse the same input in the same way: tokens, non-members, sizes, other content under a known id."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from support.bad_tokens import bad_tokens
from support.chatting import Chatter, Rest
from support.eventually import eventually
from support.hostile import Hostile, assert_problem, refused_by_rest
from support.instances import Instances

TOKENS = bad_tokens()
CLOSE_CODES = {"unauthenticated": 4501, "token_expired": 4002}
SUBPROTOCOL = frozenset("!#$%&'*+-.^_`|~")  # RFC 9110 §5.6.2, beside letters and digits: what may be offered at all


@pytest.mark.parametrize("name", TOKENS)
async def test_a_token_that_must_not_be_believed(hostile: Hostile, name: str) -> None:
    """401 from REST, 401 before the upgrade, and on the open socket for a page that cannot see a 401."""
    bearer, code = TOKENS[name]
    headers = {"Authorization": f"Bearer {bearer}"}
    async with Rest(hostile.serving, None) as rest:
        for path in ("/api/conversations", "/api/connections/info", "/api/connections/stats"):
            assert_problem(await rest.get(path, headers=headers), code)
    with pytest.raises(InvalidStatus) as refused:
        await connect(hostile.serving.ws_url, additional_headers=headers, proxy=None)
    answer = refused.value.response
    assert (answer.status_code, json.loads(answer.body or b"")["code"]) == (401, code)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    if not all(char.isalnum() or char in SUBPROTOCOL for char in bearer):
        return
    offered: Any = ["holdfast.v1", f"bearer.{bearer}"]
    async with connect(hostile.serving.ws_url, subprotocols=offered, proxy=None) as socket:
        assert socket.subprotocol == "holdfast.v1"
        error = json.loads(await socket.recv())
        assert (error["type"], error["code"], error["retryable"]) == ("error", code, False)
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == CLOSE_CODES[code]


@pytest.mark.parametrize("header", ["", "Bearer", "Basic dXNlcjpwYXNz", "bearer.x", "Token x"])
async def test_no_bearer_at_all(hostile: Hostile, header: str) -> None:
    """And a token in the query string is not looked at."""
    async with Rest(hostile.serving, None) as rest:
        assert_problem(await rest.get("/api/conversations", headers={"Authorization": header}), "unauthenticated")
    with pytest.raises(InvalidStatus) as refused:
        await connect(hostile.serving.ws_url, additional_headers={"Authorization": header}, proxy=None)
    assert refused.value.response.status_code == 401


async def _everything(hostile: Hostile, user_id: str, c: str) -> dict[str, dict[str, Any]]:
    """What the service answers to every way of touching a conversation, without what names the conversation or the attempt."""
    answers: dict[str, dict[str, Any]] = {}
    async with Chatter(hostile.serving, user_id) as client, Rest(hostile.serving, user_id) as rest:
        frames: dict[str, dict[str, Any]] = {
            "send": {"type": "send", "client_message_id": "m", "body": "x"},
            "read": {"type": "read", "message_id": "000000000001"},
            "typing": {"type": "typing", "active": True},
        }
        for name, frame in frames.items():
            answer = await client.ask(**frame, conversation_id=c)
            answers[f"socket {name}"] = {key: value for key, value in answer.items() if key not in ("ref", "conversation_id")}
        message = {"client_message_id": "m", "body": "x"}
        calls: tuple[tuple[str, str, Any], ...] = (
            ("GET", f"/api/conversations/{c}", None),
            ("PATCH", f"/api/conversations/{c}", {"title": "mine"}),
            ("GET", f"/api/conversations/{c}/messages", None),
            ("POST", f"/api/conversations/{c}/messages", message),
            ("POST", f"/api/conversations/{c}/typing", {"active": True}),
            ("POST", f"/api/conversations/{c}/messages/000000000001/read", None),
            ("PUT", f"/api/conversations/{c}/members/{user_id}", None),
            ("DELETE", f"/api/conversations/{c}/members/{user_id}", None),
            ("POST", f"/{c}/typing", None),
            ("POST", f"/{c}/messages/000000000001/read", None),
        )
        for method, path, body in calls:
            answer_of: httpx.Response = await rest.request(method, path, json=body)
            assert_problem(answer_of, "conversation_not_found")
            answers[f"{method} {path.replace(c, '').replace(user_id, '')}"] = answer_of.json()
        await client.close()
        resumed = await Chatter(hostile.serving, user_id).connect({c: 0})
        assert (await resumed.receive("synced"))["heads"] == {}
        await resumed.close()
    return answers


async def test_strangers_former_members_and_the_unknown_are_told_the_same(hostile: Hostile) -> None:
    """Non-members do not learn whether a conversation exists; its members get nothing of the attempts."""
    alice, bob, former, stranger = (hostile.user() for _ in range(4))
    c = await hostile.conversation(alice, bob, former)
    async with Chatter(hostile.serving, bob) as member, Rest(hostile.serving, alice) as rest:
        assert (await member.say(c, "before"))["seq"] == 1
        assert (await rest.delete(f"/api/conversations/{c}/members/{former}")).status_code == 204
        await member.receive("conversation", event="member_removed", user_id=former)
        heard = len(member.frames)
        told_to_former, told_to_stranger, told_of_nothing = await asyncio.gather(
            _everything(hostile, former, c),
            _everything(hostile, stranger, c),
            _everything(hostile, hostile.user(), "no-such-conversation"),
        )
        assert told_to_former == told_to_stranger == told_of_nothing
        for name, answer in told_of_nothing.items():
            assert (answer["code"], answer["retryable"]) == ("conversation_not_found", False), name
        assert (await member.ask(type="ping"))["type"] == "pong"
        kinds = [frame["type"] for frame in member.frames[heard:]]
        assert kinds == ["pong"], "members heard of a stranger's attempt"


async def test_a_former_member_hears_nothing_more(hostile: Hostile) -> None:
    """The connection that was open when its user was removed, too."""
    alice, former = hostile.user(), hostile.user()
    c = await hostile.conversation(alice, former)
    async with Chatter(hostile.serving, alice) as creator, Chatter(hostile.serving, former) as ears:
        await creator.say(c, "one")
        await ears.receive("message", conversation_id=c)
        async with Rest(hostile.serving, alice) as rest:
            assert (await rest.delete(f"/api/conversations/{c}/members/{former}")).status_code == 204
        notice = await ears.receive("conversation", event="member_removed")
        assert "conversation" not in notice
        await creator.say(c, "two")
        await creator.receive("message", seq=2)
        assert (await ears.ask(type="send", conversation_id=c, client_message_id="m", body="x"))[
            "code"
        ] == "conversation_not_found"
        assert ears.seqs(c) == [1]


async def test_members_that_may_not_do_everything(hostile: Hostile) -> None:
    """`forbidden` is for users who may know that it exists; presence and administration are not for everybody."""
    alice, bob, stranger = hostile.user(), hostile.user(), hostile.user()
    c = await hostile.conversation(alice, bob)
    await refused_by_rest(hostile, bob, "PATCH", f"/api/conversations/{c}", "forbidden", json={"title": "mine"})
    await refused_by_rest(hostile, bob, "DELETE", f"/api/conversations/{c}/members/{alice}", "forbidden")
    await refused_by_rest(hostile, bob, "DELETE", f"/api/users/{alice}/connections", "forbidden")
    await refused_by_rest(hostile, stranger, "GET", f"/api/users/{alice}/presence", "user_not_found")
    await refused_by_rest(hostile, stranger, "GET", "/api/users/nobody/presence", "user_not_found")
    await refused_by_rest(
        hostile, stranger, "POST", "/api/conversations", "conversation_exists", json={"members": [], "conversation_id": c}
    )


async def test_who_is_no_member_hears_nothing_of_a_conversation(hostile: Hostile) -> None:
    """Connected to the same instance, once a member or never one: no typing, no receipt, no message."""
    alice, bob, former, stranger = (hostile.user() for _ in range(4))
    c, other = await hostile.conversation(alice, bob, former), await hostile.conversation(alice, former, stranger)
    async with Rest(hostile.serving, alice) as rest:
        assert (await rest.delete(f"/api/conversations/{c}/members/{former}")).status_code == 204
    serving = hostile.serving
    async with (
        Chatter(serving, alice) as a,
        Chatter(serving, bob) as b,
        Chatter(serving, former) as f,
        Chatter(serving, stranger) as s,
    ):
        assert (await a.ask(type="typing", conversation_id=c, active=True))["type"] == "ok"
        await b.receive("typing", conversation_id=c)
        seq = (await a.say(c, "not for everybody"))["seq"]
        await b.receive("message", conversation_id=c, seq=seq)
        assert (await b.ask(type="read", conversation_id=c, message_id=f"{seq:012d}"))["type"] == "ok"
        await a.receive("receipt", conversation_id=c)
        await a.say(other, "for you two")
        for outsider in (f, s):
            await outsider.receive("message", conversation_id=other)
            assert not [frame for frame in outsider.frames if frame.get("conversation_id") == c]


async def test_a_creator_who_left_is_told_nothing_more(hostile: Hostile) -> None:
    """Creating again is answered with the conversation, and that would be a way to read on."""
    alice, bob = hostile.user(), hostile.user()
    c = await hostile.conversation(alice, bob)
    again = {"members": [bob], "conversation_id": c}
    async with Rest(hostile.serving, alice) as rest:
        assert (await rest.post("/api/conversations", json=again)).status_code == 200
        assert (await rest.delete(f"/api/conversations/{c}/members/{alice}")).status_code == 204
    await refused_by_rest(hostile, alice, "POST", "/api/conversations", "conversation_exists", json=again)


async def test_nobody_fills_anothers_list(sqlite_instances: Instances) -> None:
    """A user who names another in conversation after conversation, and leaves each, is stopped where that one's list is full."""
    (a,) = await sqlite_instances.start("instance-1", HOLDFAST_LIMITS__CONVERSATIONS_BY_OTHERS="3")
    async with Rest(a, "mallory") as rest:
        for _ in range(3):
            made = await rest.post("/api/conversations", json={"members": ["bob", "carol"]})
            assert made.status_code == 201
            await rest.delete(f"/api/conversations/{made.json()['conversation_id']}/members/mallory")
        refused = await rest.post("/api/conversations", json={"members": ["dave", "bob"]})
        assert_problem(refused, "limit_reached")


async def test_a_user_who_connects_again_and_again_is_slowed_down(sqlite_instances: Instances) -> None:
    """Each time may cost a replay of thousands of messages."""
    (a,) = await sqlite_instances.start("instance-1", HOLDFAST_LIMITS__CONNECTIONS_PER_USER="8")
    again = (Chatter(a, "alice") for _ in range(100))
    with pytest.raises(InvalidStatus) as refused:
        [await (await each.connect(hello=False)).vanish() for each in again]
    assert refused.value.response.status_code == 429
    async with Chatter(a, "bob"):
        pass


async def test_claims_of_a_client_about_its_message_are_ignored(hostile: Hostile) -> None:
    """`sender`, `seq`, `sent_at`, `read_by` are ours to say; unknown fields are no error."""
    alice, bob = hostile.user(), hostile.user()
    c = await hostile.conversation(alice, bob)
    forged = {"sender": bob, "seq": 77, "sent_at": "1970-01-01T00:00:00.000Z", "read_by": [bob], "message_id": "000000000077"}
    async with Chatter(hostile.serving, alice) as client, Rest(hostile.serving, alice) as rest:
        assert (await client.say(c, "x", **forged))["seq"] == 1
        answer = await rest.post(f"/api/conversations/{c}/messages", json={"client_message_id": "r", "body": "x", **forged})
        assert (answer.status_code, answer.json()["seq"]) == (201, 2)
        await client.receive("message", seq=2)
        assert {(frame["sender"], frame["sent_at"] > "2020") for frame in client.messages(c)} == {(alice, True)}
        page = (await rest.get(f"/api/conversations/{c}/messages")).json()["messages"]
        assert [message["read_by"] for message in page] == [[], []]


@pytest.mark.parametrize(
    "body", ["x" * 16_384, "é" * 8_192, "\N{GRINNING FACE}" * 4_096, "\0\u202e\x1b[31m</script>'; DROP--", " "]
)
async def test_the_largest_body_and_the_oddest_come_back_verbatim(hostile: Hostile, body: str) -> None:
    """16,384 UTF-8 bytes are allowed, by both ways; one more is not; stored text is never interpreted."""
    alice = hostile.user()
    c = await hostile.conversation(alice)
    metadata = {"a": {"b": [1, 2**64, -0.5, "\0", None]}}
    async with Chatter(hostile.serving, alice) as client, Rest(hostile.serving, alice) as rest:
        assert (await client.say(c, body, metadata=metadata))["type"] == "ack"
        message = {"client_message_id": "rest", "body": body, "metadata": metadata}
        assert (await rest.post(f"/api/conversations/{c}/messages", json=message)).status_code == 201
        await client.receive("message", seq=2)
        assert [(frame["body"], frame["metadata"]) for frame in client.messages(c)] == [(body, metadata)] * 2
        page = (await rest.get(f"/api/conversations/{c}/messages")).json()["messages"]
        assert [(stored["body"], stored["metadata"]) for stored in page] == [(body, metadata)] * 2
        if len(body.encode()) == 16_384:
            refused = await client.say(c, body + "x")
            assert (refused["code"], refused["field"], refused["outcome"]) == ("body_too_large", "body", "refused")
            message |= {"client_message_id": "more", "body": body + "x"}
            assert_problem(await rest.post(f"/api/conversations/{c}/messages", json=message), "body_too_large", "body")


async def test_other_content_under_the_same_id(hostile: Hostile) -> None:
    """A repeated send is the same message; with other words it is a conflict, whichever way each of them came."""
    alice = hostile.user()
    c = await hostile.conversation(alice)
    path = f"/api/conversations/{c}/messages"
    async with Chatter(hostile.serving, alice) as client, Rest(hostile.serving, alice) as rest:
        first = await client.say(c, "one", "id-1", metadata={"a": 1, "b": 2})
        again = await rest.post(path, json={"client_message_id": "id-1", "body": "one", "metadata": {"b": 2, "a": 1}})
        assert (again.status_code, again.json()["seq"], again.json()["duplicate"]) == (200, first["seq"], True)
        for words, metadata in (("two", {"a": 1, "b": 2}), ("one", {"a": 2, "b": 2}), ("one", None)):
            changed = {"body": words} | ({} if metadata is None else {"metadata": metadata})
            conflict = await client.say(c, changed.pop("body"), "id-1", **changed)
            assert (conflict["code"], conflict["outcome"]) == ("idempotency_conflict", "refused")
            answer = await rest.post(path, json={"client_message_id": "id-1", "body": words} | changed)
            assert_problem(answer, "idempotency_conflict", "client_message_id")
            assert answer.status_code == 409
        assert (await client.say(c, "two"))["seq"] == 2


async def test_messages_beyond_the_end(hostile: Hostile) -> None:
    """A cursor cannot be ahead of its conversation, nor be moved by another conversation's message."""
    alice = hostile.user()
    long, short = await hostile.conversation(alice), await hostile.conversation(alice)
    async with Chatter(hostile.serving, alice) as client:
        for number in range(3):
            ack = await client.say(long, str(number))
        await client.say(short, "only one")

        async def read(message_id: str) -> None:
            answer = await client.ask(type="read", conversation_id=short, message_id=message_id)
            assert (answer["code"], answer["field"]) == ("message_not_found", "message_id")
            path = f"/api/conversations/{short}/messages/{message_id}/read"
            await refused_by_rest(hostile, alice, "POST", path, "message_not_found", field="message_id")

        await asyncio.gather(*(read(message_id) for message_id in (ack["message_id"], "000000000002", "999999999999")))
        done = await client.ask(type="read", conversation_id=short, message_id="000000000001")
        assert (done["type"], done["seq"]) == ("ok", 1)


async def test_a_client_that_never_says_hello(hostile: Hostile) -> None:
    """Closed with 4003 after its 10 s, told why, and it was allowed to ping meanwhile."""
    client = Chatter(hostile.serving, hostile.user())
    await client.connect(hello=False)
    assert (await client.ask(type="ping"))["type"] == "pong"
    assert await client.closed(within=15) == 4003
    assert (client.frames[-1]["code"], client.frames[-1]["retryable"]) == ("hello_timeout", True)


async def test_limits_of_one_client(sqlite_instances: Instances) -> None:
    """Unanswered sends, sends a second, frames a second, calls a second, connections: each refused by name, with a time."""
    limits = {"INFLIGHT_SENDS": 2, "SENDS_PER_SECOND": 1, "SENDS_BURST": 8, "FRAMES_PER_SECOND": 1, "FRAMES_BURST": 40}
    environ = {f"HOLDFAST_LIMITS__{name}": str(value) for name, value in limits.items()}
    (a,) = await sqlite_instances.start("instance-1", **environ, HOLDFAST_LIMITS__CONNECTIONS_PER_USER="2")
    async with Rest(a, "alice") as rest:
        c = (await rest.post("/api/conversations", json={"members": ["bob", "carol", "dave"]})).json()["conversation_id"]
        answers = await asyncio.gather(*(rest.get("/api/conversations") for _ in range(45)))
        refused = [answer for answer in answers if answer.status_code != 200]
        assert refused
        for answer in refused:
            assert_problem(answer, "rate_limited")
            assert answer.json()["retry_after_ms"] > 0
            assert answer.json()["retryable"] is True
    async with Chatter(a, "alice") as client, Chatter(a, "bob") as bob:
        send = {"type": "send", "conversation_id": c, "body": "x"}
        for number in range(12):
            await client.send(send | {"client_message_id": f"m{number}", "ref": str(number)})
        answers_of = [await client.answer(str(number)) for number in range(12)]
        assert {answer["type"] for answer in answers_of} == {"ack", "error"}
        for answer in (answer for answer in answers_of if answer["type"] == "error"):
            assert (answer["code"], answer["outcome"], answer["retryable"]) == ("rate_limited", "refused", True)
            assert answer["retry_after_ms"] > 0
        details = {answer["detail"] for answer in answers_of if answer["type"] == "error"}
        assert details == {"too many sends are unanswered", "too many sends"}
        async with Rest(a, "carol") as rest:
            url = f"/api/conversations/{c}/messages"
            posts = (rest.post(url, json={"client_message_id": f"r{number}", "body": "x"}) for number in range(30))
            refused = [answer for answer in await asyncio.gather(*posts) if answer.status_code != 201]
            for answer in refused:
                assert_problem(answer, "rate_limited")
            assert {answer.json()["detail"] for answer in refused} == {"too many sends"}
        async with Chatter(a, "dave") as first, Chatter(a, "dave") as second:  # each within what one socket may send
            typing = {"type": "typing", "conversation_id": c, "active": True}
            answers_of = await asyncio.gather(*(each.ask(**typing) for each in (first, second) for _ in range(30)))
            assert "too many calls" in {answer.get("detail") for answer in answers_of}
            assert {answer["code"] for answer in answers_of if answer["type"] == "error"} == {"rate_limited"}
        async with Chatter(a, "carol") as carol:  # her first socket: what she sends is counted, not what a socket sends
            answers_of = [await carol.say(c, "x", f"s{number}") for number in range(3)]
            assert {answer.get("detail") for answer in answers_of} == {"too many sends"}
        for number in range(40):
            await client.send({"type": "ping", "ref": f"p{number}"})
        assert (await client.answer("p39"))["code"] == "rate_limited"
        assert (await bob.say(c, "bob is not alice"))["type"] == "ack"
        async with Chatter(a, "alice"):
            with pytest.raises(InvalidStatus) as third:
                await Chatter(a, "alice").connect()
        answer_of_third = third.value.response
        assert (answer_of_third.status_code, json.loads(answer_of_third.body or b"")["code"]) == (429, "connection_limit")
        assert int(answer_of_third.headers["Retry-After"]) >= 1
        await eventually(lambda: len(client.frames) > 0)
