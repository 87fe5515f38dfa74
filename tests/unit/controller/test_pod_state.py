"""What a pod's own word means to the controller."""

import pytest

from holdfast.adapters.kubernetes.orchestrator import _state
from holdfast.ports import PodCondition

WELL = {"RedisConnected": True, "BusLive": True, "StoreReachable": True, "Saturated": False}


@pytest.mark.parametrize(
    ("status", "changed", "state"),
    [
        ("healthy", {}, "healthy"),
        ("degraded", {"RedisConnected": False, "BusLive": False}, "degraded"),
        ("degraded", {"Saturated": True}, "saturated"),
        ("degraded", {"Saturated": True, "StoreReachable": False}, "degraded"),
        ("draining", {"Saturated": True}, "draining"),
    ],
)
def test_who_is_full_and_nothing_else_is_not_called_degraded(status: str, changed: dict[str, bool], state: str) -> None:
    """Health has the guide's words; an Event on a full pod must not say that Redis or the store is gone."""
    conditions = {name: PodCondition(name, is_so, "Because", "") for name, is_so in (WELL | changed).items()}
    assert _state(status, conditions) == state
