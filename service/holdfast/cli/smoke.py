"""`holdfast smoke URL`: checks a deployment with two users, a message each way, and its health.

`helm test` runs it. It leaves a conversation `smoke-…` behind and nothing else. Exit code 1 names the step that failed.
"""

import argparse
import asyncio
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx

from holdfast.cli.token import local_token
from holdfast.client import Client, ClientStopped, Message, SendFailed

_SECONDS: Final = 20.0
_TRIES: Final = 12  # connections until the two are at different instances; where there is one, they never are


class _Failed(Exception):
    """A step did not do what it should."""


def run(args: argparse.Namespace) -> int:
    """Have the conversation."""
    try:
        asyncio.run(_smoke(args))
    except (_Failed, ClientStopped, SendFailed, httpx.HTTPError, TimeoutError) as error:
        print(f"holdfast smoke: {str(error) or type(error).__name__}", file=sys.stderr)
        return 1
    return 0


async def _smoke(args: argparse.Namespace) -> None:
    url = args.url.rstrip("/")
    if not args.health_only:
        await _converse(url, args.data, must_be_apart=args.across)
    async with httpx.AsyncClient(trust_env=False, timeout=_SECONDS) as http:
        health = (await http.get(f"{url}/api/health")).json()
    if health["status"] != "healthy":
        raise _Failed(f"health says {health['status']}: {health['services']}")
    print(f"healthy: {', '.join(health['services'])}")


async def _converse(url: str, data: Path | None, *, must_be_apart: bool) -> None:
    run_id = secrets.token_hex(4)
    ann, ben, conversation = f"smoke-ann-{run_id}", f"smoke-ben-{run_id}", f"smoke-{run_id}"
    tokens = {user: local_token(user, data) for user in (ann, ben)}
    await _create(url, tokens[ann], conversation, ann, ben)
    async with _connected(url, tokens[ann]) as one, _elsewhere(url, tokens[ben], one.instance_id) as other:
        print(f"connected to {one.instance_id} and {other.instance_id}")
        if must_be_apart and one.instance_id == other.instance_id:
            raise _Failed(f"{_TRIES} connections in a row led to {one.instance_id}")
        await _exchange(one, other, conversation, "there")
        await _exchange(other, one, conversation, "and back")


async def _create(url: str, token: str, conversation: str, *members: str) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=_SECONDS) as http:
        body = {"conversation_id": conversation, "members": list(members)}
        answer = await http.post(f"{url}/api/conversations", json=body, headers={"Authorization": f"Bearer {token}"})
    if answer.status_code != 201:
        raise _Failed(f"a conversation cannot be created: {answer.status_code} {answer.text[:300]}")


@asynccontextmanager
async def _elsewhere(url: str, token: str, instance_id: str) -> AsyncIterator[Client]:
    """At another instance than that, if it can be had: there may be no other."""
    for attempt in range(_TRIES):
        async with _connected(url, token) as client:
            if client.instance_id != instance_id or attempt == _TRIES - 1:
                yield client
                return


@asynccontextmanager
async def _connected(url: str, token: str) -> AsyncIterator[Client]:
    async with Client([url], token, cursors={}) as client:
        async with asyncio.timeout(_SECONDS):
            await client.connected()
        yield client


async def _exchange(sender: Client, receiver: Client, conversation: str, body: str) -> None:
    await sender.send(conversation, body)
    async with asyncio.timeout(_SECONDS):
        message = await _next(receiver, conversation, body)
    print(f"{sender.instance_id} -> {receiver.instance_id}: seq {message.seq}")


async def _next(client: Client, conversation: str, body: str) -> Message:
    async for message in client.messages():
        if message.conversation_id == conversation and message.body == body:
            return message
    raise _Failed("the client was closed")
