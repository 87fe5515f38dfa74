"""Metrics of a running instance: all there at the first look, and never more of them, whatever clients do."""

import contextlib
import re

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from support.chatting import Chatter, new_conversation
from support.eventually import eventually
from support.instances import Instances, Serving, token

PATHS = (
    "/api/conversations/none",
    "/api/nothing",
    "/../x",
    "/api/users/%00/presence",
    "/c/typing",
    "/livez",
    "/api/docs",
    "/%ff",
)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW")
_SERIES = re.compile(r"^(\w+(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)


async def _series(instance: Serving) -> dict[str, float]:
    async with httpx.AsyncClient(verify=False) as client:
        text = (await client.get(f"{instance.internal_url}/metrics")).text
    return {name.replace("\\", ""): float(value) for name, value in _SERIES.findall(_without_braces(text))}


def _without_braces(text: str) -> str:
    """Templates of routes have braces inside of labels."""
    return re.sub(r"\{(\w+_id)\}", r"<\1>", text)


async def test_series_are_there_from_the_start_and_hostile_clients_make_none(sqlite_instances: Instances) -> None:
    """A scanner, or a client that makes up types, codes and addresses, must not fill the memory of Prometheus."""
    (instance,) = await sqlite_instances.start("one")
    before = await _series(instance)
    c = await new_conversation(instance, "alice", "bob")
    async with httpx.AsyncClient(verify=False, base_url=instance.url) as client:
        for path in PATHS:
            for method in METHODS:
                await client.request(method, path, headers={"Authorization": f"Bearer {token('alice')}"})
    for bearer in ("none", token("alice", secret="another-secret-that-is-long-enough")):
        with contextlib.suppress(InvalidStatus):
            async with connect(instance.ws_url, additional_headers={"Authorization": f"Bearer {bearer}"}, proxy=None):
                pass
    async with Chatter(instance, "alice") as alice, Chatter(instance, "bob") as bob:
        await alice.say(c, "hello")
        await bob.receive("message", seq=1)
        for frame in ('{"type":"evil"}', "{", '{"type":"send","conversation_id":"../"}'):
            await alice.send(frame)
        assert bob._socket is not None
        await bob._socket.close(3999, "made up")
    after = await _series(instance)
    assert set(after) == set(before)
    assert after['holdfast_delivery_latency_seconds_count{path="local"}'] == 2

    async def are_closed() -> bool:
        return (await _series(instance))['holdfast_connections_closed_total{code="other",initiator="client"}'] == 1

    await eventually(are_closed)


async def test_close_that_the_client_answers_is_counted_as_the_instances(sqlite_instances: Instances) -> None:
    """Polite clients repeat the code of a close frame; the alert on a drain that has to close its connections counts these."""
    (instance,) = await sqlite_instances.start("one")
    async with Chatter(instance, "alice") as alice:
        await alice.send(b"not text")
        assert await alice.closed() == 1003

    async def is_counted() -> bool:
        return (await _series(instance))['holdfast_connections_closed_total{code="1003",initiator="server"}'] == 1

    await eventually(is_counted)
