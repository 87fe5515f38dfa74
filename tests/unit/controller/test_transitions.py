"""Which changes become an Event: lasting ones, once, and once for all pods where it happens to most."""

from holdfast.controller.transitions import Transition, Transitions
from holdfast.domain.ids import InstanceId

A, B, C = InstanceId("a"), InstanceId("b"), InstanceId("c")


def _through(transitions: Transitions, since: int, until: int, **states: str) -> list[Transition]:
    """The Events while it stays like that, looked at each second."""
    told = []
    for now in range(since, until):
        told += transitions.look({InstanceId(name): state for name, state in states.items()}, float(now))
    return told


def test_being_well_is_no_news() -> None:
    assert _through(Transitions(), 0, 100, a="healthy", b="healthy") == []


def test_what_lasts_is_told_once_and_its_end_too() -> None:
    transitions = Transitions()
    assert _through(transitions, 0, 50, a="degraded", b="healthy", c="healthy") == [Transition(A, "degraded")]
    assert _through(transitions, 70, 90, a="healthy", b="healthy", c="healthy") == [Transition(A, "healthy")]


def test_what_is_over_at_once_is_not_told() -> None:
    transitions = Transitions()
    for now in range(0, 60, 6):
        assert _through(transitions, now, now + 3, a="degraded", b="healthy") == []
        assert _through(transitions, now + 3, now + 6, a="healthy", b="healthy") == []


def test_what_happens_to_most_is_told_once_for_all() -> None:
    """Redis is gone: one Event on the Deployment, not one on each pod."""
    told = _through(Transitions(), 0, 30, a="degraded", b="degraded", c="healthy")
    assert told == [Transition(None, "degraded")]
    assert told[0].is_warning


def test_a_pod_that_flaps_is_told_of_once_a_minute() -> None:
    transitions, told = Transitions(), []
    for now in range(0, 120, 20):
        told += _through(transitions, now, now + 10, a="degraded", b="healthy", c="healthy")
        told += _through(transitions, now + 10, now + 20, a="healthy", b="healthy", c="healthy")
    assert len(told) <= 3


def test_a_start_is_no_news_and_a_gone_pod_is_forgotten() -> None:
    transitions = Transitions()
    assert _through(transitions, 0, 30, a="starting", b="healthy") == []
    assert _through(transitions, 30, 60, b="healthy") == []
