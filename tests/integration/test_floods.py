"""Clients that try to exhaust an instance: each is cut, memory stays where it was, and others are served meanwhile."""

import asyncio
import json
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import httpx
import pytest

from support.chatting import Chatter, new_conversation
from support.eventually import eventually
from support.hostile import Hostile, rss_bytes
from support.instances import Instances, Serving, token
from support.raw_socket import CONTINUATION, PING, TEXT, Raw, ws_frame

CUT_SECONDS = 10
_TRIES = 5
TCP_CLOSE = 7  # a state in `struct tcp_info` (linux/tcp.h)
MAX_GROWTH_BYTES = 10 * 1024 * 1024
UNLIMITED = {f"HOLDFAST_LIMITS__{name}": "0" for name in ("SENDS_PER_SECOND", "FRAMES_PER_SECOND")} | {
    "HOLDFAST_LIMITS__INFLIGHT_SENDS": "100000"
}

PING_FLOOD = ws_frame(PING, b"x" * 125) * 200
FRAGMENT_FLOOD = ws_frame(CONTINUATION, fin=False) * 500
TEXT_FLOOD = ws_frame(TEXT, b'{"type":"ping","ref":"flood"}') * 200
GARBAGE_FLOOD = ws_frame(TEXT, b'{"type":"send","ref":"' + b"x" * 2_000) * 20
BIG_FLOOD = ws_frame(TEXT, b'{"type":"' + b"x" * 131_000 + b'"}')


@asynccontextmanager
async def _served_meanwhile(serving: Serving, conversation_id: str, alice: str, bob: str) -> AsyncIterator[None]:
    """Two others talk to each other while the block runs: everything arrives, in order; memory does not grow."""
    async with Chatter(serving, alice) as sender, Chatter(serving, bob) as receiver:
        before = rss_bytes(serving.pid)
        is_over = asyncio.Event()

        async def talk() -> int:
            count = 0
            while not is_over.is_set() or count < 5:
                count += 1
                await _insist(sender, conversation_id, f"message {count}")
            return count

        talking = asyncio.create_task(talk())
        try:
            yield
        finally:
            is_over.set()
            count = await talking
        await receiver.receive("message", seq=count)
        assert receiver.seqs(conversation_id) == list(range(1, count + 1))
        growth = rss_bytes(serving.pid) - before
        assert growth < MAX_GROWTH_BYTES, f"grew by {growth / 1e6:.1f} MB"


async def _insist(sender: Chatter, conversation_id: str, body: str) -> None:
    """Send until it is acknowledged, as clients do: a disk that is slow for a moment is not what is tested here."""
    key = str(uuid.uuid4())
    for _ in range(_TRIES):
        answer = await sender.say(conversation_id, body, client_message_id=key)
        if answer["type"] == "ack":
            return
        assert answer["code"] == "store_unavailable", answer
    raise AssertionError(f"{_TRIES} times in a row: {answer}")


async def _flood(client: Raw, data: bytes) -> None:
    """Send for as long as the server takes it."""
    try:
        while not client.writer.is_closing():
            client.send(data)
            await client.writer.drain()
    except ConnectionError:
        pass


async def _attack(serving: Serving, user_id: str, start: bytes, flood: bytes, *, is_reading: bool) -> tuple[int, list[str]]:
    """Flood until cut; the close code (1006 when there was none to be read) and the codes of the errors."""
    async with Raw(serving) as client:
        await client.open(token(user_id))
        client.send(start)
        async with asyncio.timeout(CUT_SECONDS):
            if not is_reading:
                await _flood(client, flood)
                return 1006, []
            flooding = asyncio.create_task(_flood(client, flood))
            code = await client.close_code()
            client.writer.transport.abort()
            await flooding
            return code, client.errors()


@pytest.mark.parametrize("is_reading", [True, False])
@pytest.mark.parametrize(
    ("start", "flood"),
    [
        (b"", PING_FLOOD),
        (ws_frame(TEXT, b"{", fin=False), FRAGMENT_FLOOD),
        (ws_frame(TEXT, b"{", fin=False), ws_frame(CONTINUATION, b" " * 10, fin=False) * 50),
        (b"", TEXT_FLOOD),
        (b"", GARBAGE_FLOOD),
        (b"", BIG_FLOOD),
    ],
    ids=["pings", "empty fragments", "a message that never ends", "texts", "garbage", "large frames"],
)
async def test_a_flood_is_cut(hostile: Hostile, start: bytes, flood: bytes, *, is_reading: bool) -> None:
    """1008 within 10 s when the close frame can be sent, a dead connection otherwise; other clients notice
    nothing."""
    alice, bob, attacker = hostile.user(), hostile.user(), hostile.user()
    c = await hostile.conversation(alice, bob)
    async with _served_meanwhile(hostile.serving, c, alice, bob):
        code, errors = await _attack(hostile.serving, attacker, start, flood, is_reading=is_reading)
    assert code in (1008, 1006)
    if code == 1008:
        assert errors[-1] == "policy_violation"


@pytest.mark.parametrize("piece", [1_000, 100_000])
async def test_an_endless_message_in_large_pieces(hostile: Hostile, piece: int) -> None:
    """Over the limit it is 1009, in whatever pieces; memory of earlier pieces is given back."""
    alice, bob, attacker = hostile.user(), hostile.user(), hostile.user()
    c = await hostile.conversation(alice, bob)
    async with _served_meanwhile(hostile.serving, c, alice, bob):
        code, errors = await _attack(
            hostile.serving,
            attacker,
            ws_frame(TEXT, b"", fin=False),
            ws_frame(CONTINUATION, b" " * piece, fin=False),
            is_reading=True,
        )
    assert (code, errors[-1:]) in ((1009, ["frame_too_large"]), (1006, []), (1006, ["frame_too_large"]))


async def test_bad_utf8_again_and_again_leaves_no_log(hostile: Hostile) -> None:
    """Each is closed with 1007; a log line for each would be a flood of its own."""
    before = hostile.serving.log()
    for _ in range(20):
        async with Raw(hostile.serving) as client:
            await client.open(token(hostile.user()))
            client.send(ws_frame(TEXT, b"\xff" * 1_000))
            assert await client.close_code() == 1007
    assert len(hostile.serving.log()[len(before) :].splitlines()) <= 1


@pytest.fixture(scope="module")
def unlimited(hostile_session: Hostile) -> Serving:
    """An instance without rates: what bounds memory must not be the bucket alone."""
    (serving,) = asyncio.run(hostile_session.instances.start("unlimited", **UNLIMITED))
    return serving


@pytest.mark.parametrize("flood", [PING_FLOOD, TEXT_FLOOD, GARBAGE_FLOOD], ids=["pings", "texts", "garbage"])
async def test_answers_that_are_not_read_do_not_pile_up(hostile: Hostile, unlimited: Serving, flood: bytes) -> None:
    """The way out is bounded, for pongs as for everything else."""
    alice, bob, attacker = hostile.user(), hostile.user(), hostile.user()
    c = await hostile.conversation(alice, bob)
    async with _served_meanwhile(unlimited, c, alice, bob):
        before = await _slow_consumers(unlimited)
        await _attack(unlimited, attacker, b"", flood, is_reading=False)
        assert await _slow_consumers(unlimited) == before + 1


def _small_window(serving: Serving) -> socket.socket:
    """A connection whose kernel takes little, so that the server's own buffer is what fills."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.connect(("127.0.0.1", serving.port))
    client.setblocking(False)
    return client


async def _say_much(sender: Chatter, conversation_id: str, count: int, is_enough: Callable[[], Awaitable[bool]]) -> int:
    """Up to `count` large messages, 20 under way at a time; how many were acknowledged."""
    sent = 0
    while sent < count and not await is_enough():
        answers = await asyncio.gather(*(sender.say(conversation_id, "x" * 16_000) for _ in range(20)))
        assert {answer["type"] for answer in answers} == {"ack"}
        sent += len(answers)
    return sent


async def test_a_client_that_never_reads(hostile: Hostile, unlimited: Serving) -> None:
    """Let go with 4000 (or without a word, since it reads none); the others and memory are not touched."""
    alice, bob, deaf = hostile.user(), hostile.user(), hostile.user()
    loud, quiet = await hostile.conversation(alice, deaf), await hostile.conversation(alice, bob)
    async with _served_meanwhile(unlimited, quiet, alice, bob), Chatter(unlimited, alice) as sender, Raw(unlimited) as client:
        client.writer.transport.abort()
        client.reader, client.writer = await asyncio.open_connection(sock=_small_window(unlimited), limit=4_096)
        await client.open(token(deaf))
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's transports can

        before = await _slow_consumers(unlimited)

        async def is_gone() -> bool:
            return await _slow_consumers(unlimited) > before

        await _say_much(sender, loud, 1_500, is_gone)
        assert await is_gone()
        await eventually(partial(_is_reset, client), within=CUT_SECONDS)
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]  # asyncio's transports can
        assert await client.close_code(CUT_SECONDS) in (4000, 1006)


def _is_reset(client: Raw) -> bool:
    """The kernel knows that it is over, though nothing more was read: the server's kernel keeps nothing for this client."""
    tcp_info = client.writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    return bool(tcp_info[0] == TCP_CLOSE)


async def _slow_consumers(serving: Serving) -> float:
    async with httpx.AsyncClient(verify=False) as prometheus:
        lines = (await prometheus.get(f"{serving.internal_url}/metrics")).text.splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("holdfast_slow_consumers_total")))


@pytest.mark.parametrize(("count", "is_cut"), [(20, False), (600, True)])
async def test_a_client_that_freezes_and_reads_again(sqlite_instances: Instances, count: int, *, is_cut: bool) -> None:
    """Nothing is lost and nothing doubled: on the same connection when it was short, after a resume when it was too long."""
    (a,) = await sqlite_instances.start("instance-1", **UNLIMITED)
    c = await new_conversation(a, "alice", "bob")
    async with Chatter(a, "alice") as sender, Raw(a) as client:
        client.writer.transport.abort()
        client.reader, client.writer = await asyncio.open_connection(sock=_small_window(a), limit=4_096)
        await client.open(token("bob"))
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's transports can
        sent = await _say_much(sender, c, count, _never)
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]  # asyncio's transports can
        await sender.say(c, "the last one")
        code = 0
        while code == 0 and _seqs(client)[-1:] != [sent + 1]:
            try:
                opcode, payload = await client.frame()
                code = int.from_bytes(payload[:2], "big") if opcode == 8 else 0
            except (asyncio.IncompleteReadError, ConnectionError):
                code = 1006
        seqs = _seqs(client)
        assert code in ((4000, 1006) if is_cut else (0,))
        assert seqs == list(range(1, len(seqs) + 1))
    for _ in range(2):  # one replay brings 500 messages at most
        resumed = await Chatter(a, "bob").connect({c: len(seqs)})
        seqs += resumed.seqs(c)
        await resumed.close()
    assert seqs == list(range(1, sent + 2))


def _seqs(client: Raw) -> list[int]:
    documents = [
        json.loads(payload) for opcode, payload in client.frames if opcode == TEXT and payload[:17] == b'{"type":"message"'
    ]
    return [document["seq"] for document in documents]


async def _never() -> bool:
    return False
