"""Calls to the store are counted by what came of them; nothing else about them changes."""

import pytest

from holdfast.errors import CommandError, PredecessorMissing, StoreConflict, StoreRejected, StoreTimeout
from holdfast.node.store_calls import counted
from holdfast.telemetry import Telemetry, labels


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
