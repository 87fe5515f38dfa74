"""Kubernetes' objects, read: pure functions over what the client library decodes."""

from datetime import UTC, datetime
from typing import Any, Final

from holdfast.domain.ids import InstanceId
from holdfast.ports import Pod, PodCondition

PREFIX: Final = "holdfast.dev/"
_STATUS: Final = {"True": True, "False": False}
DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"


def pod(found: Any, container: str, port: int) -> Pod:
    """A `V1Pod`. `container`: whose end is the instance's; `port`: the internal one."""
    status = found.status
    cost = (found.metadata.annotations or {}).get(DELETION_COST, "")
    address = status.pod_ip or ""
    return Pod(
        name=InstanceId(found.metadata.name),
        uid=found.metadata.uid,
        address=(f"[{address}]:{port}" if ":" in address else f"{address}:{port}") if address else "",
        is_ready=any(each.type == "Ready" and each.status == "True" for each in status.conditions or ()),
        has_ended=_has_ended(found, container),
        conditions={
            each.type: PodCondition(each.type, _STATUS.get(each.status), each.reason or "", each.message or "")
            for each in status.conditions or ()
            if each.type.startswith(PREFIX)
        },
        deletion_cost=int(cost) if cost.lstrip("-").isdecimal() else None,
    )


def _has_ended(found: Any, container: str) -> bool:
    """Terminated for good: for a container that restarts in its pod, its successor does the cleanup."""
    if found.status.phase in ("Succeeded", "Failed"):
        return True
    if found.metadata.deletion_timestamp is None:
        return False
    states = [each.state for each in found.status.container_statuses or () if each.name == container]
    return bool(states) and all(state is not None and state.terminated is not None for state in states)


def condition(of: PodCondition, known: PodCondition | None = None) -> dict[str, Any]:
    """For a strategic merge into `status.conditions`, which goes by type. `known`: what stands there.

    `lastProbeTime` is when the pod was observed last. It stays where the pod cannot be observed any more.
    """
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    written = {
        "type": of.type,
        "status": "Unknown" if of.status is None else str(of.status),
        "reason": of.reason,
        "message": of.message[:1_024],
    }
    if of.status is not None:
        written["lastProbeTime"] = now
    if known is None or known.status != of.status:
        written["lastTransitionTime"] = now
    return written
