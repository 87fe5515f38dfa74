"""The library's own client over the simulated Firestore: its requests are built and its answers are parsed as in production."""

from collections.abc import Callable
from typing import Any

from google.auth.credentials import AnonymousCredentials

from holdfast.adapters.firestore.metered import MeteredClient
from holdfast.ports import DependencyWatch
from simulation.firestore.channel import Channel
from simulation.firestore.server import FirestoreServer

Connect = Callable[[str, str, DependencyWatch], MeteredClient]


class SimulatedClient(MeteredClient):
    """As with the emulator, over another channel."""

    def __init__(self, channel: Channel, watch: DependencyWatch, **options: Any) -> None:
        super().__init__(watch, credentials=AnonymousCredentials(), **options)  # type: ignore[no-untyped-call]  # untyped library
        self._channel = channel
        self._emulator_host = "simulated.invalid"

    def _emulator_channel(self, transport: object) -> Channel:
        """The library's own place where it makes one."""
        return self._channel


def connecting(server: FirestoreServer, client: str) -> Connect:
    """What `bootstrap.Machine` is given as its way to Firestore; the server knows the caller as `client`."""

    def connect(project: str, database: str, watch: DependencyWatch) -> MeteredClient:
        return SimulatedClient(Channel(server, client), watch, project=project, database=database)

    return connect
