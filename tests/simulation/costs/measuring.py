"""Measures an event on a cluster whose calls take no time and in which nothing is drawn that decides: figures are exact."""

import asyncio
import contextlib
import itertools
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Final

from simulation import rest
from simulation.cluster import Cluster, redis_servers
from simulation.costs.counting import SCRIPTS, Count, RedisMeter, StoreMeter, Tally
from simulation.firestore import SimulatedFirestore
from simulation.logs import captured
from simulation.loop import SimulatedLoop
from simulation.network import Latency
from simulation.patching import simulated
from simulation.process import Process
from simulation.raw_device import RawDevice
from simulation.sqlite import StoreDelays

_SEED: Final = 1
_INSTANCES: Final = 2
SETTLED_SECONDS: Final = 12.0
_STARTED_SECONDS: Final = 62.0  # what instances look for after their start is found, or not there
_GRACE_SECONDS: Final = 15.0  # as by default
_PAUSE_SECONDS: Final = 0.02  # between two devices that come back


class _Steady(random.Random):
    """In place of chance: a user reads nothing by itself, and devices come back one after the other."""

    def __init__(self, pause_seconds: float) -> None:
        super().__init__(1)
        self._pause_seconds = pause_seconds

    def random(self) -> float:
        """No share of anything is hit."""
        return 1.0

    def uniform(self, a: float, b: float) -> float:
        """The pause of a device."""
        return self._pause_seconds


class _Waiting:
    """A device's recorder that only keeps what it is waited for."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.changed = asyncio.Event()

    def record(self, event: str, **_: Any) -> None:
        """See `raw_device.Recorder`."""
        self.seen[event] += 1
        self.changed.set()

    async def until(self, event: str, times: int) -> None:
        """So often in all."""
        while self.seen[event] < times:
            self.changed.clear()
            await self.changed.wait()


class Phone:
    """The device of one user, connected to one instance after the other as it is told."""

    def __init__(self, scene: "Scene", user: str) -> None:
        self.user = user
        self._scene = scene
        self._pause_seconds = _PAUSE_SECONDS * next(scene.numbers)
        self._process: Process = scene.devices
        self._recorder = _Waiting()
        self._device: RawDevice | None = None
        self._task: asyncio.Task[int] | None = None

    async def connect(self, *instances: str) -> None:
        """Until it is synced; with its cursors, if it was connected before. More instances: where it goes afterwards."""
        urls = [self._scene.cluster.instances[name].url for name in instances]
        cursors, generation = (None, "") if self._device is None else (self._device.cursors, self._device.generation)
        token = self._scene.cluster.token(self.user)
        self._device = RawDevice(urls, lambda: token, cursors, self._recorder, _Steady(self._pause_seconds), generation)
        synced = self._recorder.seen["synced"]
        self._task = self._process.spawn(self._device.run())
        await self._recorder.until("synced", synced + 1)

    def leave(self) -> None:
        """Close the socket, and do not come back by itself."""
        assert self._device is not None
        self._device.leave()
        self.stop()

    def stop(self) -> None:
        """Its program ends, whatever becomes of the socket."""
        assert self._task is not None
        self._task.cancel()

    def send(self, conversation: str, number: int = 1) -> None:
        """A message."""
        assert self._device is not None
        self._device.send(conversation, f"hello {number}", f"{self.user}-{number}")

    def send_at_once(self, conversation: str, number: int) -> None:
        """So many messages in frames one behind the other."""
        assert self._device is not None
        for each in range(number):
            fields = {"conversation_id": conversation, "client_message_id": f"{self.user}-at-once-{each}", "body": "hello"}
            self._device._write({"type": "send", "ref": str(each), **fields})

    def read(self, conversation: str, seq: int) -> None:
        """All up to that message."""
        assert self._device is not None
        self._device.read(conversation, seq)


class Scene:
    """A cluster on Firestore whose operations are counted, and the phones of its users."""

    def __init__(self, loop: SimulatedLoop, instances: int) -> None:
        self.loop = loop
        settings = {"presence": {"grace_seconds": _GRACE_SECONDS}}
        self.cluster = Cluster(loop, redis_servers(loop), instances=instances, settings=settings, store="firestore")
        self.devices = loop.process("devices")
        self.numbers = itertools.count(1)
        self.tally = Tally(lambda: loop.now)
        loop.network.delays = Latency(usual_seconds=0.0, tail_share=0.0)
        store = self.cluster.store
        assert isinstance(store, SimulatedFirestore)
        store.delays = StoreDelays(usual_seconds=0.0, tail_share=0.0)
        StoreMeter(store, self.tally)
        self.redis = self.cluster.redis["r1"].engine
        RedisMeter(self.redis, self.tally)
        for script in SCRIPTS.values():
            self.redis.run("SCRIPT", "LOAD", script.source)

    async def pass_time(self, seconds: float) -> None:
        """Of virtual time."""
        await asyncio.sleep(seconds)

    async def pass_grace(self) -> None:
        """A user who left is offline."""
        await asyncio.sleep(_GRACE_SECONDS + 2.0)

    async def phone(self, user: str, *instances: str) -> Phone:
        """A device that is connected."""
        phone = Phone(self, user)
        await phone.connect(*instances)
        return phone

    async def call(self, user: str, method: str, path: str, body: object = None, at: str = "i1") -> None:
        """By REST, done."""
        url = self.cluster.instances[at].url
        answer = await rest.call(url, self.cluster.token(user), method, path, body)
        assert answer.is_success, answer

    async def create(self, conversation: str, *members: str) -> None:
        """By the first of them, at i1."""
        body = {"conversation_id": conversation, "members": list(members)}
        await self.call(members[0], "POST", "/api/conversations", body)


Act = Callable[[], Coroutine[Any, Any, object]]


@dataclass(frozen=True, slots=True)
class Event:
    """One event to be measured.

    Attributes:
        prepare: makes the situation, of some size, and answers what happens in it once.
        seconds: until all that it causes is over.
        settled_seconds: until what was prepared, and all that it caused, is over.
    """

    prepare: Callable[[Scene, int], Coroutine[Any, Any, Act]]
    seconds: float = 6.0
    settled_seconds: float = SETTLED_SECONDS


def measured(event: Event, size: int) -> Count:
    """What the event costs, operation by operation, without what every instance does anyway."""
    with _scene(_INSTANCES) as scene:
        act = scene.loop.run(event.prepare(scene, size))
        scene.loop.run_for(event.settled_seconds)
        begins_at = scene.loop.now
        scene.loop.run(act(), within_seconds=event.seconds)
        scene.loop.run_for(begins_at + event.seconds - scene.loop.now)
        return scene.tally.between(begins_at, begins_at + event.seconds, is_idle=False)


def idle(instances: int, seconds: float, *, has_redis: bool = True) -> Count:
    """What a cluster without a user does in that time."""
    with _scene(instances) as scene:
        if not has_redis:
            scene.cluster.redis["r1"].kill()
        scene.loop.run_for(_STARTED_SECONDS)
        begins_at = scene.loop.now
        scene.loop.run_for(seconds)
        return scene.tally.between(begins_at, begins_at + seconds)


@contextlib.contextmanager
def _scene(instances: int) -> Iterator[Scene]:
    with simulated(_SEED) as loop, captured(loop):
        scene = Scene(loop, instances)
        loop.run(scene.cluster.start())
        yield scene
        assert loop.failures == []
