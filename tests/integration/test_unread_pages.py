"""Pages of history that a member asks for and does not read."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest

from support.chatting import Chatter, Rest
from support.eventually import eventually
from support.hostile import Hostile, rss_bytes
from support.instances import Instances, token
from support.raw_socket import Raw

_MESSAGES, _BODY, _WRITERS = 200, "x" * 16_000, 8
_CONNECTIONS = 90
_MAX_GROWTH_BYTES = 150 * 1024 * 1024  # unbounded, the answers take 290 MB, and as much again on their way
_ENDED_SECONDS = 40.0  # 10 are promised, on a machine that has time
_TCP_CLOSE = 7  # a state in `struct tcp_info` (linux/tcp.h)


@dataclass(frozen=True)
class _History:
    """A conversation with 200 messages of 16 KB, and two members who have asked for nothing yet."""

    conversation_id: str
    one: str
    other: str


@pytest.fixture(scope="module")
def history(hostile_session: Hostile) -> _History:
    """Written once: it is 3 MB."""
    return asyncio.run(_written(hostile_session))


async def _written(hostile: Hostile) -> _History:
    """An administrator writes as a member: the limit of sends is none of these tests'."""
    one, other = hostile.user(), hostile.user()
    c = await hostile.conversation(one, other)
    async with Rest(hostile.serving, hostile.user(), is_admin=True) as rest, asyncio.TaskGroup() as group:

        async def write(numbers: range) -> None:
            for number in numbers:
                document = {"client_message_id": f"m{number}", "body": _BODY, "sender": one}
                answer = await rest.post(f"/api/conversations/{c}/messages", json=document)
                assert answer.status_code == 201, answer.text

        for first in range(_WRITERS):
            group.create_task(write(range(first, _MESSAGES, _WRITERS)))
    return _History(c, one, other)


@asynccontextmanager
async def _unread(hostile: Hostile, user: str, history: _History, pages: int) -> AsyncIterator[Raw]:
    """A connection that asks for so many pages and reads nothing."""
    path = f"/api/conversations/{history.conversation_id}/messages?limit=200"
    async with Raw(hostile.serving) as client:
        client.writer.transport.pause_reading()
        client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(user)}\r\n\r\n".encode() * pages)
        yield client


async def _pages_served(hostile: Hostile) -> float:
    """Calls for pages that were answered, or refused."""
    async with httpx.AsyncClient(verify=False, trust_env=False) as client:
        lines = (await client.get(f"{hostile.serving.internal_url}/metrics")).text.splitlines()
    start = 'holdfast_http_requests_total{method="GET",route="/api/conversations/{conversation_id}/messages"'
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(start))


def _is_ended(client: Raw) -> bool:
    """By the instance; told without a read, which would make room for what is not sent yet."""
    kernel: socket.socket = client.writer.get_extra_info("socket")
    return kernel.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSE


async def test_unread_pages_of_one_member_delay_nobody_and_take_bounded_memory(hostile: Hostile, history: _History) -> None:
    """90 of them took 550 MB; the loop stood still meanwhile, and others waited 2 to 9 s for their acknowledgements."""
    alice, bob = hostile.user(), hostile.user()
    talk = await hostile.conversation(alice, bob)
    thaws, before = hostile.serving.log().count("stood still"), rss_bytes(hostile.serving.pid)
    served = await _pages_served(hostile)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(_unread(hostile, history.one, history, 1)) for _ in range(_CONNECTIONS)]
        sender, number, is_over = await stack.enter_async_context(Chatter(hostile.serving, alice)), 0, False
        while not is_over:
            number += 1
            assert (await sender.say(talk, f"message {number}"))["type"] == "ack"
            assert rss_bytes(hostile.serving.pid) - before < _MAX_GROWTH_BYTES
            ended = sum(_is_ended(client) for client in clients)
            is_over = await _pages_served(hostile) - served + ended >= _CONNECTIONS
    assert hostile.serving.log().count("stood still") == thaws


async def test_connection_that_does_not_read_its_answers_is_ended(hostile: Hostile, history: _History) -> None:
    """What it does not read is in the memory of the instance, and nothing else would end it."""
    async with _unread(hostile, history.other, history, 8) as client:
        await eventually(lambda: _is_ended(client), within=_ENDED_SECONDS)


async def test_pages_end_by_bytes_and_lead_to_the_whole_history_in_both_directions(hostile: Hostile, history: _History) -> None:
    """A reader follows `has_more` by the outermost message of each page, and misses nothing."""
    async with Rest(hostile.serving, hostile.user(), is_admin=True) as rest:

        async def page(bound: str) -> tuple[list[int], bool, int]:
            answer = await rest.get(f"/api/conversations/{history.conversation_id}/messages?limit=200{bound}")
            body = answer.json()
            return [message["seq"] for message in body["messages"]], body["has_more"], len(answer.content)

        forward: list[int] = []
        backward: list[int] = []
        has_more, sizes = True, []
        while has_more:
            seqs, has_more, size = await page(f"&after_seq={forward[-1] if forward else 0}")
            forward += seqs
            sizes.append(size)
        has_more = True
        while has_more:
            seqs, has_more, size = await page(f"&before_seq={backward[0]}" if backward else "")
            backward[:0] = seqs
            sizes.append(size)
    assert forward == backward == list(range(1, _MESSAGES + 1))
    assert len(sizes) == 8
    assert max(sizes) < 1_100_000


async def test_conversation_list_ends_by_bytes_and_goes_on_where_it_ended(sqlite_instances: Instances) -> None:
    """Metadata may be large, and a list has as many as 200."""
    (one,) = await sqlite_instances.start("one", HOLDFAST_LIMITS__METADATA_BYTES="65536")
    ids = [f"c{number}" for number in range(20)]
    async with Rest(one, "ann") as rest:
        for c in ids:
            document = {"members": [], "conversation_id": c, "metadata": {"text": "x" * 60_000}}
            assert (await rest.post("/api/conversations", json=document)).status_code == 201
        found, cursor, sizes = list[str](), "", list[int]()
        while cursor is not None:
            answer = await rest.get(f"/api/conversations?limit=200{cursor and '&cursor=' + cursor}")
            page = answer.json()
            found += [each["conversation_id"] for each in page["conversations"]]
            sizes.append(len(answer.content))
            cursor = page["next_cursor"]
    assert found == ids[::-1]
    assert len(sizes) == 2
    assert max(sizes) < 1_100_000
