"""Calls to the store are counted by what came of them; nothing else about them changes."""

import asyncio
from typing import Any

import pytest

from holdfast.errors import CommandError, PredecessorMissing, StoreConflict, StoreRejected, StoreTimeout
from holdfast.node.health.dependencies import Dependency
from holdfast.node.health.store_calls import counted
from holdfast.telemetry import Telemetry, labels
from support.fakes import ManualClock


class _Store:
    """Answers as it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def __getattr__(self, name: str) -> object:
        async def call(conversation_id: str) -> str:
            if self.error is not None:
                raise self.error
            return f"{name} {conversation_id}"

        return call


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (None, "ok"),
        (StoreConflict("lost"), "conflict"),
        (PredecessorMissing("gone"), "conflict"),
        (StoreRejected("no"), "refused"),
        (CommandError("limit_reached", "full"), "refused"),
        (StoreTimeout("late"), "failed"),
        (ValueError("ours"), "failed"),
    ],
)
async def test_each_call_is_counted_once_by_its_result(error: Exception | None, result: str) -> None:
    """A lost race is no outage."""
    telemetry = Telemetry("test")
    store = counted(_Store(error), telemetry, lambda: 1.0)  # type: ignore[arg-type]  # the part it uses
    if error is None:
        assert await store.settle("c") == "settle c"  # type: ignore[call-arg, arg-type, comparison-overlap]  # the fake's answer
    else:
        with pytest.raises(type(error)) as raised:
            await store.settle("c")  # type: ignore[call-arg, arg-type]  # as above
        assert raised.value is error
    value = telemetry.registry.get_sample_value
    found = {
        each: value("holdfast_store_operations_total", {"operation": "settle", "result": each}) for each in labels.STORE_RESULTS
    }
    assert found == dict.fromkeys(labels.STORE_RESULTS, 0.0) | {result: 1.0}
    assert value("holdfast_store_operation_seconds_count", {"operation": "settle"}) == 1


async def test_documents_are_counted_under_the_call_that_asked_for_them() -> None:
    """In the tasks that it starts too; of calls side by side each has its own. The first contact is no call."""
    telemetry = Telemetry("test")
    watch = Dependency("firestore", ManualClock(), telemetry)

    class Asking:
        def __getattr__(self, name: str) -> object:
            async def call(count: int) -> None:
                async def part() -> None:
                    await asyncio.sleep(0)
                    watch.documents(read=count, written=1)

                await asyncio.gather(part(), part())

            return call

    store: Any = counted(Asking(), telemetry, lambda: 1.0)  # type: ignore[arg-type]  # the part it uses
    await asyncio.gather(store.heads(3), store.append(5))
    watch.documents(read=7)
    value = telemetry.registry.get_sample_value
    for operation, read, written in (("heads", 6, 2), ("append", 10, 2), ("other", 7, 0), ("settle", 0, 0)):
        assert value("holdfast_store_documents_read_total", {"operation": operation}) == read
        assert value("holdfast_store_documents_written_total", {"operation": operation}) == written
