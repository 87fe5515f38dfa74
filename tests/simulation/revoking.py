"""One token of a user is revoked: its connections end, no instance accepts it, and the user's other devices notice nothing."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from holdfast.drills.calls import Answer
from simulation import rest
from simulation.devices import KINDS, Device
from simulation.failures import Failures
from simulation.faults import Fault, rng_of

_EVERYWHERE_SECONDS: Final = 6.0  # 5 s, and a call
_ADMIN: Final = "admin"


async def _revoke(failures: Failures, fault: Fault) -> None:
    """By its bearer, or by an administrator. `lasts`: how long the device with that token is there before."""
    context, rng = failures.context, rng_of(fault, failures.context.seed)
    user = rng.choice(failures.people.users)
    token = context.token(user)
    name = f"{user}-guest-{fault.at:g}"
    guest = Device(replace(context, token=lambda _: token), user, name, rng.choice(KINDS))
    guest.cursors = rng.choice([None, {}])
    guest.start(rng.randrange(100))
    await asyncio.sleep(fault.lasts)
    mine = failures.people.rooms.of(user)
    if mine:
        number = next(context.numbers)
        guest.say(rng.choice(mine), f"{user} says {number} as a guest", f"k{number}")
    answer = await _revoked(failures, user, token, is_by_admin=rng.random() < 0.5)
    if answer.is_success:
        await asyncio.sleep(_EVERYWHERE_SECONDS)
        await _refused_everywhere(failures, name, user, token)
        if guest.watched.open:
            context.history.device(name, user).record("protocol", code="its token was revoked, and it is connected")
    if guest.is_over:
        guest.watched.end()
    else:
        await guest.close()


async def _revoked(failures: Failures, user: str, token: str, *, is_by_admin: bool) -> Answer:
    urls = failures.cluster.urls
    if not is_by_admin:
        return await rest.insist(urls, lambda: token, "DELETE", "/api/tokens/current")
    claims = _claims(token)
    path = f"/api/users/{user}/tokens/{quote(claims['jti'])}?exp={claims['exp']}"
    return await rest.insist(urls, lambda: failures.cluster.token(_ADMIN, is_admin=True), "DELETE", path)


async def _refused_everywhere(failures: Failures, name: str, user: str, token: str) -> None:
    for instance in failures.cluster.instances.values():
        answer = await rest.call(instance.url, token, "GET", "/api/conversations")
        if answer.is_success:
            told = f"its token was revoked, and {instance.name} accepts it"
            failures.context.history.device(name, user).record("protocol", code=told)


def _claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


REVOKING_FAILURES: Final[Mapping[str, Callable[[Failures, Fault], Awaitable[None]]]] = {"revoke-token": _revoke}
