"""What the histogram of an instance says of its deliveries is what its clients measured, also when it matters: without Redis."""

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from support.chatting import Chatter, new_conversation
from support.eventually import eventually
from support.instances import Instances, Serving
from support.redis_server import RedisServer
from support.trickle import Trickle

BOUNDS_SECONDS = (0.1, 0.25, 0.5, 1.0, 3.0)
MESSAGES = 150  # with Redis, and as many without it
ELSEWHERE = ("bus", "gap_fill", "poll", "again")
_SAMPLE = re.compile(r'holdfast_delivery_latency_seconds_bucket\{le="([^"]+)",path="(\w+)"\} (\S+)')


class Stamped(list[Any]):
    """A list that remembers when each message came, by its position."""

    def __init__(self) -> None:
        super().__init__()
        self.came_at: dict[int, float] = {}

    def append(self, frame: Any) -> None:
        """As a list does."""
        super().append(frame)
        if frame["type"] == "message":
            self.came_at[frame["seq"]] = time.monotonic()


async def over(instance: Serving, *paths: str) -> tuple[int, list[int]]:
    """How many deliveries by these paths were observed, and how many of them took longer than each bound."""
    async with httpx.AsyncClient(verify=False) as client:
        text = (await client.get(f"{instance.internal_url}/metrics")).text
    upto: dict[str, float] = {}
    for bound, path, count in _SAMPLE.findall(text):
        if path in paths:
            upto[bound] = upto.get(bound, 0.0) + float(count)
    total = int(upto["+Inf"])
    return total, [total - int(upto[str(bound)]) for bound in BOUNDS_SECONDS]


@pytest.mark.parametrize("lose", [RedisServer.kill, RedisServer.freeze], ids=["killed", "stopped"])
async def test_histogram_of_deliveries_is_what_clients_measured(
    instances: Instances, redis7: RedisServer, lose: Callable[[RedisServer], None]
) -> None:
    """An SRE believes the histogram: it said that all was fast while clients waited seconds for the store to be polled."""
    a, b = await instances.start("one", "two")
    c = await new_conversation(a, "teller", "ann", "ben", "cid")
    far, near = [Chatter(b, name) for name in ("ann", "ben")], Chatter(a, "cid")
    for chatter in (*far, near):
        chatter.frames = Stamped()
        await chatter.connect()
    async with Trickle([a], "teller", c) as trickle:
        await eventually(lambda: len(trickle.acked) >= MESSAGES, within=30)
        lose(redis7)
        await eventually(lambda: len(trickle.acked) >= 2 * MESSAGES, within=60)
    sent = {each.seq: each for each in trickle.acked}
    for instance, chatters, paths in ((a, [near], ("local",)), (b, far, ELSEWHERE)):
        expected = len(sent) * len(chatters)

        async def has_all(chatters: list[Chatter] = chatters) -> bool:
            return all(len(chatter.seqs(c)) == len(sent) for chatter in chatters)

        await eventually(has_all, within=20)
        came = [(sent[seq], came_at) for chatter in chatters for seq, came_at in _came(chatter).items()]
        count, slower = await over(instance, *paths)
        assert count == expected == len(came)
        for bound, said in zip(BOUNDS_SECONDS, slower, strict=True):
            # Accepted it was after it was sent and before it was acknowledged; on a busy machine these lie apart.
            most = sum(came_at - message.invoked_at > bound for message, came_at in came)
            least = sum(came_at - message.acked_at > bound for message, came_at in came)
            assert least / expected - 0.05 <= said / expected <= most / expected + 0.05, (bound, least, said, most, expected)
    assert any(came_at - message.acked_at > 0.25 for message, came_at in came), "what is compared is more than noughts"
    await asyncio.gather(*(chatter.close() for chatter in (*far, near)))


def _came(chatter: Chatter) -> dict[int, float]:
    assert isinstance(chatter.frames, Stamped)
    return chatter.frames.came_at
