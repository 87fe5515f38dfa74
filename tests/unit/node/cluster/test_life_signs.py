"""Whether an instance may have been declared dead: told by the heartbeats that the store acknowledged."""

from holdfast.node.cluster.life_signs import LifeSigns
from support.fakes import ManualClock


def test_before_the_first_heartbeat_nothing_is_certain() -> None:
    """The presence of this instance's users in the store is not known."""
    signs = LifeSigns(ManualClock())
    signs.note_lease()
    assert not signs.are_unbroken


def test_heartbeats_that_follow_each_other_closely_are_a_proof() -> None:
    """After a late one another instance, which saw no lease either, may have reaped this one; a lease that is held proves not."""
    clock = ManualClock()
    signs = LifeSigns(clock)
    signs.note_beat(clock.now)
    signs.note_lease()
    for _ in range(3):
        clock.now += 3.0
        signs.note_beat(clock.now)
        assert signs.are_unbroken
    clock.now += 5.0
    assert not signs.are_unbroken
    signs.note_beat(clock.now)
    assert not signs.are_unbroken
    signs.note_lease()
    assert signs.are_unbroken


def test_a_heartbeat_counts_from_when_it_was_sent() -> None:
    """Until it was acknowledged the store may have shown the one before."""
    clock = ManualClock()
    signs = LifeSigns(clock)
    signs.note_beat(clock.now)
    signs.note_lease()
    sent_at = clock.now + 3.0
    clock.now += 5.5
    signs.note_beat(sent_at)
    assert not signs.are_unbroken


def test_a_successor_of_the_same_name_reaps_at_once() -> None:
    """It takes what stands under the name out of the store, heartbeats or not."""
    clock = ManualClock()
    signs = LifeSigns(clock)
    signs.note_beat(clock.now)
    signs.note_lease()
    signs.note_successor()
    assert not signs.are_unbroken
