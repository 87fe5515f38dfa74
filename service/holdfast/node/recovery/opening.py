"""Contact with the store without any sends: the first one, and a look every second.

A run of an instance works with one generation of the store. When the store holds another one, or none, it was restored or
emptied: everything that the run has cached of it (tails, members, cursors) may be wrong. The run then ends as a whole, and
`server` begins the next one in the same process, so that no cache is left over.

A store that was restored and not renewed has the same generation. The run sees it by its own bulletin (`OwnBulletin`), and renews
the store itself: then all runs end, and clients are told to discard what they show. Of several runs that see it one renews.
"""

import asyncio
import logging
from typing import Final

from holdfast.errors import StoreDenied, StoreError
from holdfast.node.cluster.own_bulletin import OwnBulletin
from holdfast.node.conversations.delivery import Delivery
from holdfast.node.tasks import Tasks
from holdfast.node.users.revocations import Revocations
from holdfast.ports import StoreLife

_RETRY_SECONDS: Final = 0.5

_log = logging.getLogger(__name__)


class StoreContact:
    """Lives in the loop.

    Attributes:
        replaced: set for good when the store is found to be of another generation than this run's.
    """

    def __init__(self, store: StoreLife, own_bulletin: OwnBulletin, delivery: Delivery, revocations: Revocations) -> None:
        self.replaced = asyncio.Event()
        self._store = store
        self._own_bulletin = own_bulletin
        self._delivery = delivery
        self._revocations = revocations

    @property
    def is_open(self) -> bool:
        """The store answered all that has to be known before the first client is served."""
        return bool(self._delivery.generation) and self._revocations.is_loaded

    async def open(self, tasks: Tasks) -> None:
        """Open the store, learn its generation and whose tokens are revoked, in the background where it does not answer yet.

        Raises:
            StoreDenied: it refuses this instance for good.
        """
        try:
            await self._open()
        except StoreDenied:
            raise
        except StoreError as error:
            _log.warning("the store does not answer yet: %s", error)
            tasks.start(self._open_later())

    async def look(self) -> None:
        """Notice an outage, and its end, also without any sends; and notice that the store was replaced."""
        expected = self._delivery.generation
        try:
            found = await self._store.generation()
            if expected and found == expected and self._own_bulletin.is_store_restored:
                found = await self._store.renew(expected)
        except StoreError as error:
            _log.debug("the store does not answer: %s", error)
            return
        if expected and found != expected and not self.replaced.is_set():
            self.replaced.set()
            fields = {"expected": expected, "found": found or "none"}
            if found:
                _log.error(
                    "the store was restored or renewed: all sockets are closed, and all is read again", extra={"fields": fields}
                )
            else:
                _log.error(
                    "the store was emptied or its file replaced: all sockets are closed, and it is set up anew; "
                    "after restoring a backup run `holdfast store renew`",
                    extra={"fields": fields},
                )

    async def _open(self) -> None:
        if not self._delivery.generation:
            await self._store.open()
            self._delivery.generation = await self._store.generation()
        await self._revocations.load()

    async def _open_later(self) -> None:
        while not self.is_open:
            await asyncio.sleep(_RETRY_SECONDS)
            try:
                await self._open()
            except StoreError as error:
                _log.debug("the store does not answer yet: %s", error)
            except Exception:  # noqa: BLE001 - without it no client is served: it is asked for until it is there
                _log.exception("the store cannot be opened yet")
