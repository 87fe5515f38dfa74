"""New connections that lead to another Redis server than the older ones."""

import asyncio
from typing import cast

import pytest
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoPermissionError

from holdfast.adapters.redis.one_server import OneServer
from holdfast.adapters.redis.wire import Wire
from support.eventually import eventually


class _Connection:
    """A new connection; `reply`: to INFO."""

    def __init__(self, reply: object) -> None:
        self._reply = reply

    async def send_command(self, *_command: str) -> None:
        pass

    async def read_response(self, *, disable_decoding: bool) -> object:
        assert disable_decoding
        if isinstance(self._reply, Exception):
            raise self._reply
        return self._reply


class _Pool:
    """`marked`: how often the connections in use were; `gate`: the marking waits for it."""

    def __init__(self) -> None:
        self.marked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def update_active_connections_for_reconnect(self) -> None:
        await self.gate.wait()
        self.marked += 1

    async def disconnect(self, *, inuse_connections: bool) -> None:
        assert not inuse_connections


class _Wire:
    aborted = 0

    def abort(self) -> None:
        self.aborted += 1


class _Scene:
    def __init__(self) -> None:
        self.server, self.pool, self.wire = OneServer(), _Pool(), _Wire()
        self.server.opened("publish", cast("Wire", self.wire))

    async def meet(self, reply: object) -> None:
        await self.server.met(cast("AbstractConnection", _Connection(reply)), cast("BlockingConnectionPool", self.pool))

    async def meet_run(self, run_id: str) -> None:
        await self.meet(b"# Server\r\nrun_id:" + run_id.encode() + b"\r\n")


async def test_older_connections_end_when_a_new_one_meets_another_server() -> None:
    """The first server, and the same one again, end nothing."""
    scene = _Scene()
    await scene.meet_run("a")
    await scene.meet_run("a")
    assert (scene.wire.aborted, scene.pool.marked) == (0, 0)
    await scene.meet_run("b")
    assert (scene.wire.aborted, scene.pool.marked) == (1, 1)


@pytest.mark.parametrize("reply", [NoPermissionError("INFO"), None, 7, b"", b"run_id:"], ids=repr)
async def test_reply_that_names_no_server_ends_nothing(reply: object) -> None:
    """An ACL may forbid INFO, and what answers may be no Redis."""
    scene = _Scene()
    await scene.meet_run("a")
    await scene.meet(reply)
    assert (scene.wire.aborted, scene.pool.marked) == (0, 0)


async def test_ending_that_was_cancelled_is_done_by_the_next_new_connection() -> None:
    """A handshake has a deadline: connections in use would stay at the old server for as long as they live."""
    scene = _Scene()
    await scene.meet_run("a")
    scene.pool.gate.clear()
    meeting = asyncio.create_task(scene.meet_run("b"))
    await eventually(lambda: scene.wire.aborted)
    meeting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await meeting
    scene.pool.gate.set()
    await scene.meet_run("b")
    assert scene.pool.marked == 1


async def test_a_name_that_leads_to_two_servers_is_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """Every connection to the other server ends the older ones, and the log stays readable."""
    scene = _Scene()
    for run_id in "abab":
        await scene.meet_run(run_id)
    assert scene.pool.marked == 3
    assert len(caplog.records) == 1
