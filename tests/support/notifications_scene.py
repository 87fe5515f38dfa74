"""The decisions who is notified, of one instance without connections, over a store of the test's own."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from holdfast.node.cluster.store_clock import StoreClock
from holdfast.node.connections.hub import Hub
from holdfast.node.notifications.decision import Notifications
from holdfast.node.tasks import Tasks
from holdfast.ports import Clock
from holdfast.telemetry import Telemetry
from support.fake_cluster import FakeBus, FakeRegistry
from support.own_marks import own_marks_of

if TYPE_CHECKING:
    from holdfast.node.conversations.cache import Conversations
    from holdfast.node.notifications.pushing import Pushing


def notifications_over(store: object, clock: Clock, grace_seconds: float, conversations: object = None) -> Notifications:
    """`store`, `conversations`: whatever the test asks of them."""
    telemetry = Telemetry("test")
    return Notifications(
        store,  # type: ignore[arg-type]  # a test answers what it plays
        own_marks_of(FakeBus()),
        FakeRegistry(),
        Hub(telemetry),
        cast("Conversations", conversations),
        clock,
        StoreClock(clock),
        telemetry,
        Tasks(),
        cast("Pushing", SimpleNamespace(look_soon=lambda: None)),
        grace_seconds=grace_seconds,
    )
