"""Which owners of marks may have died: by beats that do not rise, as seen by one instance."""

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import Epoch, InstanceId
from holdfast.node.recovery.mark_owners import MarkOwners


def _at(beat: int, epoch: str = "e1", name: str = "two") -> Bulletin:
    return Bulletin(InstanceId(name), Epoch(epoch), beat, "redis")


def test_owner_is_late_when_its_beat_did_not_rise_for_4_s() -> None:
    """A beat comes every 3 s; the marks are looked for every 2 s then, until no slow commit can land any more."""
    owners = MarkOwners()
    for now in (0.0, 1.0, 3.9):
        owners.note([_at(1)], now)
    assert (owners.is_living("two:e1"), owners.due(3.9)) == (True, [])
    owners.note([_at(1)], 4.0)
    assert (owners.is_living("two:e1"), owners.due(4.0)) == (False, ["two:e1"])
    assert owners.due(5.0) == []
    assert owners.due(6.0) == ["two:e1"]
    assert owners.due(25.0) == []


def test_owner_whose_beat_rises_again_is_living() -> None:
    """It was frozen, or cut from the store."""
    owners = MarkOwners()
    for now in (0.0, 5.0):
        owners.note([_at(1)], now)
    owners.note([_at(2)], 6.0)
    assert (owners.is_living("two:e1"), owners.due(7.0)) == (True, [])


def test_owner_whose_instance_began_another_run_is_late_at_once() -> None:
    """A restart within 2 s replaces the bulletin: no beat would ever be seen to stand still."""
    owners = MarkOwners()
    owners.note([_at(7)], 0.0)
    owners.note([_at(1, "e2")], 2.0)
    assert owners.due(2.0) == ["two:e1"]
    assert owners.is_living("two:e2")


def test_owner_without_a_bulletin_is_not_living_after_a_look_at_all() -> None:
    """It was reaped, and its bulletin removed."""
    owners = MarkOwners()
    owners.note([_at(1), _at(1, name="three")], 0.0)
    owners.keep([_at(1)])
    assert owners.is_living("two:e1")
    assert not owners.is_living("three:e1")


def test_run_that_ended_in_order_has_no_turn_any_more() -> None:
    """Its bulletin was there at the last look and is gone at the next: its beat was never seen to stand still."""
    owners = MarkOwners()
    owners.note([_at(1), _at(1, name="three")], 0.0)
    owners.note([_at(2, name="three")], 15.0)
    assert owners.living(15.0) == ["two:e1", "three:e1"]
    assert owners.living(30.0) == ["three:e1"]


def test_owner_of_an_impossible_name_is_not_looked_for() -> None:
    """Its epoch would become part of a path."""
    owners = MarkOwners()
    for now in (0.0, 5.0):
        owners.note([_at(1, "a/b")], now)
    assert owners.due(5.0) == []
