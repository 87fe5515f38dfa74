"""Calls to the store, counted by what was asked and by what came of it: what is slow, what fails, what the bill is made of."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final

from holdfast.errors import CommandError, HoldfastError, StoreConflict, StoreRejected
from holdfast.ports import Store
from holdfast.telemetry import OTHER, STORE_OPERATIONS, Telemetry

Call = Callable[..., Awaitable[Any]]

OPERATION: Final[ContextVar[str]] = ContextVar("OPERATION", default=OTHER)
"""Which call to the store is under way in this task: for what the adapter tells of it."""


def counted(store: Store, telemetry: Telemetry, monotonic: Callable[[], float]) -> Store:
    """The same store, whose calls are counted from now on, those that it makes of itself included."""
    for name in STORE_OPERATIONS:
        setattr(store, name, _counted(getattr(store, name), name, telemetry, monotonic))
    return store


def _counted(ask: Call, name: str, telemetry: Telemetry, monotonic: Callable[[], float]) -> Call:
    seconds = telemetry.store_operation_seconds.labels(name)
    ok, conflict, refused, failed = (
        telemetry.store_operations.labels(name, result) for result in ("ok", "conflict", "refused", "failed")
    )

    async def call(*args: Any, **kwargs: Any) -> Any:
        began, outcome, before = monotonic(), failed, OPERATION.set(name)
        try:
            result = await ask(*args, **kwargs)
            outcome = ok
        except HoldfastError as error:
            outcome = conflict if isinstance(error, StoreConflict) else outcome
            outcome = refused if isinstance(error, StoreRejected | CommandError) else outcome
            raise
        else:
            return result
        finally:
            OPERATION.reset(before)
            outcome.inc()
            seconds.observe(monotonic() - began)

    return call
