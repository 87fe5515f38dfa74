"""A small cluster for one scenario: what happens is said step by step, what its devices see is judged as in every other run."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final

from holdfast.drills.calls import Answer
from holdfast.drills.history import Bounds, Header, History
from simulation import rest, verdict
from simulation.cluster import Cluster, StoreKind, redis_servers
from simulation.context import Context, Size
from simulation.devices import Device
from simulation.logs import captured
from simulation.loop import SimulatedLoop
from simulation.patching import simulated
from simulation.process import Process
from simulation.reading import read_store, store_of
from simulation.rooms import Rooms
from simulation.verdict import Finding

_OFFLINE_SECONDS: Final = 25.0
Work = Callable[["Scene"], Coroutine[Any, Any, None]]


class Scene:
    """Three instances and the users that a scenario names; `play` makes one.

    Attributes:
        rooms: conversations and members, as far as they were acknowledged.
        context: for users who act by themselves.
    """

    def __init__(self, loop: SimulatedLoop, path: Path, grace_seconds: float, store: StoreKind) -> None:
        self.loop = loop
        settings = {"presence": {"grace_seconds": grace_seconds}}
        self.cluster = Cluster(loop, redis_servers(loop), settings=settings, store=store)
        bounds = Bounds(grace_s=grace_seconds, offline_s=grace_seconds + _OFFLINE_SECONDS)
        self.history = History(path, Header(name=path.stem, bounds=bounds), clock=loop.time)
        self.rooms = Rooms(self.history)
        self.context = Context(
            loop=loop,
            history=self.history,
            seed=loop.seed,
            size=Size(grace_seconds=grace_seconds),
            urls=lambda: self.cluster.urls,
            token=self.cluster.token,
        )
        self._devices: dict[str, Device] = {}

    async def connect(self, user: str, instance: str, cursors: dict[str, int] | None = None, kind: str = "client") -> Device:
        """A device of that user, connected to that instance if it is there."""
        name = f"{user}-{sum(each.user == user for each in self._devices.values()) + 1}"
        device = self._devices[name] = Device(self.context, user, name, kind)
        device.cursors = cursors
        device.start(list(self.cluster.instances).index(instance))
        await asyncio.sleep(1.0)
        return device

    async def call(self, user: str, instance: str, method: str, path: str, body: object = None) -> Answer:
        """One REST call at one instance."""
        return await rest.call(self.cluster.instances[instance].url, self.cluster.token(user), method, path, body)

    async def create(self, conversation: str, *members: str, at: str) -> None:
        """By the first of them."""
        body = {"conversation_id": conversation, "members": list(members), "title": conversation}
        with self.rooms.changing(conversation, *members, present=True) as acknowledged:
            answer = await self.call(members[0], at, "POST", "/api/conversations", body)
            assert answer.is_success, answer
            acknowledged()

    async def add(self, conversation: str, user: str, by: str, at: str) -> None:
        """A member more."""
        with self.rooms.changing(conversation, user, present=True) as acknowledged:
            answer = await self.call(by, at, "PUT", f"/api/conversations/{conversation}/members/{user}")
            assert answer.is_success, answer
            acknowledged()

    async def remove(self, conversation: str, user: str, by: str, at: str) -> None:
        """A member less."""
        with self.rooms.changing(conversation, user, present=False) as acknowledged:
            answer = await self.call(by, at, "DELETE", f"/api/conversations/{conversation}/members/{user}")
            assert answer.is_success, answer
            acknowledged()

    async def post(self, conversation: str, user: str, body: str, at: str) -> Answer:
        """A message by REST; its key is its body."""
        device = self.history.device(f"{user}-rest", user)
        key = body.replace(" ", "-")
        device.record("send", conversation=conversation, key=key, body=body, name="rest")
        content = {"client_message_id": key, "body": body}
        answer = await self.call(user, at, "POST", f"/api/conversations/{conversation}/messages", content)
        if answer.is_success:
            device.record("ack", conversation=conversation, key=key, seq=answer.content["seq"], duplicate=False)
        elif answer.is_refusal:
            device.record("refused", conversation=conversation, key=key, code=answer.code)
        return answer

    def say(self, device: Device, conversation: str, body: str) -> None:
        """A message by socket; its key is its body."""
        device.say(conversation, body, body.replace(" ", "-"))

    async def leave(self, device: Device) -> None:
        """The device is closed on purpose."""
        await device.close()
        self.history.record("left", user=device.user)

    def kill_at_commit(self, instance: str) -> None:
        """The instance dies when its next message is in the store, before it hears of that."""
        self.cluster.store.aim(instance, Process.kill, moment="after", operations=("append",))

    async def settled(self, seconds: float = 30.0) -> None:
        """Let time pass, and write down what the store holds."""
        await asyncio.sleep(seconds)
        self.history.record("settled")
        users = list(dict.fromkeys(user for past in self.rooms.past.values() for user in past))
        await read_store(store_of(self.cluster), self.rooms, users, self.history)
        self.history.record("end")


def play(
    work: Work,
    directory: Path,
    *,
    grace_seconds: float = 15.0,
    store: StoreKind = "sqlite",
    expected: Mapping[str, str] | None = None,
) -> list[Finding]:
    """What is wrong with a scenario: nothing, as it should be. `expected`: errors that instances log, and why."""
    path = directory / "history.jsonl"

    async def whole(scene: Scene) -> None:
        await scene.cluster.start()
        await work(scene)
        await scene.settled()

    with simulated(0) as loop, captured(loop) as logs:
        scene = Scene(loop, path, grace_seconds, store)
        loop.run(whole(scene))
        scene.history.close()
        found = verdict.thrown(loop.failures)
    return [*found, *verdict.logged(logs.lines, expected or {}), *verdict.judged(path).findings]
