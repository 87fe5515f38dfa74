"""Faults as data: what a failed seed prints can be played again, and is as short as it can be."""

import itertools
from collections.abc import Sequence

import pytest

from simulation.aims import Aims
from simulation.faults import Fault, parsed, written
from simulation.outcome import Outcome, faultless
from simulation.playing import KINDS
from simulation.profiles import PROFILES
from simulation.shrinking import shortest


@pytest.mark.parametrize("profile", PROFILES)
def test_faults_of_a_profile_can_be_written_and_read_again(profile: str) -> None:
    """The command of a failed seed would play something else otherwise."""
    planned = PROFILES[profile].plan(seed=7, seconds=300)

    assert parsed(written(planned)) == planned


@pytest.mark.parametrize("profile", [name for name in PROFILES if name != "calm"])
def test_same_seed_gives_the_same_faults_and_another_seed_others(profile: str) -> None:
    """A seed stands for one run."""
    plans = [PROFILES[profile].plan(seed, seconds=200) for seed in (1, 1, 2)]

    assert plans[0] == plans[1]
    assert plans[0] != plans[2]
    assert plans[0]


@pytest.mark.parametrize("profile", [name for name, each in PROFILES.items() if each.together == 1 and each.draws])
def test_every_second_pause_between_faults_is_long_enough_to_be_judged(profile: str) -> None:
    """A fault excuses what is late until it has been over for the bound of delivery: without pauses hardly anything is judged."""
    faults = PROFILES[profile].plan(seed=7, seconds=300)
    pauses = [after.at - before.at - before.lasts for before, after in itertools.pairwise(faults)]

    assert min(pauses[1::2]) >= 6.0


def test_every_kind_of_fault_is_drawn_by_a_profile() -> None:
    """One that none draws is never played, and a run would end with one that is not known."""
    drawn = {draw.kind for profile in PROFILES.values() for draw in profile.draws}

    assert drawn == set(KINDS)


def test_profile_of_which_no_fault_happened_is_named() -> None:
    """Faults wait for their events and for one another: some do not happen, and a profile without any judges calm days only."""

    def outcome(profile: str, faults: int, happened: int) -> Outcome:
        return Outcome(profile=profile, seed=1, counts={"faults": faults, "happened": happened})

    outcomes = [
        outcome("calm", 0, 0),
        outcome("kill", 4, 0),
        outcome("kill", 5, 1),
        outcome("flush", 4, 0),
        outcome("flush", 2, 0),
    ]

    assert faultless(outcomes) == ["flush"]


def test_two_faults_that_fail_only_together_are_found_among_many() -> None:
    """A failed run is explained by its shortest list of faults."""
    faults = tuple(Fault(kind=f"kind-{number}", at=float(number)) for number in range(12))

    def fails(some: Sequence[Fault]) -> bool:
        return faults[2] in some and faults[9] in some

    assert shortest(faults, fails) == (faults[2], faults[9])


def test_run_that_fails_without_faults_needs_none() -> None:
    """The faults are no part of the explanation then."""
    assert shortest([Fault(kind="kill", at=1.0)], lambda _: True) == ()


def test_number_of_plays_is_bounded() -> None:
    """Each is a whole run; the faults that are left when the runs are used up are the answer."""
    faults = tuple(Fault(kind=f"kind-{number}", at=float(number)) for number in range(50))
    plays: list[int] = []

    def fails(some: Sequence[Fault]) -> bool:
        plays.append(len(some))
        return len(some) == len(faults)

    assert shortest(faults, fails, plays=10) == faults
    assert len(plays) <= 11


def test_aim_acts_in_the_callback_of_its_event_and_once() -> None:
    """A kill has to fall between two steps that no clock would hit."""
    aims, hit = Aims(), list[str]()
    aims.arm("commit", "i2", 1, hit.append)

    for place in ("i2", "i1", "i2", "i2"):
        aims.note("commit", place)

    assert hit == ["i2"]
    assert aims.seen["commit"] == 4


def test_aim_that_is_disarmed_does_not_act() -> None:
    """A fault that has waited for too long acts by the clock, and not a second time."""
    aims, hit = Aims(), list[str]()
    aim = aims.arm("commit", "", 0, hit.append)

    assert aims.disarm(aim)
    aims.note("commit", "i1")

    assert hit == []
    assert not aims.disarm(aim)
