"""Fixtures around Firestore: its emulator, which is a process behind a real network, and the simulated one, which is neither."""

import asyncio
import random
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import httpx
import pytest
from google.cloud.firestore_v1.async_client import AsyncClient

from holdfast.adapters.firestore.client import Connect, connect
from holdfast.adapters.firestore.store import FirestoreStore
from holdfast.adapters.machine.clock import SystemClock
from holdfast.drills.local.proxy import Proxy
from holdfast.ports import Store, Unwatched
from simulation.firestore import Fault, FirestoreServer, connecting
from support.emulator import Emulator, require_emulator
from support.fixtures_store import TIMEOUT_SECONDS, RecordingWatch, opened


class Way(Protocol):
    """The proxy between a store and Firestore: `drills.local.proxy.Proxy`, or one that behaves like it."""

    def swallow_replies(self, after: bytes = b"") -> None:
        """Requests arrive, their answers never do; beginning with the first request that contains `after`."""

    def stall(self) -> None:
        """Nothing moves in either direction; nothing is closed."""

    def flow(self) -> None:
        """As a network should be."""

    def cut(self) -> None:
        """Reset what is open."""

    async def refuse(self) -> None:
        """End what is open and accept nothing, until `listen`."""

    async def listen(self) -> None:
        """Accept connections again."""


class NewFirestore(ABC):
    """Makes open stores of one project; they are closed at the end. `way`: what they go through, where that matters."""

    def __init__(self) -> None:
        self.project = f"test-{secrets.token_hex(4)}"
        self._stores: list[Store] = []
        self._clients: list[AsyncClient] = []

    async def __call__(
        self,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        watch: RecordingWatch | None = None,
        way: Way | None = None,
        may_open: bool = True,
    ) -> Store:
        """One more store."""
        watch = watch or RecordingWatch()
        connect = self.connecting(way)
        self._stores.append(store := FirestoreStore(self.project, "(default)", timeout_seconds, SystemClock(), watch, connect))
        if may_open:
            await opened(store)
        watch.failures.clear()
        return store

    def client(self) -> AsyncClient:
        """The library's own, for what is changed or read behind the stores."""
        self._clients.append(client := self.connecting(None)(self.project, "(default)", Unwatched()))
        return client

    async def close(self) -> None:
        """Close all that was made."""
        for store in self._stores:
            await store.close()
        for client in self._clients:
            await client._firestore_api.transport.close()

    @abstractmethod
    def connecting(self, way: Way | None) -> Connect:
        """What a store is given to make its client."""

    @abstractmethod
    def way(self) -> AbstractAsyncContextManager[Way]:
        """One that is good so far."""

    @abstractmethod
    def freeze(self) -> None:
        """Firestore answers no call until `thaw`."""

    @abstractmethod
    def thaw(self) -> None:
        """It goes on."""

    @abstractmethod
    async def empty(self) -> None:
        """Everything is gone, the generation too."""


class EmulatedFirestore(NewFirestore):
    """Over the emulator."""

    def __init__(self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self._emulator = emulator
        self._monkeypatch = monkeypatch

    def connecting(self, way: Way | None) -> Connect:
        """As production does it, with the variable that names an emulator."""
        assert way is None or isinstance(way, Proxy)
        self._monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", way.address if way is not None else self._emulator.address)
        return connect

    @asynccontextmanager
    async def way(self) -> AsyncIterator[Way]:
        """A proxy."""
        async with Proxy(self._emulator.port) as proxy:
            yield proxy

    def freeze(self) -> None:
        """The process is stopped."""
        self._emulator.freeze()

    def thaw(self) -> None:
        """The process continues."""
        self._emulator.thaw()

    async def empty(self) -> None:
        """By the emulator's own call."""
        async with httpx.AsyncClient(verify=False) as client:
            url = f"http://{self._emulator.address}/emulator/v1/projects/{self.project}/databases/(default)/documents"
            (await client.delete(url, timeout=30)).raise_for_status()


class SimulatedFirestore(NewFirestore):
    """Over a simulated server, in the loop of the test."""

    def __init__(self) -> None:
        super().__init__()
        self.server = FirestoreServer(time.time, random.Random(0))

    def connecting(self, way: Way | None) -> Connect:
        """Without a network."""
        return connecting(self.server, way.name if isinstance(way, _SimulatedWay) else "direct")

    @asynccontextmanager
    async def way(self) -> AsyncIterator[Way]:
        """One client name whose calls can be troubled apart from others."""
        yield _SimulatedWay(self.server)

    def freeze(self) -> None:
        """See the server."""
        self.server.freeze()

    def thaw(self) -> None:
        """See the server."""
        self.server.thaw()

    async def empty(self) -> None:
        """See the server."""
        self.server.empty()


class _SimulatedWay:
    """As `Proxy`, of the client `troubled`."""

    name = "troubled"

    def __init__(self, server: FirestoreServer) -> None:
        self._server = server
        self._swallowing = Fault(times=0)

    def swallow_replies(self, after: bytes = b"") -> None:
        """To requests that contain `after` only, which is enough here."""
        fault = Fault(is_lost=True, client=self.name, containing=after, times=None)
        self._swallowing = self._server.faults.add(fault)

    def stall(self) -> None:
        """See `Proxy`."""
        self._server.cut(self.name)

    def flow(self) -> None:
        """See `Proxy`."""
        self._server.faults.remove(self._swallowing)
        self._server.heal(self.name)

    def cut(self) -> None:
        """See `Proxy`."""
        self._server.reset(self.name)

    async def refuse(self) -> None:
        """See `Proxy`."""
        self._server.refuse(self.name)

    async def listen(self) -> None:
        """See `Proxy`."""
        self._server.listen(self.name)


@pytest.fixture(scope="session")
def firestore_emulator() -> Iterator[Emulator]:
    """One emulator for the session; tests keep apart by projects of their own."""
    emulator = Emulator(require_emulator())
    asyncio.run(emulator.start())
    yield emulator
    emulator.close()


@pytest.fixture
async def new_emulated(firestore_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EmulatedFirestore]:
    """Makes stores over the emulator."""
    make = EmulatedFirestore(firestore_emulator, monkeypatch)
    yield make
    await make.close()


@pytest.fixture
async def new_simulated() -> AsyncIterator[SimulatedFirestore]:
    """Makes stores over a simulated Firestore."""
    make = SimulatedFirestore()
    yield make
    await make.close()


@pytest.fixture(params=["emulated", "simulated"])
def new_firestore(request: pytest.FixtureRequest) -> NewFirestore:
    """Makes stores over Firestore, emulated or simulated."""
    make: NewFirestore = request.getfixturevalue(f"new_{request.param}")
    return make
