"""Promises that are sums of constants: each sum, computed."""

from math import ceil

from holdfast.adapters.redis.registry import LEASE_MS
from holdfast.node.cluster.lease import RENEW_SECONDS
from holdfast.node.node import SLOW_TICK_SECONDS
from holdfast.node.recovery.deaths import LEASE_OUTLIVES_SECONDS, LIVED_SECONDS, SILENCE_SECONDS, SILENCE_WITHOUT_REDIS_SECONDS
from holdfast.node.recovery.reaper import LOOK_SECONDS
from holdfast.node.sessions.session import DROP_AFTER_SECONDS
from holdfast.node.users.revocations import POLL_SECONDS
from holdfast.settings import PresenceSettings

GRACE_SECONDS = PresenceSettings().grace_seconds
SEEN_GONE_SECONDS = LEASE_MS / 1000 + LOOK_SECONDS
"""From the last renewal of a lease until another instance sees that the lease is gone."""


def _looks(seconds: float, each_takes: float) -> float:
    """How long until the reaper acts that waits for so many seconds: it notices at a look. The first look took time as well."""
    looks = ceil(seconds / LOOK_SECONDS)
    return looks * LOOK_SECONDS + (looks + 1) * each_takes


def test_users_of_a_killed_instance_are_offline_within_30_seconds() -> None:
    """Promise 7 of the README. The death is declared, and the grace is over since the run can have lived last."""
    declared = SEEN_GONE_SECONDS + _looks(SILENCE_SECONDS, 0.3)
    assert max(declared, LIVED_SECONDS + GRACE_SECONDS) + _looks(LOOK_SECONDS, 0.3) <= 30


def test_users_of_a_killed_instance_are_offline_within_30_seconds_without_redis() -> None:
    """The same without Redis, when bulletins are read once a second."""
    declared = 1.0 + _looks(SILENCE_WITHOUT_REDIS_SECONDS, 0.3)
    assert max(declared, LIVED_SECONDS + GRACE_SECONDS) + _looks(LOOK_SECONDS, 0.3) <= 30


def test_grace_of_a_run_that_held_its_lease_begins_when_its_next_renewal_was_due() -> None:
    """As docs/operating.md says: 8.5 s before its lease was seen to be gone. A renewal that fails is tried again after 0.5 s."""
    assert LEASE_MS / 1000 - RENEW_SECONDS - 0.5 == LEASE_OUTLIVES_SECONDS == 8.5


def test_connections_of_a_killed_instance_leave_redis_within_21_seconds() -> None:
    """As docs/operating.md says, also where a look takes a third of a second."""
    assert SEEN_GONE_SECONDS + _looks(SILENCE_SECONDS, 0.3) <= 21


def test_user_of_a_silent_client_is_offline_within_40_seconds() -> None:
    """Promise 7 of the README: its silence is seen at a tick, and the end of the grace at another."""
    assert DROP_AFTER_SECONDS + SLOW_TICK_SECONDS + GRACE_SECONDS + SLOW_TICK_SECONDS <= 40


def test_revocation_is_known_everywhere_within_5_seconds() -> None:
    """Each poll reads twice, half a second each; the revocation of one token has no faster way."""
    assert POLL_SECONDS + 2 * 0.5 <= 5
