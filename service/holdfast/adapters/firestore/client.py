"""The connection to Firestore: how it reconnects, how long a call may take, and what its errors mean here.

The library's own retry re-sends commits that are not idempotent, and its deadline does not bound a call: every call of this
adapter passes `retry=None` and a timeout (`Calls.unretried`), and decides for itself.
"""

import asyncio
import os
import re
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, TypeVar

import grpc  # type: ignore[import-untyped]  # ships no types
from google.api_core import exceptions as api
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.cloud.firestore_v1 import base_client
from google.cloud.firestore_v1.async_client import AsyncClient
from google.cloud.firestore_v1.base_document import DocumentSnapshot

from holdfast.adapters.firestore.metered import MeteredClient
from holdfast.domain.stored import Stored
from holdfast.errors import (
    StoreBusy,
    StoreConflict,
    StoreDenied,
    StoreError,
    StoreRejected,
    StoreTimeout,
    StoreUnavailable,
    Undecodable,
)
from holdfast.ports import Clock, DependencyWatch, within

T = TypeVar("T")
Connect = Callable[[str, str, DependencyWatch], MeteredClient]  # a project, a database, and the watch of its calls

# With gRPC's defaults a channel needs 40 s to come back after a long outage; with these about 1.5 s.
RECONNECT: Final = [
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 1000),
]

# More calls than the other side can do wait here, where waiting costs nothing and giving up is certain. Sent all at once they
# would time out over there with an unknown outcome, and each would be looked up: ten calls for each that failed. Firestore takes
# 100 on a channel.
MAX_UNDER_WAY: Final = 64

_LACKS_INDEX: Final = re.compile(r"requires an? .*index")  # "an index"; for a single field "a COLLECTION_GROUP_ASC index"


def connect(project: str, database: str, watch: DependencyWatch) -> MeteredClient:
    """A client; with `FIRESTORE_EMULATOR_HOST` the emulator's. `watch` is told of what it reads and writes.

    Raises:
        StoreDenied: there are no credentials, or the emulator's address is not valid.
    """
    # The option lists are private: the library's minor version is pinned, and a test looks for them.
    for options in (base_client._GRPC_MSG_SIZE_OPTIONS, base_client._DEFAULT_CHANNEL_OPTIONS):  # noqa: SLF001 - no public way
        options.extend(option for option in RECONNECT if option not in options)
    emulator = os.environ.get("FIRESTORE_EMULATOR_HOST")
    if emulator is not None and "://" in emulator:
        raise StoreDenied("FIRESTORE_EMULATOR_HOST: host:port, without http://")
    credentials = AnonymousCredentials() if emulator else None  # type: ignore[no-untyped-call]  # untyped library
    try:
        return MeteredClient(watch, project=project, database=database, credentials=credentials)
    except DefaultCredentialsError as error:
        raise StoreDenied(str(error)) from error


class Calls:
    """One client and the rules for calling it. `client` is made by `open`.

    Attributes:
        timeout_seconds: how long a call may take.
    """

    def __init__(
        self,
        project: str,
        database: str,
        timeout_seconds: float,
        clock: Clock,
        watch: DependencyWatch,
        connect: Connect = connect,
    ) -> None:
        self.clock = clock
        self._project = project
        self._database = database
        self._connect = connect
        self.timeout_seconds = timeout_seconds
        self._watch = watch
        self._client: AsyncClient | None = None
        self._places = asyncio.Semaphore(MAX_UNDER_WAY)
        self.may_verify = False  # decided by the store's first contact: see `creates.can_verify`
        self.unretried: dict[str, Any] = {"retry": None, "timeout": timeout_seconds}

    @property
    def client(self) -> AsyncClient:
        """The library's client.

        Raises:
            StoreUnavailable: not opened yet, or closed.
        """
        if self._client is None:
            raise StoreUnavailable("the store is not open")
        return self._client

    async def open(self) -> None:
        """Make the client; idempotent. In a thread, because looking for credentials may ask the network."""
        if self._client is None:
            self._client = await asyncio.to_thread(self._connect, self._project, self._database, self._watch)

    async def close(self) -> None:
        """Let the client go; calls under way end with `StoreUnavailable`."""
        client, self._client = self._client, None
        # The asynchronous client's own `close` leaves the channel open; there is one once a call was made.
        api_client = client._firestore_api_internal if client is not None else None  # noqa: SLF001 - no public way
        if api_client is not None:
            await api_client.transport.close()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await one operation, when there is a place for it, within the deadline.

        Raises:
            StoreBusy: there was no place within half of the deadline.
            StoreError: see `translated`.
        """
        began = self.clock.monotonic()
        try:
            async with within(self.timeout_seconds / 2):
                await self._places.acquire()
        except TimeoutError:
            work.close()
            self._watch.postponed()
            raise StoreBusy(f"{MAX_UNDER_WAY} calls to the store are under way") from None
        except BaseException:
            work.close()
            raise
        try:
            return await self.run_now(work, self.timeout_seconds - (self.clock.monotonic() - began))
        finally:
            self._places.release()

    async def run_now(self, work: Coroutine[Any, Any, T], timeout_seconds: float | None = None) -> T:
        """Await one operation within the deadline, report it, and translate what it raises.

        Raises:
            StoreError: see `translated`.
        """
        began = self.clock.monotonic()
        try:
            async with within(self.timeout_seconds if timeout_seconds is None else timeout_seconds):
                result = await work
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise StoreUnavailable("the store was closed") from error  # a closed channel cancels its calls, not our task
        except Exception as error:
            translation = translated(error)
            if isinstance(translation, StoreConflict | StoreRejected):
                self._watch.succeeded(self.clock.monotonic() - began)
            else:
                self._watch.failed(str(translation), is_timeout=isinstance(translation, StoreTimeout))
            if translation is error:
                raise
            raise translation from error
        self._watch.succeeded(self.clock.monotonic() - began)
        return result

    def read(self, source: str, snapshots: Iterable[DocumentSnapshot[Any]], decode: Callable[[str, Stored], T]) -> list[T]:
        """Each document decoded, given its id and fields; those that cannot be are left out, and what is damaged is counted."""
        found = []
        for snapshot in snapshots:
            stored = Stored(snapshot.to_dict())
            try:
                found.append(decode(snapshot.id, stored))
            except Undecodable:
                stored.is_damaged = True
            if stored.is_damaged:
                self._watch.undecodable(source)
        return found


def translated(error: Exception) -> Exception:
    """What an error of the library means: definite, denied, or unknown. Faults of our own stay what they are."""
    if isinstance(error, StoreError):
        return error
    text = str(error)[:200] or type(error).__name__
    if isinstance(error, api.FailedPrecondition) and _LACKS_INDEX.search(text):
        return StoreUnavailable(f"Firestore lacks an index, or is still building it: deploy firestore.indexes.json. {text}")
    if isinstance(error, api.AlreadyExists | api.FailedPrecondition | api.Aborted) or is_missing_document(error):
        return StoreConflict(text)
    if isinstance(error, api.InvalidArgument | api.OutOfRange | UnicodeEncodeError):
        return StoreRejected(text)
    if isinstance(error, api.NotFound | api.Unauthorized | api.Forbidden | GoogleAuthError):  # not found: project or database
        return StoreDenied(text)
    if isinstance(error, api.DeadlineExceeded | TimeoutError):
        return StoreTimeout("the store did not answer in time")
    if isinstance(error, api.GoogleAPICallError | api.RetryError | grpc.RpcError | grpc.aio.UsageError | OSError):
        return StoreUnavailable(text)
    return error


def is_missing_document(error: Exception) -> bool:
    """A write found no document where it needs one. A project or database that is not there has the same status code."""
    # The words are Firestore's and, the second, its emulator's.
    return isinstance(error, api.NotFound) and any(
        words in str(error) for words in ("No document to update", "no entity to update")
    )


def is_definite(error: Exception) -> bool:
    """Trying the same again gives the same answer: wrong credentials, wrong addresses, refused content."""
    return isinstance(translated(error), StoreDenied | StoreRejected)
