"""The whole client against a scripted server: what its parts cannot show alone."""

import asyncio
import socket
from typing import Any

import pytest

from client_conformance import server as scripted
from client_conformance.server import Json, ScriptedServer
from holdfast.client import Client, ClientStopped, Message, backoff
from holdfast.client.tokens import Token
from support.eventually import eventually

HELLO: Json = {"receive": {"type": "hello"}}


def synced(**heads: int) -> Json:
    """The end of a replay."""
    return {"send": {"type": "synced", "heads": heads, "read_seqs": {}, "revisions": {}}}


def message(seq: int) -> Json:
    """One of the conversation `c`."""
    ids = {"conversation_id": "c", "message_id": f"{seq:012d}", "client_message_id": f"k{seq}"}
    return {"send": {"type": "message", **ids, "seq": seq, "sender": "ben", "body": "hello", "sent_at": ""}}


def of(server: ScriptedServer, token: Token = "token") -> Client:
    """A client of that server."""
    return Client([f"http://127.0.0.1:{server.port}"], token, cursors={})


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "pause", lambda _attempt, *, at_least=0.0: 0.01)


def tasks_of(client: Client) -> list["asyncio.Task[Any]"]:
    """Everything that the client has started and that has not ended."""
    return [task for task in (*client._tasks, *client._link._tasks) if not task.done()]


async def test_sends_in_five_hundred_conversations_are_all_stored() -> None:
    """64 may be unanswered; a client that writes them all at once is closed for good."""
    limits = {"sends_per_second": 2_000, "frames_per_second": 2_000}
    script = {"limits": limits, "sockets": [[{"welcome": {}}, {"serve": {"answer_after": 0.01}}]]}
    async with ScriptedServer(script) as server, of(server) as client, asyncio.timeout(30):
        await client.connected()
        await asyncio.gather(*(client.send(f"c{number}", "hello") for number in range(500)))
        assert len(server.stored) == 500
        assert [entry for entry in server.log if "too_many" in entry] == []


async def test_client_that_stopped_for_a_page_has_no_connection() -> None:
    """The token hook said so when a hole was filled: half a client would go on receiving messages that are not taken."""
    asked = 0

    async def login() -> str:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise ClientStopped("unauthenticated", "log in again")
        return "token"

    hole = {"send": {"type": "truncated", "conversation_id": "c", "from_seq": 1, "to_seq": 9}}
    script = {"rest": [{"status": 401, "text": ""}], "sockets": [[{"welcome": {}}, HELLO, hole, synced(c=9), {"serve": {}}]]}
    async with ScriptedServer(script) as server, of(server, login) as client, asyncio.timeout(30):
        with pytest.raises(ClientStopped, match="log in again"):
            await anext(client.messages())
        await eventually(lambda: not tasks_of(client))
        assert client._link.current is not None
        assert client._link.current.ended.is_set()


async def test_connection_that_ends_beside_its_replayed_successor_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The successor had said so already: nothing would ever say `Connected` again."""
    first: list[Any] = []

    async def mark(self: Any, _: object) -> None:
        first.append(self)

    async def synced_as_the_first_ends(self: Any, _: object) -> None:
        await self._do_send(synced()["send"])
        first[0]._writer.get_extra_info("socket").shutdown(socket.SHUT_WR)

    monkeypatch.setattr(scripted._Socket, "_do_mark", mark, raising=False)
    monkeypatch.setattr(scripted._Socket, "_do_overtake", synced_as_the_first_ends, raising=False)
    draining = {"send": {"type": "draining", "reconnect_after_ms": 0, "closes_in_ms": 5_000}}
    old = [{"mark": {}}, {"welcome": {}}, HELLO, synced(), draining, {"until": "the end"}]
    new = [{"welcome": {"instance_id": "new"}}, HELLO, {"overtake": {}}, {"serve": {}}]
    async with ScriptedServer({"sockets": [old, new]}) as server, of(server) as client, asyncio.timeout(30):
        events = client.events()
        await eventually(lambda: client.instance_id == "new" and len(tasks_of(client)) == 4)
        await client.connected()
        await client.send("c", "hello")
        assert [type(await anext(events)).__name__ for _ in range(2)] == ["Connected", "Connected"]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(events), 0.01)


async def test_client_whose_closing_is_cancelled_leaves_nothing_behind() -> None:
    """A deadline around a scope that is being left already: the client went on connecting, for ever."""
    script = {"sockets": [[{"welcome": {}}, HELLO, synced(), {"until": "the end"}]]}
    async with ScriptedServer(script) as server, asyncio.timeout(30):
        client = await of(server).__aenter__()
        await client.connected()
        closing = asyncio.create_task(client.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await eventually(lambda: not tasks_of(client))
        assert client._link.current is not None
        assert client._link.current.ended.is_set()


async def test_messages_go_on_after_a_timeout() -> None:
    """The end of the iterator says that the client was closed, and it was not."""
    script = {"sockets": [[{"welcome": {}}, HELLO, synced(c=0), {"until": "go on"}, message(1), {"serve": {}}]]}
    async with ScriptedServer(script) as server, of(server) as client, asyncio.timeout(30):
        messages, events = client.messages(), client.events()
        told = asyncio.create_task(anext(events))
        await client.connected()
        taken: list[Message] = []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                taken.append(await anext(messages))
        assert type(await told).__name__ == "Connected"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(events), 0.01)
        server.gate("go on").set()
        taken.append(await anext(messages))
        assert [each.seq for each in taken] == [1]
        await client.close()
        with pytest.raises(StopAsyncIteration):
            await anext(messages)
        assert [type(event).__name__ async for event in events] == ["Disconnected"]
