"""How Firestore's errors are understood, and the private places of its library that we lean on."""

import asyncio

import google.auth
import grpc
import pytest
from google.api_core import exceptions as api
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError, RefreshError
from google.cloud.firestore_v1 import base_client
from google.cloud.firestore_v1.async_client import AsyncClient
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcAsyncIOTransport

from holdfast.adapters.firestore import client
from holdfast.adapters.machine.clock import SystemClock
from holdfast.errors import StoreConflict, StoreDenied, StoreRejected, StoreTimeout, StoreUnavailable
from holdfast.ports import Unwatched

MEANINGS = [
    (api.AlreadyExists("x"), StoreConflict),
    (api.FailedPrecondition("x"), StoreConflict),
    (api.FailedPrecondition("The query requires an index. You can create it here: https://example.test"), StoreUnavailable),
    (api.FailedPrecondition("The query requires a COLLECTION_GROUP_ASC index for collection x and field y."), StoreUnavailable),
    (api.Aborted("x"), StoreConflict),
    (api.NotFound("No document to update: projects/p/databases/d/documents/x/y"), StoreConflict),
    (api.NotFound("no entity to update: app"), StoreConflict),
    (api.NotFound("The database (default) does not exist for project p"), StoreDenied),
    (api.InvalidArgument("x"), StoreRejected),
    (api.OutOfRange("x"), StoreRejected),
    (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "x"), StoreRejected),
    (api.PermissionDenied("x"), StoreDenied),
    (api.Unauthenticated("x"), StoreDenied),
    (DefaultCredentialsError("x"), StoreDenied),
    (RefreshError("x"), StoreDenied),
    (api.DeadlineExceeded("x"), StoreTimeout),
    (TimeoutError(), StoreTimeout),
    (api.ServiceUnavailable("x"), StoreUnavailable),
    (api.InternalServerError("x"), StoreUnavailable),
    (api.ResourceExhausted("x"), StoreUnavailable),
    (api.Unknown("x"), StoreUnavailable),
    (api.Cancelled("x"), StoreUnavailable),
    (grpc.aio.UsageError("Channel is closed."), StoreUnavailable),
    (ConnectionResetError(), StoreUnavailable),
]


@pytest.mark.parametrize(("error", "meaning"), MEANINGS, ids=lambda value: getattr(value, "__name__", repr(value))[:60])
def test_every_error_is_definite_denied_or_ambiguous(error: Exception, meaning: type[Exception]) -> None:
    """Taking an ambiguous one for definite loses messages or writes them twice; the other way only costs a read."""
    assert type(client.translated(error)) is meaning


def test_a_missing_index_is_named_with_its_remedy() -> None:
    """Taken for a conflict it would be tried again for ever, while the store counts as healthy."""
    error = api.FailedPrecondition("The query requires an index. That index is currently building and cannot be used yet.")
    assert "deploy firestore.indexes.json. 400 The query requires an index" in str(client.translated(error))


@pytest.mark.parametrize("fault", [KeyError("x"), TypeError("x"), AssertionError()])
def test_faults_of_our_own_stay_what_they_are(fault: Exception) -> None:
    """A programming error must not look like an outage."""
    assert client.translated(fault) is fault


@pytest.mark.parametrize("emulator", ["127.0.0.1:1", None])
async def test_the_channel_gets_our_reconnect_back_off(monkeypatch: pytest.MonkeyPatch, emulator: str | None) -> None:
    """The option lists are private: a new version of the library that drops them must fail here, not after an outage."""
    given: list[list[tuple[str, object]]] = []

    def channel(*_: object, options: list[tuple[str, object]], **__: object) -> None:
        given.append(options)
        raise _EnoughError

    monkeypatch.delenv("FIRESTORE_EMULATOR_HOST", raising=False)
    if emulator is not None:
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", emulator)
    monkeypatch.setattr(grpc.aio, "insecure_channel", channel)
    monkeypatch.setattr(FirestoreGrpcAsyncIOTransport, "create_channel", channel)
    monkeypatch.setattr(base_client, "_DEFAULT_CHANNEL_OPTIONS", list(base_client._DEFAULT_CHANNEL_OPTIONS))
    monkeypatch.setattr(base_client, "_GRPC_MSG_SIZE_OPTIONS", list(base_client._GRPC_MSG_SIZE_OPTIONS))
    monkeypatch.setattr(google.auth, "default", lambda *_, **__: (AnonymousCredentials(), "project"))
    library = client.connect("project", "(default)", Unwatched())
    client.connect("project", "(default)", Unwatched())  # a second client must not add them again
    with pytest.raises(_EnoughError):
        _ = library._firestore_api
    (options,) = given
    assert [option for option in options if "reconnect" in option[0]] == client.RECONNECT


def test_the_library_still_keeps_its_channel_where_we_close_it() -> None:
    """`close` of the asynchronous client leaves the channel open; ours reaches for the transport."""
    assert AsyncClient(project="p", credentials=AnonymousCredentials())._firestore_api_internal is None


async def test_closing_without_a_call_is_fine() -> None:
    """A start that was broken off closes what it never used."""
    calls = client.Calls("project", "(default)", 1.0, SystemClock(), watch=None)  # type: ignore[arg-type]  # nothing is called
    await calls.close()
    with pytest.raises(StoreUnavailable):
        _ = calls.client


async def test_a_caller_s_own_cancellation_passes() -> None:
    """Only the library's is taken for a closed channel."""
    calls = client.Calls("project", "(default)", 10.0, SystemClock(), watch=None)  # type: ignore[arg-type]  # nothing is reported
    task = asyncio.ensure_future(calls.run(asyncio.Event().wait()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class _EnoughError(Exception):
    """The channel would be opened now."""
