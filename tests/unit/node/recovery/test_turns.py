"""The order in which instances complete the work of a dead run."""

from collections import Counter

from holdfast.domain.ids import RunId
from holdfast.node.recovery.turns import SECOND_SECONDS, turn_seconds

RUNS = [RunId(f"i{number}:7") for number in range(100)]
DEAD = [RunId(f"dead{number}:3") for number in range(300)]


def test_one_begins_at_once_the_second_one_soon_and_all_within_a_minute() -> None:
    """Few are at work at the same time, and the death of the first one costs 2 s."""
    seconds = sorted(turn_seconds(run, [each for each in RUNS if each != run], DEAD[0]) for run in RUNS)
    assert seconds[:6] == [0.0, SECOND_SECONDS, 6.0, 14.0, 30.0, 62.0]
    assert set(seconds[6:]) == {62.0}


def test_the_work_of_many_deaths_is_shared_out() -> None:
    """Else one instance would do all of it."""
    few = RUNS[:3]
    first = Counter(run for dead in DEAD for run in few if turn_seconds(run, few, dead) == 0.0)
    assert sum(first.values()) == len(DEAD)
    assert min(first.values()) > len(DEAD) / 5


def test_an_instance_that_knows_of_no_other_begins_at_once() -> None:
    """The others are silent, or there is none."""
    assert turn_seconds(RUNS[0], [], DEAD[0]) == 0.0
