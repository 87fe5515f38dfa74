"""The parts of this room, put together."""

from holdfast.node.cluster.parts import ClusterParts
from holdfast.node.foundation import Foundation
from holdfast.node.health.dependencies import Dependency
from holdfast.node.health.evaluator import Health
from holdfast.node.health.saturation import Saturation
from holdfast.node.recovery.parts import RecoveryParts


def health_of(on: Foundation, cluster: ClusterParts, recovery: RecoveryParts, store: Dependency, redis: Dependency) -> Health:
    """The one evaluator of an instance, whose dependencies `store` and `redis` are."""
    return Health(
        on.identity,
        on.version,
        store,
        redis,
        on.hub,
        Saturation(on.hub, on.memory, on.telemetry, max_connections=on.settings.limits.connections),
        on.clock,
        on.telemetry,
        redis_trust=cluster.redis_trust,
        loops=on.loops,
        store_contact=recovery.store_contact,
        store_clock=cluster.store_clock,
    )
