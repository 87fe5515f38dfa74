"""A small cluster with a few users who write every second: to compare runs, and to measure how fast they are.

`PYTHONPATH=tests python -m simulation.chatter SECONDS SEED…` from the project's root prints all that clients were told.
"""

import asyncio
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx

from holdfast.client import Client, ClientStopped
from simulation.cluster import Cluster, StoreKind, redis_servers
from simulation.loop import SimulatedLoop
from simulation.patching import simulated
from simulation.process import Process

CONVERSATION = "everyone"
Recorded = list[tuple[float, str, str, dict[str, Any]]]
"""Virtual time, user, event and its fields."""


class _Observer:
    """A client's `Observer`: keeps what it is told."""

    def __init__(self, loop: SimulatedLoop, user_id: str, events: Recorded) -> None:
        self._loop = loop
        self._user_id = user_id
        self._events = events

    def record(self, event: str, **fields: Any) -> None:
        """See `client.events.Observer`."""
        self._events.append((self._loop.now, self._user_id, event, fields))


@dataclass
class Chatter:
    """Users of one conversation, each with one device; `start` them when the cluster serves.

    Attributes:
        events: all that their clients recorded, in the order of virtual time.
        processes: user -> the process of the device.
        sent: how many messages were acknowledged.
    """

    cluster: Cluster
    users: tuple[str, ...]
    period_seconds: float = 1.0
    events: Recorded = field(default_factory=list)
    processes: dict[str, Process] = field(default_factory=dict)
    clients: dict[str, Client] = field(default_factory=dict)
    sent: int = 0
    is_over: bool = False

    async def start(self) -> None:
        """Create the conversation by REST and connect all."""
        loop = self.cluster.loop
        self.processes = {user: loop.process(f"device-{user}") for user in self.users}
        await self.processes[self.users[0]].spawn(self._create())
        for number, user in enumerate(self.users):
            self.processes[user].spawn(self._live(user, number))

    def shown(self, user: str) -> list[tuple[int, str]]:
        """(seq, body) of the messages that a user was shown, in their order."""
        return [(fields["seq"], fields["body"]) for _, who, event, fields in self.events if (who, event) == (user, "shown")]

    async def _create(self) -> None:
        headers = {"Authorization": f"Bearer {self.cluster.token(self.users[0])}"}
        body = {"conversation_id": CONVERSATION, "members": list(self.users), "title": "Everyone"}
        async with httpx.AsyncClient(trust_env=False, headers=headers) as http:
            answer = await http.post(f"{self.cluster.urls[0]}/api/conversations", json=body)
            assert answer.status_code == 201, answer.text

    async def _live(self, user: str, number: int) -> None:
        urls = self.cluster.urls
        first = number % len(urls)
        observer = _Observer(self.cluster.loop, user, self.events)
        token = self.cluster.token(user)
        async with Client([*urls[first:], *urls[:first]], token, cursors={}, observer=observer, name=user) as client:
            self.clients[user] = client
            writing = asyncio.create_task(self._write(client, user))
            try:
                async for _ in client.messages():
                    pass
            finally:
                writing.cancel()

    async def _write(self, client: Client, user: str) -> None:
        await client.connected()
        number = 0
        try:
            while not self.is_over:
                await asyncio.sleep(self.period_seconds)  # virtual time: the pace of the load
                number += 1
                await client.send(CONVERSATION, f"{user} says {number}")
                self.sent += 1
        except ClientStopped:
            return


def chat(seed: int, seconds: float, users: int = 6, store: StoreKind = "sqlite") -> Iterable[str]:
    """All that clients were told in one run, a line of JSON each. An instance and Redis are killed and started again in it."""
    with simulated(seed) as loop:
        cluster = Cluster(loop, redis_servers(loop), store=store)
        chatter = Chatter(cluster, tuple(f"u{number + 1}" for number in range(users)))

        async def play() -> None:
            await cluster.start()
            await chatter.start()
            await asyncio.sleep(seconds / 2)
            cluster.instances["i2"].process.kill_after(seed % 50)
            await asyncio.sleep(1)
            cluster.redis["r1"].kill()
            cluster.instances["i2"].start()
            await asyncio.sleep(1)
            cluster.redis["r1"].start()
            await asyncio.sleep(seconds / 2)

        loop.run(play(), within_seconds=seconds + 200)
        yield from (json.dumps([round(at, 9), *rest], sort_keys=True) for at, *rest in chatter.events)


def _main() -> None:
    seconds, *seeds = sys.argv[1:]
    for seed in seeds:
        print(seed)
        for line in chat(int(seed), float(seconds)):
            print(line)


if __name__ == "__main__":
    _main()
