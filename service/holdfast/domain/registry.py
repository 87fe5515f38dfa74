"""Which user is connected to which instance, as Redis holds it."""

from dataclasses import dataclass

from holdfast.domain.ids import ConnectionId, Epoch, InstanceId, UserId


@dataclass(frozen=True, slots=True)
class ConnectionRecord:
    """One field of `connections:{user_id}`. It counts only under the registration and in the world in which it was written."""

    user_id: UserId
    connection_id: ConnectionId
    instance_id: InstanceId
    connected_at: str


@dataclass(frozen=True, slots=True)
class InstanceLease:
    """`instance:{instance_id}`, or its absence.

    Attributes:
        epoch: None when the lease is gone.
        is_registered: all its local connections are in the registry.
        state: its health state (`healthy`, `degraded`, `draining` …).
        connections: how many it said it had at its last renewal.
        ended_epoch: Kubernetes saw the container of this epoch end; None when it said nothing of the kind.
        removed_epoch: its pod was removed while it had this epoch; whether the process still runs is not known.
    """

    instance_id: InstanceId
    epoch: Epoch | None
    is_registered: bool
    state: str
    connections: int
    ended_epoch: Epoch | None = None
    removed_epoch: Epoch | None = None
