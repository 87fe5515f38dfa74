"""The store of production: Firestore. See `client` for how it is called, `documents` for how it is laid out."""

import contextlib
import secrets

from google.api_core.exceptions import AlreadyExists, FailedPrecondition, NotFound

from holdfast.adapters.firestore import creates
from holdfast.adapters.firestore.blocks import FirestoreBlocks
from holdfast.adapters.firestore.bulletins import FirestoreRevocations, FirestoreRuns
from holdfast.adapters.firestore.client import Calls, Connect, connect
from holdfast.adapters.firestore.conversations import FirestoreConversations
from holdfast.adapters.firestore.messages import FirestoreCursors, FirestoreMessages
from holdfast.adapters.firestore.notifications import FirestoreNotifications
from holdfast.adapters.firestore.presence import FirestorePresence
from holdfast.adapters.firestore.stored_marks import FirestoreMarks
from holdfast.adapters.firestore.tails import Tails
from holdfast.domain.stored import Stored
from holdfast.ports import Clock, DependencyWatch


class FirestoreStore(
    FirestoreMessages,
    FirestoreConversations,
    FirestoreCursors,
    FirestoreBlocks,
    FirestorePresence,
    FirestoreNotifications,
    FirestoreRuns,
    FirestoreRevocations,
    FirestoreMarks,
):
    """Implements `ports.Store`. Used from one event loop; `close` lets the channel go."""

    name = "firestore"

    def __init__(
        self,
        project: str,
        database: str,
        timeout_seconds: float,
        clock: Clock,
        watch: DependencyWatch,
        connect: Connect = connect,
    ) -> None:
        """Connects to nothing yet. `connect`: makes the library's client, in a thread, when the store is opened."""
        calls = Calls(project, database, timeout_seconds, clock, watch, connect)
        super().__init__(calls, Tails(calls))

    async def open(self, *, may_create: bool = True) -> None:
        """See the port."""
        await self._calls.open()
        if may_create:
            await self._calls.run(self._ensure_generation())
        self._calls.may_verify = await creates.can_verify(self._calls.client, "meta/generation", self._calls.unretried)

    async def close(self) -> None:
        """See the port."""
        await self._calls.close()

    async def generation(self) -> str:
        """See the port."""
        return await self._calls.run(self._generation())

    async def renew(self, expected: str | None = None) -> str:
        """See the port."""
        new = secrets.token_hex(8)
        if expected is not None:
            return await self._calls.run(self._renew(expected, new))
        await self._calls.run(self._calls.client.document("meta", "generation").set({"id": new}, **self._calls.unretried))
        return new

    async def _generation(self) -> str:
        snapshot = await self._calls.client.document("meta", "generation").get(**self._calls.unretried)
        return Stored(snapshot.to_dict()).text("id")

    async def _renew(self, expected: str, new: str) -> str:
        """Another process that does the same is no failure: what it wrote is read."""
        reference = self._calls.client.document("meta", "generation")
        snapshot = await reference.get(**self._calls.unretried)
        if (found := Stored(snapshot.to_dict()).text("id")) != expected:
            return found
        unchanged = self._calls.client.write_option(last_update_time=snapshot.update_time)
        try:
            await reference.update({"id": new}, option=unchanged, **self._calls.unretried)
        except (FailedPrecondition, NotFound):
            return await self._generation()
        return new

    async def _ensure_generation(self) -> None:
        """Create the id; of several processes one does it. A document without a usable id is replaced in the same way."""
        client = self._calls.client
        reference = client.document("meta", "generation")
        snapshot = await reference.get(**self._calls.unretried)
        if Stored(snapshot.to_dict()).text("id"):
            return
        new = {"id": secrets.token_hex(8)}
        with contextlib.suppress(AlreadyExists, FailedPrecondition):
            if snapshot.exists:
                unchanged = client.write_option(last_update_time=snapshot.update_time)
                await reference.update(new, option=unchanged, **self._calls.unretried)
            else:
                await reference.create(new, **self._calls.unretried)
