"""Hostile HTTP without a token: bytes that belong to no request, too many requests at once, requests that never end."""

import asyncio
import contextlib

import pytest

from support.hostile import Hostile, rss_bytes
from support.raw_socket import Raw

CUT_SECONDS = 15
MAX_GROWTH_BYTES = 10 * 1024 * 1024
POST = b"POST /api/conversations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


async def _ended(client: Raw) -> None:
    """The server has closed the connection; whatever it said before is taken."""
    with contextlib.suppress(ConnectionError):
        while await client.reader.read(65_536):
            pass


@pytest.mark.parametrize(
    ("start", "flood"),
    [
        (CHUNKED + b"0\r\n", b"a:b\r\n" * 1_000),
        (CHUNKED + b"0\r\na: ", b"x" * 5_000),
        (CHUNKED + b"1;", b"x" * 5_000),
        (b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 200),
    ],
    ids=["trailers", "a trailer that never ends", "a chunk extension that never ends", "requests at once"],
)
async def test_what_is_sent_without_end_is_cut(hostile: Hostile, start: bytes, flood: bytes) -> None:
    """Before any memory is worth mentioning, looked at while it goes on."""
    before, most = rss_bytes(hostile.serving.pid), 0

    async def pour(client: Raw) -> None:
        nonlocal most
        with contextlib.suppress(ConnectionError):
            while True:  # as much as it takes, and whatever it answers
                client.send(flood)
                await client.writer.drain()
                most = max(most, rss_bytes(hostile.serving.pid))

    async with Raw(hostile.serving) as client:
        client.send(start)
        async with asyncio.timeout(CUT_SECONDS):
            await pour(client)
    assert most - before < MAX_GROWTH_BYTES


@pytest.mark.parametrize(
    "start",
    [
        POST + b"Content-Length: 9\r\n\r\n",
        POST + b"Content-Length: 9\r\n\r\n{",
        b"\r\n",
    ],
    ids=["a body that never comes", "a body that never ends", "a request that never begins"],
)
async def test_what_does_not_go_on_is_ended(hostile: Hostile, start: bytes) -> None:
    """Answered or not, it does not stay."""
    async with Raw(hostile.serving) as client:
        client.send(start)
        async with asyncio.timeout(CUT_SECONDS):
            await _ended(client)


async def test_a_byte_after_the_answer_does_not_keep_a_connection(hostile: Hostile) -> None:
    """The 401 came before the body did; the connection waits for no more than the rest of it."""
    async with Raw(hostile.serving) as client:
        client.send(POST + b"Content-Length: 9\r\n\r\n")
        assert (await client.answer()).status == 401
        client.send(b"{")
        async with asyncio.timeout(CUT_SECONDS):
            await _ended(client)
