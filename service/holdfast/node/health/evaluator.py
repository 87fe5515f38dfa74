"""One evaluator feeds every view of this instance's health: the endpoint, the probes, the frames to clients, the metric.

It runs once a second and does no I/O; handlers only read its result.
"""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from holdfast.domain.health import BAD_CONDITIONS
from holdfast.loops import REDIS, STORE, Loops
from holdfast.node.cluster.redis_trust import RedisTrust
from holdfast.node.cluster.store_clock import StoreClock
from holdfast.node.connections.hub import Hub
from holdfast.node.health.dependencies import Dependency
from holdfast.node.health.saturation import Saturation
from holdfast.node.identity import Identity
from holdfast.node.recovery.opening import StoreContact
from holdfast.ports import Clock
from holdfast.protocol import frames
from holdfast.protocol.jsontext import rfc3339
from holdfast.telemetry import Telemetry

_log = logging.getLogger(__name__)

STATES: Final = ("starting", "healthy", "degraded", "saturated", "draining", "unhealthy")
_ADDRESS: Final = re.compile(r"(?:[a-z][a-z0-9+.-]*://|ipv[46]:)?(?:\[[0-9a-f:]+\]|[\w.-]+):\d{2,5}\b(?:/\S*)?", re.IGNORECASE)
_START_WAIT_FOR_REDIS_SECONDS: Final = 10.0
_MAX_TOLD: Final = 5
_SPLIT: Final = ("Split", "other instances meet at another Redis")
_REPLACED: Final = "the store was restored, renewed or emptied: this instance begins anew"


@dataclass(slots=True)
class Condition:
    """As in metav1: what, whether, since when and why."""

    type: str
    status: bool
    reason: str
    message: str
    since_ms: int


class Health:
    """Lives in the loop. `state` is one of `STATES`; `fleet`: those of all instances that live, this one's among them.

    `must_leave`: whether a lost Redis makes this instance unready, whatever others see; by default it does not.
    `has_keys`: whether tokens can be verified; until then this instance is starting.
    """

    def __init__(
        self,
        identity: Identity,
        version: str,
        store: Dependency,
        redis: Dependency,
        hub: Hub,
        saturation: Saturation,
        clock: Clock,
        telemetry: Telemetry,
        *,
        redis_trust: RedisTrust,
        loops: Loops,
        store_contact: StoreContact,
        store_clock: StoreClock,
    ) -> None:
        self.state = "starting"
        self.is_draining = False
        self._bus_reason = "not subscribed yet"
        self.has_started = False
        self.fleet: tuple[str, ...] = ()
        self.must_leave: Callable[[], bool] = lambda: False
        self.has_keys: Callable[[], bool] = lambda: True
        self.conditions: dict[str, Condition] = {}
        self._identity = identity
        self._version = version
        self._store = store
        self._redis = redis
        self._hub = hub
        self._saturation = saturation
        self._clock = clock
        self._telemetry = telemetry
        self._redis_trust = redis_trust
        self._loops = loops
        self._store_contact = store_contact
        self._store_clock = store_clock
        self._started_at_ms = clock.now_ms()
        self._began = clock.monotonic()
        self._degraded: tuple[str, ...] = ()
        self.evaluate()

    def evaluate(self) -> None:
        """Look at everything once; to be called once a second."""
        self._store.evaluate()
        self._redis.evaluate()
        self._saturation.evaluate()
        self._set("RedisConnected", self._redis.is_connected, "Connected", "Disconnected", self._redis.error)
        isolation = self._redis_trust.isolation
        isolation.is_draining = self.is_draining
        isolation.look(has_store=self._store.was_reached, sees_redis=self._redis.was_reached and not self.has_lost_redis)
        self._set("Isolated", isolation.reason is not None, "OthersSeeRedis", "NotIsolated", isolation.reason)
        self._set("BusLive", self._redis_trust.reaches_all, "EchoSeen", *(self._deaf if self._redis_trust.is_deaf else _SPLIT))
        cut = self._redis_trust.peers.cut
        told = f"without Redis, and reached by the store: {', '.join(cut[:_MAX_TOLD])}{' …' if len(cut) > _MAX_TOLD else ''}"
        self._set("PeerApart", bool(cut), "WithoutRedis", "AllHeard", told)
        self._set("StoreReachable", self._store.is_connected, "Reachable", "Unreachable", self._store.error)
        self._set("StoreCurrent", not self._store_contact.replaced.is_set(), "Current", "Replaced", _REPLACED)
        self._set("Draining", self.is_draining, "Stopping", "Serving", None)
        self._set("Saturated", self._saturation.is_saturated, "HighWater", "Room", self._saturation.reason)
        yielded = f"a younger process has this INSTANCE_ID: this one goes on as {self._identity.instance_id}"
        self._set("InstanceIdUnique", self._identity.is_unique, "Unique", "Taken", yielded)
        self._set("ClockSkewed", self._store_clock.is_skewed, "Skewed", "InStep", self._store_clock.skew)
        self._telemetry.clock_skew.set(self._store_clock.skew_seconds)
        self._loops.look(self._away)
        failing = self._loops.failing
        self._set("LoopsRunning", not failing, "Running", f"Failing:{','.join(sorted(failing))}", _loops_message(failing))
        self._tell(self.degraded)
        self._enter(self._next_state())

    def note_bus(self, is_well: bool, reason: str) -> None:
        """The bus works again, or why it is lost."""
        if not is_well:
            self._bus_reason = reason
            _log.warning("the bus is lost: %s", reason)

    def note_fleet(self, states: tuple[str, ...]) -> None:
        """The states of all instances that live, as the reaper found them."""
        self.fleet = states

    @property
    def degraded(self) -> tuple[str, ...]:
        """Dependencies that do not work, by the names that clients see."""
        names = []
        if self._redis_trust.is_impaired:
            names.append("redis")
        if not self._store.is_connected:
            names.append("store")
        return tuple(names)

    @property
    def _deaf(self) -> tuple[str, str]:
        return "Deaf", f"no echo from the bus: {self._bus_reason}"

    @property
    def _away(self) -> set[str]:
        """The dependencies that do not work, as loops name them."""
        found = {REDIS: self._redis.is_connected, STORE: self._store.is_connected}
        return {name for name, is_connected in found.items() if not is_connected}

    @property
    def has_lost_redis(self) -> bool:
        """As `RedisTrust.is_lost`."""
        return self._redis_trust.is_lost

    @property
    def is_live(self) -> bool:
        """For `/livez`: false only when a restart may help. Asked of the loops directly: the one that evaluates may be stuck."""
        return self.is_draining or not self._loops.stuck

    @property
    def is_ready(self) -> bool:
        """For `/readyz`. A shared dependency's loss leaves it true (all pods would leave at once), unless `must_leave`.

        Since its start it has to have reached Redis, or no other instance does (`Isolation`).

        A saturated instance leaves the Service only while at least half of the others have room for its share.
        """
        isolation = self._redis_trust.isolation
        if self.must_leave() or isolation.reason is not None or not isolation.is_settled:
            return False
        if self.state == "saturated":
            with_room = sum(1 for state in self.fleet if state in ("healthy", "degraded"))
            return not self.fleet or 2 * with_room < len(self.fleet)
        return self.state in ("healthy", "degraded")

    @property
    def may_accept(self) -> bool:
        """Whether another handshake is served."""
        return not self.is_draining and self._saturation.has_room

    @property
    def is_ok(self) -> bool:
        """Whether `/api/health` answers 200."""
        return self.state in ("healthy", "degraded", "saturated")

    def body(self) -> dict[str, Any]:
        """The body of `/api/health`; the guide's words: healthy, degraded, connected, disconnected."""
        return {
            "status": "degraded" if self.state == "saturated" else self.state,
            "instance_id": self._identity.instance_id,
            "epoch": self._identity.epoch,
            "version": self._version,
            "started_at": rfc3339(self._started_at_ms),
            "services": {
                "redis": self._redis_service(),
                self._store.name: _service(self._store, None),
            },
            "conditions": [
                {
                    "type": condition.type,
                    "status": "True" if condition.status else "False",
                    "reason": condition.reason,
                    "message": condition.message,
                    "lastTransitionTime": rfc3339(condition.since_ms),
                }
                for condition in self.conditions.values()
            ],
        }

    def _redis_service(self) -> dict[str, Any]:
        body = _service(self._redis, f"the bus is deaf: {self._bus_reason}" if self._redis_trust.is_deaf else None)
        if self._redis_trust.peers.is_split:
            body.setdefault("error", _SPLIT[1])  # connected it is
        return body

    def _next_state(self) -> str:
        if self.is_draining:
            return "draining"
        if not self.has_started:
            waited = self._clock.monotonic() - self._began
            may_go = (self._redis.was_reached and not self._redis_trust.is_deaf) or waited > _START_WAIT_FOR_REDIS_SECONDS
            if not (self._store.was_reached and self._store_contact.is_open and self.has_keys() and may_go):
                return "starting"
            self.has_started = True
        if self._loops.stuck:
            return "unhealthy"
        if self._saturation.is_saturated:
            return "saturated"
        return "degraded" if self.degraded or self._loops.failing else "healthy"

    def _enter(self, state: str) -> None:
        if state != self.state:
            self._telemetry.health_transitions.labels(state).inc()
            if state == "draining":
                self._telemetry.drain_connections.set(len(self._hub.connections))
        self.state = state
        for name in STATES:
            self._telemetry.health_state.labels(name).set(name == state)
        self._telemetry.bus_up.set(self._redis_trust.reaches_all)

    def _tell(self, degraded: tuple[str, ...]) -> None:
        """Clients hear what fails and what works again."""
        before, self._degraded = self._degraded, degraded
        if not self.has_started or before == degraded:
            return
        failed = tuple(name for name in degraded if name not in before)
        restored = tuple(name for name in before if name not in degraded)
        if failed:
            self._hub.tell_all(frames.Degraded(dependencies=failed))
        if restored:
            self._hub.tell_all(frames.Restored(dependencies=restored))

    def _set(self, kind: str, status: bool, true_reason: str, false_reason: str, message: str | None) -> None:
        known = self.conditions.get(kind)
        text = (_told(message) or "") if status is (kind in BAD_CONDITIONS) else ""
        since = known.since_ms if known is not None and known.status == status else self._clock.now_ms()
        reason = true_reason if status else false_reason
        if known is None or known.reason != reason:
            if known is not None:
                self._telemetry.condition.labels(kind, _label(known.reason)).set(0)
            self._telemetry.condition.labels(kind, _label(reason)).set(1)
        self.conditions[kind] = Condition(kind, status, reason, text, since)


def _label(reason: str) -> str:
    """A reason as a label: without the names that may follow it."""
    return reason.partition(":")[0]


def _told(error: str | None) -> str | None:
    """An error for public view: the addresses of outside systems are for the log only."""
    return None if error is None else _ADDRESS.sub("(address)", error)


def _loops_message(failing: Mapping[str, str]) -> str:
    """The loops without a success for too long, each with the kind of its last error."""
    return "no success lately: " + ", ".join(f"{name} ({error or 'does not end'})" for name, error in sorted(failing.items()))


def _service(dependency: Dependency, other_error: str | None) -> dict[str, Any]:
    error = _told(dependency.error or other_error)
    body: dict[str, Any] = {
        "status": "connected" if error is None else "disconnected",
        "latency_ms": round(dependency.latency_seconds * 1000, 2),
    }
    if error is not None:
        body["error"] = error
    return body
