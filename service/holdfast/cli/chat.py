"""`holdfast chat`: a conversation in the terminal, to see what a client sees while things fail.

Typed lines are sent; incoming messages are printed, with the instance at the other end whenever that changes. Ctrl-D ends it.
"""

import argparse
import asyncio
import concurrent.futures
import contextlib
import os
import sys
import threading

from holdfast.client import Client, ClientStopped, Connected, Disconnected, SendFailed, Unreachable
from holdfast.domain import ids
from holdfast.errors import ConfigurationError, InvalidRequest
from holdfast.protocol import frames

_TOKEN = "HOLDFAST_TOKEN"  # noqa: S105 - the name of a variable
_MAX_LINE = 16_384
_MAX_REASONS = 16  # each address has one or two


def run(args: argparse.Namespace) -> int:
    """Chat until the input ends; 1 when the service tells us not to come back."""
    try:
        conversation_id = ids.conversation_id(args.conversation)
    except InvalidRequest as error:
        raise ConfigurationError(f"CONVERSATION: {error.detail}") from None
    token = os.environ.get(_TOKEN) or _signed_here(args)
    try:
        client = Client(args.url, token, name="holdfast-chat")
    except ValueError as error:
        raise ConfigurationError(f"--url: {error}") from None
    try:
        asyncio.run(_chat(client, conversation_id))
    except ClientStopped as stopped:
        print(f"holdfast chat: {stopped}", file=sys.stderr)
        return 1
    return 0


def _signed_here(args: argparse.Namespace) -> str:
    if not args.user:
        raise ConfigurationError(f"whose conversation? --user NAME where a local secret is, or a token in {_TOKEN}")
    from holdfast.cli.token import local_token  # here: it needs the server's packages, which a client alone lacks

    return local_token(args.user, args.data)


async def _chat(client: Client, conversation_id: str) -> None:
    async with client:
        tasks = [
            asyncio.create_task(work)
            for work in (_show_messages(client, conversation_id), _show_events(client), _say(client, conversation_id))
        ]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        next(iter(done)).result()


async def _show_messages(client: Client, conversation_id: str) -> None:
    async for message in client.messages():
        if message.conversation_id == conversation_id:
            print(f"{message.seq:>6}  {message.sender}: {_plain(message.body)}", flush=True)


async def _show_events(client: Client) -> None:
    told: set[str] = set()  # reasons since the last connection: each once, however often it is tried
    async for event in client.events():
        match event:
            case Unreachable() if event.detail not in told and len(told) < _MAX_REASONS:
                told.add(event.detail)
                print(f"        cannot connect: {_plain(event.detail)}; trying again", flush=True)
            case Connected():
                told.clear()
                print(f"        connected to {event.instance_id}", flush=True)
            case Disconnected():
                print(f"        disconnected ({event.code}), connecting again", flush=True)
            case frames.Degraded():
                print(f"        degraded: without {', '.join(event.dependencies)}", flush=True)
            case frames.Restored():
                print(f"        restored: {', '.join(event.dependencies)}", flush=True)
            case frames.PresenceNotice():
                print(f"        {event.user_id} is {'online' if event.online else 'offline'}", flush=True)


async def _say(client: Client, conversation_id: str) -> None:
    lines: asyncio.Queue[str | None] = asyncio.Queue(1)
    threading.Thread(target=_read_lines, args=(asyncio.get_running_loop(), lines), daemon=True).start()
    while (body := await lines.get()) is not None:
        if not body:
            continue
        try:
            await client.send(conversation_id, body)
        except SendFailed as error:
            print(f"        not sent: {error}", flush=True)


def _read_lines(loop: asyncio.AbstractEventLoop, lines: "asyncio.Queue[str | None]") -> None:
    """In a thread of its own, because standard input may be a file, a pipe or a terminal; one line waits at a time."""
    with contextlib.suppress(RuntimeError, concurrent.futures.CancelledError):  # the loop has ended
        while line := sys.stdin.readline(_MAX_LINE):
            asyncio.run_coroutine_threadsafe(lines.put(line.rstrip("\n")), loop).result()
        asyncio.run_coroutine_threadsafe(lines.put(None), loop).result()


def _plain(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
