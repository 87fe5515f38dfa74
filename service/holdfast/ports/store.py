"""Durable truth, as a whole: its life, and every concept that is kept in it."""

from typing import Protocol

from holdfast.ports.blocks import BlockStore
from holdfast.ports.conversations import ConversationStore
from holdfast.ports.cursors import CursorStore
from holdfast.ports.messages import MessageStore
from holdfast.ports.notifications import NotificationStore
from holdfast.ports.presence import PresenceStore
from holdfast.ports.revocations import RevocationStore
from holdfast.ports.runs import RunStore
from holdfast.ports.stored_marks import MarkStore


class StoreLife(Protocol):
    """The life of the store: the first contact, which store it is, the end."""

    @property
    def name(self) -> str:
        """`firestore` or `sqlite`; the key of `services` in `/api/health`."""
        ...

    async def open(self, *, may_create: bool = True) -> None:
        """First contact: connects and, unless told not to, creates what is missing (schema, `meta/generation`).

        May be repeated until it succeeds.
        """
        ...

    async def close(self) -> None:
        """Release everything. Calls under way end with `StoreUnavailable`."""
        ...

    async def generation(self) -> str:
        """The id in `meta/generation`; "" where there is none. One cheap strongly consistent read, which fails when writes would.

        `open` creates the id, of several processes one. It is missing afterwards when the store was emptied or replaced, and
        another one when the store was restored and renewed: what was read of the store before is not valid any more.
        """
        ...

    async def renew(self, expected: str | None = None) -> str:
        """Replace the id in `meta/generation` by a new one, in one write, and return the one that is there then.

        To be called after a restore. With `expected` only that id is replaced: of several processes one does it.
        """
        ...


class Store(
    StoreLife,
    MessageStore,
    ConversationStore,
    CursorStore,
    BlockStore,
    PresenceStore,
    NotificationStore,
    RunStore,
    RevocationStore,
    MarkStore,
    Protocol,
):
    """Durable truth. Firestore in production, SQLite embedded; the same contract suite runs over both.

    Every method raises `StoreUnavailable` (or `StoreTimeout`) when it cannot tell, within the adapter's deadline (2 s), and
    `StoreDenied` for wrong credentials or addresses. Reads are strongly consistent: they see every write acknowledged before
    they began, by any process. Writes that promise idempotence may be repeated after an ambiguous error.
    """
