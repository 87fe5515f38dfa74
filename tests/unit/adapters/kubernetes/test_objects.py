"""Pods as the API gives them: what has ended for good, and what is started again."""

from datetime import UTC, datetime
from typing import Any

import pytest

from holdfast.adapters.kubernetes import objects
from holdfast.ports import PodCondition
from kubernetes import client

NOW = datetime(2026, 1, 31, tzinfo=UTC)
RUNNING = client.V1ContainerState(running=client.V1ContainerStateRunning(started_at=NOW))
TERMINATED = client.V1ContainerState(terminated=client.V1ContainerStateTerminated(exit_code=137))


def _pod(
    *states: Any, phase: str = "Running", deleted: bool = False, ip: str | None = "10.0.0.7", annotations: Any = None
) -> Any:
    statuses = [
        client.V1ContainerStatus(name="holdfast", image="i", image_id="i", ready=False, restart_count=0, state=state)
        for state in states
    ]
    conditions = [
        client.V1PodCondition(type="Ready", status="True"),
        client.V1PodCondition(type="holdfast.dev/BusLive", status="False", reason="Deaf", message="no echo"),
    ]
    return client.V1Pod(
        metadata=client.V1ObjectMeta(name="p", uid="u", deletion_timestamp=NOW if deleted else None, annotations=annotations),
        status=client.V1PodStatus(phase=phase, pod_ip=ip, container_statuses=statuses, conditions=conditions),
    )


def _read(pod: Any) -> Any:
    return objects.pod(pod, "holdfast", 9000)


def test_a_pod_is_read() -> None:
    pod = _read(_pod(RUNNING, annotations={objects.DELETION_COST: "3"}))
    assert (pod.name, pod.uid, pod.address, pod.is_ready, pod.has_ended, pod.deletion_cost) == (
        "p", "u", "10.0.0.7:9000", True, False, 3,
    )  # fmt: skip
    assert pod.conditions == {
        "holdfast.dev/BusLive": PodCondition("holdfast.dev/BusLive", status=False, reason="Deaf", message="no echo")
    }


def test_addresses_of_both_kinds_and_none() -> None:
    assert [_read(_pod(RUNNING, ip=ip)).address for ip in ("fd00::7", None)] == ["[fd00::7]:9000", ""]


@pytest.mark.parametrize(
    ("pod", "has_ended"),
    [
        (_pod(TERMINATED, deleted=True), True),
        (_pod(RUNNING, deleted=True), False),
        (_pod(TERMINATED), False),  # it is started again in its pod: its successor's business
        (_pod(phase="Failed"), True),  # evicted
        (_pod(deleted=True), False),  # nothing is known of its containers
    ],
)
def test_what_has_ended(pod: Any, has_ended: bool) -> None:
    assert _read(pod).has_ended is has_ended


def test_a_condition_is_written_with_its_type_as_key() -> None:
    written = objects.condition(PodCondition("holdfast.dev/BusLive", status=True, reason="EchoSeen", message=""))
    assert (written["type"], written["status"], written["reason"]) == ("holdfast.dev/BusLive", "True", "EchoSeen")
    assert written["lastProbeTime"] == written["lastTransitionTime"]


def test_a_condition_that_holds_is_observed_anew_and_keeps_its_transition() -> None:
    """A strategic merge leaves what is not named."""
    known = PodCondition("holdfast.dev/BusLive", status=True, reason="EchoSeen", message="")
    assert "lastTransitionTime" not in objects.condition(known, known)
    assert "lastProbeTime" in objects.condition(known, known)


def test_an_unknown_condition_keeps_the_time_at_which_the_pod_was_observed() -> None:
    """That time tells how old the last word is."""
    known = PodCondition("holdfast.dev/BusLive", status=True, reason="EchoSeen", message="")
    written = objects.condition(PodCondition("holdfast.dev/BusLive", status=None, reason="NotObserved", message=""), known)
    assert (written["status"], "lastProbeTime" in written, "lastTransitionTime" in written) == ("Unknown", False, True)
    unknown = client.V1PodCondition(type="holdfast.dev/BusLive", status="Unknown", reason="NotObserved", message="")
    pod = _pod(RUNNING)
    pod.status.conditions = [unknown]
    assert _read(pod).conditions["holdfast.dev/BusLive"].status is None
