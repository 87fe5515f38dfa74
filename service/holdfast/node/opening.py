"""Contact with the store when nobody sends. The first one: who refuses us ends the start, who is merely away is waited for."""

import asyncio
import logging
from typing import Final

from holdfast.errors import StoreDenied, StoreError
from holdfast.node.delivery import Delivery
from holdfast.node.tasks import Tasks
from holdfast.ports import MessageStore

_RETRY_SECONDS: Final = 0.5

_log = logging.getLogger(__name__)


async def open_store(store: MessageStore, delivery: Delivery, tasks: Tasks) -> None:
    """Open it and learn its generation, in the background where it does not answer yet.

    Raises:
        StoreDenied: it refuses us for good.
    """
    try:
        await store.open()
        delivery.generation = await store.generation()
    except StoreDenied:
        raise
    except StoreError as error:
        _log.warning("the store does not answer yet: %s", error)
        tasks.start(_open_later(store, delivery))


async def _open_later(store: MessageStore, delivery: Delivery) -> None:
    while not delivery.generation:
        await asyncio.sleep(_RETRY_SECONDS)
        try:
            await store.open()
            delivery.generation = await store.generation()
        except StoreError as error:
            _log.debug("the store does not answer yet: %s", error)
        except Exception:  # noqa: BLE001 - without a generation nothing is believed: it is asked for until it is there
            _log.exception("the store cannot be opened yet")


async def probe_store(store: MessageStore) -> None:
    """So that an outage is noticed, and its end, when nobody sends."""
    try:
        await store.probe()
    except StoreError as error:
        _log.debug("the store does not answer: %s", error)
