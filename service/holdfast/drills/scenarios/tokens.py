"""The tokens of a user are revoked, with Redis and without it."""

import asyncio
import contextlib
from functools import partial
from typing import Final

from holdfast.client import Client
from holdfast.drills.crowd import listening
from holdfast.drills.drill import Drill
from holdfast.drills.stage import LocalStage

_LEEWAY_SECONDS: Final = 2.0
_AHEAD_SECONDS: Final = 1.5  # of an issuer whose clock is within the leeway
_EVERYWHERE_SECONDS: Final = 5.0
_LOGIN_SECONDS: Final = _LEEWAY_SECONDS + 1.0 + 2.0  # as documented, and the client's back-off
_SETTLED_SECONDS: Final = 2 * _LEEWAY_SECONDS + 1.0 + 1.0
_CONNECTED_SECONDS: Final = 15.0
_DEGRADED_SECONDS: Final = 5.0
_HEALTHY_SECONDS: Final = 15.0


async def _revoke(stage: LocalStage) -> None:
    """With Redis there is no fault at all: everybody else goes on as in calm."""
    await _revoke_one(stage, "with Redis")
    async with stage.fault("redis-delete"):
        stage.target.redis.kill()
        await stage.expect("degraded", _DEGRADED_SECONDS, partial(stage.every, stage.instances, "degraded"))
        await _revoke_one(stage, "without Redis")
        await stage.target.redis.start()
    await stage.expect("healthy", _HEALTHY_SECONDS, partial(stage.every, stage.instances, "healthy"))


async def _revoke_one(stage: LocalStage, when: str) -> None:
    """A user is connected to every instance, with a token of each of two issuers; an administrator asks one instance."""
    user = stage.stranger("revoked")
    tokens = [stage.target.token(user), stage.target.token(user, ahead_seconds=_AHEAD_SECONDS)]
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(listening(Client([instance.url], token)))
            for instance in stage.instances
            for token in tokens
        ]
        async with asyncio.timeout(_CONNECTED_SECONDS):
            await asyncio.gather(*(client.connected() for client in clients))
        path, admin = f"/api/users/{user}/connections", stage.target.token("operator", is_admin=True)
        answer = await stage.crowd.calls.once(stage.instances[0].url, admin, "DELETE", path)
        stage.require(f"{when}: revocations that failed", answer is None or not answer.is_success, 0)
        await asyncio.gather(
            stage.expect(f"{when}: every socket is closed", _EVERYWHERE_SECONDS, lambda: not any(c.instance_id for c in clients)),
            stage.expect(f"{when}: refused everywhere", _EVERYWHERE_SECONDS, partial(_are_refused, stage, tokens, "")),
            stage.expect(f"{when}: refused for good", _SETTLED_SECONDS, partial(_are_refused, stage, tokens, "token_revoked")),
            _login(stage, when, user),
        )
    stage.require(f"{when}: old tokens accepted in the end", not await _are_refused(stage, tokens, "token_revoked"), 0)


async def _login(stage: LocalStage, when: str, user: str) -> None:
    """At once, by a client that gets a new token for each attempt."""

    async def token() -> str:
        return stage.target.token(user)

    async with listening(Client(stage.target.urls(), token)) as client:
        await stage.expect(f"{when}: a new login works", _LOGIN_SECONDS, lambda: bool(client.instance_id))


async def _are_refused(stage: LocalStage, tokens: list[str], code: str) -> bool:
    """Whether every instance refuses each of them, with that code where one is named."""
    calls = [
        stage.crowd.calls.once(instance.url, token, "GET", "/api/conversations")
        for instance in stage.instances
        for token in tokens
    ]
    answers = await asyncio.gather(*calls)
    refusals = [answer for answer in answers if answer is not None and answer.status == 401]
    return len(refusals) == len(answers) and all(not code or answer.code == code for answer in refusals)


DRILLS = (
    Drill(
        "revoke",
        "F25: the tokens of a user are revoked, with Redis and without it",
        _revoke,
        settings={"HOLDFAST_AUTH__LEEWAY_SECONDS": str(_LEEWAY_SECONDS)},
    ),
)
