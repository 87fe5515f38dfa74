"""Compares the store's presence of this instance's users with its connections: every 10 minutes, all users, in pages.

Presence is written when a user connects or leaves. A fault of one such write (a stale entry, an entry that another instance
removed, a restored store) would last as long as this run: a user with a stale entry would never be notified, a user without an
entry always. The same conditional writes correct it.
"""

import asyncio
import logging
import random
from typing import Final

from holdfast.domain.ids import UserId
from holdfast.loops import STORE, Loop
from holdfast.node.cluster.store_clock import StoreClock
from holdfast.node.identity import Identity
from holdfast.node.users.presence import Presence
from holdfast.ports import Clock, PresenceStore

AUDIT_SECONDS: Final = 600.0
PAGE: Final = 200
PACE_SECONDS: Final = 1.0  # between pages: 20,000 users are looked through within two minutes, at 200 reads a second

_log = logging.getLogger(__name__)


class PresenceReconciler:
    """Lives in the event loop; `loop` compares."""

    def __init__(
        self, store: PresenceStore, presence: Presence, clock: Clock, store_clock: StoreClock, identity: Identity
    ) -> None:
        self._store = store
        self._presence = presence
        self._clock = clock
        self._store_clock = store_clock
        self._identity = identity
        self._looked_at = clock.monotonic()

    @property
    def loop(self) -> Loop:
        """Compares every 10 minutes, give or take a minute: instances that started together do not look together."""
        return Loop("audit", self._round, AUDIT_SECONDS, needs=(STORE,))

    async def _round(self) -> None:
        await asyncio.sleep(AUDIT_SECONDS * random.uniform(0.9, 1.1))
        await self.look()

    async def look(self) -> None:
        """Compare once.

        Raises:
            StoreError: what was found before is put right, the rest waits.
        """
        began, run = self._clock.monotonic(), self._identity.run
        missing = dict.fromkeys(self._presence.certain())
        # At the last look everybody whose entry stood there was here, or had just left; since then they may have missed things.
        heard_at_ms = self._store_clock.at(self._looked_at)
        released, after = 0, UserId("")
        while page := await self._store.users_on(run, PAGE, after):
            for user_id in page:
                missing.pop(user_id, None)
            released += self._presence.release(page, heard_at_ms)
            after = page[-1]
            await asyncio.sleep(PACE_SECONDS)
        restored = self._presence.restore(missing)
        self._looked_at = began
        if released or restored:
            _log.warning("presence was put right", extra={"fields": {"released": released, "restored": restored}})
