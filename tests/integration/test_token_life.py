"""A token on a live socket: renewed, rejected, expired, revoked."""

import httpx
import pytest

from support.bad_tokens import bad_tokens
from support.chatting import Chatter, Rest
from support.eventually import eventually
from support.hostile import Hostile, assert_problem
from support.instances import Instances, token


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
    """T12: told once, closed with 4002 at its time; a renewed one lives on."""
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
    """T16: 4502 within 5 s on every instance, by both ways in; a token that was issued later is believed."""
    a, b = await sqlite_instances.start("instance-1", "instance-2")
    old = token("alice")
    async with Chatter(a, "alice") as here, Chatter(b, "alice") as there, Chatter(b, "bob") as other:
        for instance in (a, b):
            async with Rest(instance, "bob") as rest:
                assert_problem(await rest.delete("/api/users/alice/connections"), "forbidden")
        async with Rest(a, "root", is_admin=True) as rest:
            assert (await rest.delete("/api/users/alice/connections")).status_code == 204
        for client in (here, there):
            assert await client.closed(within=5) == 4502
            assert (client.frames[-1]["code"], client.frames[-1]["retryable"]) == ("token_revoked", False)
        assert (await other.ask(type="ping"))["type"] == "pong"
        for instance in (a, b):
            async with Rest(instance, None) as rest:
                await eventually(lambda: _refuses(rest, old), within=5)
        assert (await other.ask(type="refresh", token=old))["code"] == "refresh_rejected"

    async def newer_is_believed() -> bool:
        async with Rest(b, "alice") as rest:
            return (await rest.get("/api/conversations")).status_code == 200

    await eventually(newer_is_believed, within=5)


async def _refuses(rest: httpx.AsyncClient, bearer: str) -> bool:
    answer = await rest.get("/api/conversations", headers={"Authorization": f"Bearer {bearer}"})
    if answer.status_code == 200:
        return False
    assert_problem(answer, "token_revoked")
    return True


@pytest.mark.parametrize("hello", [True, False])
async def test_a_revocation_reaches_a_socket_before_its_hello(sqlite_instances: Instances, *, hello: bool) -> None:
    """Whoever is connected, in whichever part of its life."""
    (a,) = await sqlite_instances.start("instance-1")
    client = Chatter(a, "alice")
    await client.connect(hello=hello)
    async with Rest(a, "root", is_admin=True) as rest:
        assert (await rest.delete("/api/users/alice/connections")).status_code == 204
    assert await client.closed() == 4502
