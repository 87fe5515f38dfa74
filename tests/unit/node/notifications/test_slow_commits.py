"""Which commits are decided a second time."""

from holdfast.domain.ids import ConversationId
from holdfast.node.cluster.store_clock import StoreClock
from holdfast.node.notifications.slow_commits import SlowCommits
from holdfast.node.sending.append import Commit
from support.delivery_scene import delivered
from support.virtual_time import LoopClock, in_virtual_time


@in_virtual_time
async def test_commit_whose_sends_were_given_up_is_a_slow_one() -> None:
    """Its senders were told `unknown` long ago, and a reader who left since was not shown the message."""
    for accepted, is_slow in ((-10.0, True), (-0.1, False)):
        clock = LoopClock()
        store_clock = StoreClock(clock)
        now = clock.monotonic()
        store_clock.note(1_000_000, now)
        own = [delivered(1)]
        commit = Commit(ConversationId("c1"), own, now + accepted, None, own)
        found = SlowCommits(store_clock, 15.0).slow(commit)
        assert [each.message.seq for each in found] == ([1] if is_slow else []), accepted
