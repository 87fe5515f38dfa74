"""`holdfast chat`, as a person at a terminal uses it."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from holdfast.launcher.ports import free_port
from support.chatting import Chatter, new_conversation
from support.instances import Instances, Serving, token


async def chat(instance: Serving, conversation_id: str, bearer: str, typed: bytes) -> tuple[int, str, str]:
    """Run it until it ends by itself; its status and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "holdfast", "chat", conversation_id, "--url", instance.url),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"HOLDFAST_TOKEN": bearer},
    )
    out, err = await asyncio.wait_for(process.communicate(typed), 30)
    return process.returncode or 0, out.decode(), err.decode()


async def test_what_is_typed_is_sent_and_what_fails_is_said(sqlite_instances: Instances) -> None:
    """No traceback, whatever happens; the input's end ends it."""
    (one,) = await sqlite_instances.start("one")
    c = await new_conversation(one, "ann", "ben")
    async with Chatter(one, "ben") as ben:
        status, _, errors = await chat(one, c, token("ann"), b"hello\nthere\n")
        assert (status, errors) == (0, "")
        assert [frame["body"] for frame in ben.messages(c)] == ["hello", "there"]
    status, out, errors = await chat(one, "nowhere", token("ann"), b"hello\n")
    assert (status, errors) == (0, "")
    assert "not sent: conversation_not_found" in out
    status, _, errors = await chat(one, c, "not-a-token", b"")
    assert (status, errors) == (0, "") or (
        status == 1 and errors.startswith("holdfast chat: unauthenticated: the token is no JWT")
    )
    status, _, errors = await chat(one, "not an id", token("ann"), b"")
    assert status == 2
    assert errors.startswith("holdfast chat: CONVERSATION: ")


async def test_a_wrong_address_is_said_once_for_each_reason(tmp_path: Path) -> None:
    """It tries for ever, as a client should; in a terminal, silence would look like a conversation without messages."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "holdfast", "chat", "team", "--url", f"http://127.0.0.1:{free_port()}"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=tmp_path,
        env=os.environ | {"HOLDFAST_TOKEN": token("ann")},
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        assert line.decode().strip().startswith("cannot connect: ws://127.0.0.1:")
        assert line.endswith(b"; trying again\n")
        with pytest.raises(TimeoutError):  # several attempts later
            await asyncio.wait_for(process.stdout.readline(), 4)
    finally:
        process.kill()
        await process.wait()
