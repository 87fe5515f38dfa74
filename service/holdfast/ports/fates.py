"""The deaths of instances that Kubernetes has seen."""

from typing import Protocol

from holdfast.domain.ids import InstanceId


class Fates(Protocol):
    """The deaths of instances that Kubernetes has seen, for the reaper.

    Raises `RedisUnavailable` within the deadline. An instance that is reported gone and still lives renews its lease; this
    cancels the report.
    """

    async def ended(self, instance_id: InstanceId) -> bool:
        """The kubelet saw its container end, without a successor under its name: its lease is removed at once.

        Returns whether there was anything to end.
        """
        ...

    async def removed(self, instance_id: InstanceId) -> None:
        """Its pod is gone from the API, which proves nothing of the process: the lease is shortened to 4 s."""
        ...

    async def connections(self) -> dict[InstanceId, int]:
        """How many connections each instance with a lease has."""
        ...
