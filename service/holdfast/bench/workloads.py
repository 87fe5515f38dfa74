"""The measurements, each as one function of a running instance: figures out, nothing judged."""

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from msgspec import json

from holdfast.client.raw import RawClient, connect
from holdfast.launcher.costs import cpu_seconds, memory_kb

_AT_ONCE = 64


@dataclass(frozen=True)
class Target:
    """A running instance: where it listens, its process id, and tokens for any user."""

    host: str
    port: int
    pid: int
    token: Callable[[str], str]
    new_conversation: Callable[[Sequence[str]], str]


@dataclass
class Figures:
    """One measurement: name, what it measured, and how it was set up."""

    name: str
    values: dict[str, float]
    setup: dict[str, int] = field(default_factory=dict)


async def idle(target: Target, count: int) -> Figures:
    """Memory per idle connection, after everything is caught up."""
    warm = await _open(target, [f"warm{n}" for n in range(50)])
    await asyncio.sleep(1)
    before = memory_kb(target.pid)
    clients = await _open(target, [f"idle{n}" for n in range(count)])
    await asyncio.sleep(2)
    after = memory_kb(target.pid)
    _close(clients + warm)
    return Figures("idle", {"kb_per_connection": (after - before) / count, "rss_mb": after / 1024}, {"connections": count})


async def accepts(target: Target, count: int) -> Figures:
    """Handshakes with a token check, `hello` and `synced` included, each user's first connection."""
    tokens = [target.token(f"accept{n}") for n in range(count)]
    cpu, began = cpu_seconds(target.pid), time.perf_counter()
    clients = await _open(target, tokens, are_tokens=True)
    elapsed, cpu = time.perf_counter() - began, cpu_seconds(target.pid) - cpu
    _close(clients)
    return Figures("accepts", {"per_second": count / elapsed, "server_cpu_us": cpu / count * 1e6}, {"connections": count})


async def burst(target: Target, members: int, messages: int) -> Figures:
    """Deliveries in a burst: one conversation, everybody connected here, messages sent as fast as they are taken."""
    users = [f"burst{n}" for n in range(members)]
    conversation = target.new_conversation(users)
    clients = await _open(target, users)
    for client in clients:
        client.frames = 0
    cpu, began = cpu_seconds(target.pid), time.perf_counter()
    for number in range(messages):
        clients[number % members].send(_send(conversation, f"message {number} of a burst"))
    total = members * messages
    while sum(client.frames for client in clients) < total + messages:  # every message once, and its ack to the sender
        await asyncio.sleep(0.01)
        if time.perf_counter() - began > 60:
            break
    elapsed, cpu = time.perf_counter() - began, cpu_seconds(target.pid) - cpu
    delivered = sum(client.frames for client in clients) - messages
    _close(clients)
    values = {
        "deliveries_per_second": delivered / elapsed,
        "deliveries_per_core_second": delivered / cpu,
        "delivered_share": delivered / total,
    }
    return Figures("burst", values, {"members": members, "messages": messages})


async def acks(target: Target, senders: int, seconds: float) -> Figures:
    """Acknowledged messages a second in one conversation, each sender with one in flight; latency in ms."""
    users = [f"ack{n}" for n in range(senders)]
    conversation = target.new_conversation(users)
    latencies: list[float] = []
    finish = time.perf_counter() + seconds
    clients = await asyncio.gather(*(_sender(target, user, conversation, latencies, finish) for user in users))
    began = time.perf_counter()
    cpu = cpu_seconds(target.pid)
    for client, start in clients:
        start()
        client.frames = 0
    await asyncio.sleep(max(0.0, finish - time.perf_counter()) + 0.5)
    elapsed = time.perf_counter() - began - 0.5
    cpu = cpu_seconds(target.pid) - cpu
    _close([client for client, _ in clients])
    latencies.sort()
    values = {
        "acks_per_second": len(latencies) / elapsed,
        "ack_p50_ms": _quantile(latencies, 0.5) * 1000,
        "ack_p99_ms": _quantile(latencies, 0.99) * 1000,
        "server_cpu_us_per_message": cpu / max(1, len(latencies)) * 1e6,
    }
    return Figures("acks", values, {"senders": senders})


async def _sender(
    target: Target, user: str, conversation: str, latencies: list[float], finish: float
) -> tuple[RawClient, Callable[[], None]]:
    """A client that sends its next message when the last one is acknowledged."""
    sent_at = 0.0
    client: RawClient

    def send() -> None:
        nonlocal sent_at
        sent_at = time.perf_counter()
        client.send(_send(conversation, "how long does it take?"))

    def on_frame(payload: bytes) -> None:
        if payload.startswith(b'{"type":"ack"'):
            now = time.perf_counter()
            latencies.append(now - sent_at)
            if now < finish:
                send()
        elif payload.startswith(b'{"type":"error"'):
            raise RuntimeError(json.decode(payload))

    client = await connect(target.host, target.port, target.token(user), on_frame=on_frame)
    return client, send


async def _open(target: Target, who: Sequence[str], *, are_tokens: bool = False) -> list[RawClient]:
    tokens = who if are_tokens else [target.token(user) for user in who]
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(token: str) -> RawClient:
        async with gate:
            return await connect(target.host, target.port, token)

    return list(await asyncio.gather(*(one(token) for token in tokens)))


def _close(clients: Sequence[RawClient]) -> None:
    for client in clients:
        client.close()


def _send(conversation: str, body: str) -> dict[str, object]:
    return {"type": "send", "conversation_id": conversation, "client_message_id": uuid.uuid4().hex, "body": body}


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
