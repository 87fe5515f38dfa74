"""A token on a live socket: renewed, rejected, expired, revoked."""

import asyncio
import json
from functools import partial
from typing import Any

import httpx
import jwt
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from holdfast.client import Client, ClientStopped
from support.bad_tokens import bad_tokens
from support.chatting import Chatter, Rest
from support.eventually import eventually
from support.hostile import Hostile, assert_problem
from support.instances import SECRET, Instances, Serving, token
from support.redis_server import RedisServer


async def test_a_later_token_of_the_same_user_renews_the_connection(hostile: Hostile) -> None:
    """`ok` tells the new expiry, also when it is repeated without a `ref`: then nothing is said."""
    user = hostile.user()
    async with Chatter(hostile.serving, user, bearer=token(user, 600)) as client:
        before = (await client.receive("welcome"))["expires_at"]
        renewed = await client.ask(type="refresh", token=token(user, 1_200))
        assert renewed["type"] == "ok"
        assert renewed["expires_at"] > before
        await client.send({"type": "refresh", "token": token(user, 1_800)})
        rejected = await client.ask(type="refresh", token=token(user, 1_200))
        assert rejected["code"] == "refresh_rejected", "the unanswered one had no effect"


async def test_a_token_that_does_not_renew(hostile: Hostile) -> None:
    """Another subject, an earlier expiry, garbage: `refresh_rejected`, and the socket stays as it was."""
    user = hostile.user()
    tokens = {name: text for name, (text, _) in bad_tokens().items() if len(text) <= 8_192}
    tokens |= {"another": token(hostile.user(), 7_200), "earlier": token(user, 60), "empty": "", "nul": "\0", "odd": "é.é.é"}
    async with Chatter(hostile.serving, user) as client:
        for name, text in tokens.items():
            answer = await client.ask(type="refresh", token=text)
            assert (answer["type"], answer["code"], answer["retryable"]) == ("error", "refresh_rejected", False), name
            assert text[:20] not in answer["detail"] or not text
        assert (await client.ask(type="ping"))["type"] == "pong"


async def test_a_token_that_runs_out_on_a_live_socket(hostile: Hostile) -> None:
    """Told once, closed with 4002 at its time; a renewed one lives on."""
    user = hostile.user()
    short = token(user, 3)
    async with Chatter(hostile.serving, user, bearer=short) as renewing, Chatter(hostile.serving, user, bearer=short) as ending:
        expires_at = (await ending.receive("welcome"))["expires_at"]
        assert (await ending.receive("token_expiring"))["expires_at"] == expires_at
        await renewing.receive("token_expiring")
        assert (await renewing.ask(type="refresh", token=token(user, 600)))["type"] == "ok"
        assert await ending.closed(within=6) == 4002
        kinds = [frame["type"] for frame in ending.frames if frame["type"] in ("token_expiring", "error")]
        assert kinds == ["token_expiring", "error"]
        assert (ending.frames[-1]["code"], ending.frames[-1]["retryable"]) == ("token_expired", False)
        assert (await renewing.ask(type="ping"))["type"] == "pong"


async def test_revocation_ends_sockets_everywhere_and_refuses_older_tokens(sqlite_instances: Instances) -> None:
    """4502 within 5 s on every instance, by both ways in; a token that was issued later is believed."""
    a, b = await sqlite_instances.start("instance-1", "instance-2", HOLDFAST_AUTH__LEEWAY_SECONDS="1")
    old = token("alice")
    async with Chatter(a, "alice") as here, Chatter(b, "alice") as there, Chatter(b, "bob") as other:
        for instance in (a, b):
            async with Rest(instance, "bob") as rest:
                assert_problem(await rest.delete("/api/users/alice/connections"), "forbidden")
        await _revoke(a)
        for client in (here, there):
            assert await client.closed(within=5) == 4502
            assert (client.frames[-1]["code"], client.frames[-1]["retryable"]) == ("token_revoked", False)
        assert (await other.ask(type="ping"))["type"] == "pong"
        for instance in (a, b):
            await eventually(partial(_answers, instance, old, "token_revoked"), within=8)
        assert (await other.ask(type="refresh", token=old))["code"] == "refresh_rejected"
    await eventually(lambda: _answers(b, token("alice"), ""), within=5)


async def test_revocation_concerns_tokens_of_an_issuer_whose_clock_is_ahead(sqlite_instances: Instances) -> None:
    """Within the leeway such a clock is right: its sockets are closed as well, and its tokens are refused for ever."""
    a, b = await sqlite_instances.start("instance-1", "instance-2", HOLDFAST_AUTH__LEEWAY_SECONDS="4")
    ahead = token("alice", ahead_seconds=3)
    async with Chatter(a, "alice", bearer=ahead) as here, Chatter(b, "alice", bearer=ahead) as there:
        await _revoke(a)
        for client in (here, there):
            assert await client.closed(within=5) == 4502
    for instance in (a, b):
        assert await _answers(instance, ahead, "token_too_early"), "it may be from after the revocation"
    for instance in (a, b):
        await eventually(partial(_answers, instance, ahead, "token_revoked"), within=14)


async def test_login_right_after_a_revocation_works_when_the_leeway_is_over(sqlite_instances: Instances) -> None:
    """A client whose hook gets new tokens waits by itself; one with a single token ends when that can be no new one any more."""
    (a,) = await sqlite_instances.start("instance-1", HOLDFAST_AUTH__LEEWAY_SECONDS="1")
    first = token("alice")
    await _revoke(a)

    async def login() -> str:
        return token("alice")

    async with Client([a.url], login) as renewing, Client([a.url], first) as ending:
        await asyncio.wait_for(renewing.connected(), 15)
        with pytest.raises(ClientStopped) as stopped:
            await asyncio.wait_for(ending.connected(), 15)
        assert stopped.value.code == "token_revoked"


async def test_page_is_told_when_to_come_with_another_token(sqlite_instances: Instances) -> None:
    """A browser sees no answer before the upgrade: the socket says how long to wait, and its close code to reconnect."""
    (a,) = await sqlite_instances.start("instance-1")
    await _revoke(a)
    protocols: Any = ["holdfast.v1", f"bearer.{token('alice')}"]
    async with connect(a.ws_url, subprotocols=protocols, compression=None) as socket:
        error = json.loads(await socket.recv())
        assert (error["type"], error["code"], error["retryable"]) == ("error", "token_too_early", True)
        assert 1_000 <= error["retry_after_ms"] <= 11_000
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 4006


async def _revoke(instance: Serving) -> None:
    async with Rest(instance, "root", is_admin=True) as rest:
        assert (await rest.delete("/api/users/alice/connections")).status_code == 204


async def _answers(instance: Serving, bearer: str, code: str) -> bool:
    """Whether REST answers with that problem; with 200 for an empty code."""
    async with Rest(instance, None) as rest:
        answer = await rest.get("/api/conversations", headers={"Authorization": f"Bearer {bearer}"})
    if answer.status_code == 200:
        return not code
    assert_problem(answer, answer.json()["code"])
    return bool(answer.json()["code"] == code)


@pytest.mark.parametrize("hello", [True, False])
async def test_a_revocation_reaches_a_socket_before_its_hello(sqlite_instances: Instances, *, hello: bool) -> None:
    """Every connection, in each part of its life."""
    (a,) = await sqlite_instances.start("instance-1")
    client = Chatter(a, "alice")
    await client.connect(hello=hello)
    async with Rest(a, "root", is_admin=True) as rest:
        assert (await rest.delete("/api/users/alice/connections")).status_code == 204
    assert await client.closed() == 4502


async def test_logging_out_everywhere_and_with_one_token(sqlite_instances: Instances, redis7: RedisServer) -> None:
    """By the user alone: one device at every instance, then all; kept over the loss of Redis and of every instance."""
    a, b = await sqlite_instances.start("instance-1", "instance-2", HOLDFAST_AUTH__LEEWAY_SECONDS="1")
    phone, laptop = token("alice"), token("alice")
    async with (
        Chatter(a, "alice", bearer=phone) as phone_here,
        Chatter(b, "alice", bearer=phone) as phone_there,
        Chatter(b, "alice", bearer=laptop) as on_laptop,
        Chatter(a, "bob") as bob,
    ):
        assert await _delete(a, "/api/tokens/current", phone) == (204, "")
        for client in (phone_here, phone_there):
            assert await client.closed(within=20) == 4502
            assert client.frames[-1]["code"] == "token_revoked"
        assert (await on_laptop.ask(type="ping"))["type"] == "pong"
        assert await _delete(a, "/api/connections", phone) == (401, "token_revoked")
        assert await _delete(a, "/api/connections", laptop) == (204, "")
        assert await on_laptop.closed(within=20) == 4502
        assert (await bob.ask(type="ping"))["type"] == "pong"
    for instance in (a, b):
        instance.kill()
    redis7.kill()
    await redis7.start()
    await asyncio.gather(a.start(), b.start())
    for bearer in (phone, laptop):
        assert (await _delete(b, "/api/connections", bearer))[0] == 401
    assert await _delete(b, "/api/tokens/current", phone) == (401, "token_revoked")


async def test_an_administrator_revokes_one_token_and_nobody_else_does(hostile: Hostile) -> None:
    """Its id is in the token and in the issuer's log; a malformed id names no token."""
    user = hostile.user()
    bearer, other = token(user), token(user)
    token_id = jwt.decode(bearer, options={"verify_signature": False})["jti"]
    path = f"/api/users/{user}/tokens/{token_id}"
    admin = token(hostile.user(), is_admin=True)
    assert await _delete(hostile.serving, path, other) == (403, "forbidden")
    assert await _delete(hostile.serving, f"/api/users/{user}/tokens/{'x' * 257}", admin) == (400, "invalid_request")
    assert await _delete(hostile.serving, f"/api/users/{user}/tokens/a%20b", admin) == (400, "invalid_request")
    for exp in ("-1", "1.5", "soon", "1" * 13):
        assert await _delete(hostile.serving, f"{path}?exp={exp}", admin) == (400, "invalid_request")
    assert await _delete(hostile.serving, f"{path}?exp=999999999999", admin) == (204, "")
    assert await _delete(hostile.serving, path, admin) == (204, "")
    assert await _delete(hostile.serving, "/api/tokens/current", bearer) == (401, "token_revoked")
    claims = jwt.decode(other, options={"verify_signature": False})
    nameless = jwt.encode({name: value for name, value in claims.items() if name != "jti"}, SECRET, algorithm="HS256")
    assert await _delete(hostile.serving, "/api/tokens/current", nameless) == (400, "invalid_request")
    assert await _delete(hostile.serving, "/api/tokens/current", other) == (204, "")


async def _delete(instance: Serving, path: str, bearer: str) -> tuple[int, str]:
    """The status, and the code of a problem."""
    async with httpx.AsyncClient(verify=False, base_url=instance.url, timeout=20) as client:
        answer = await client.delete(path, headers={"Authorization": f"Bearer {bearer}"})
    return answer.status_code, answer.json()["code"] if answer.content else ""
