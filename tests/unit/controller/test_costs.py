"""The pod with the fewest connections is removed first."""

from holdfast.controller.costs import Costs
from holdfast.domain.ids import InstanceId

A, B, C = InstanceId("a"), InstanceId("b"), InstanceId("c")


def test_costs_are_ranks_and_only_changes_are_written() -> None:
    costs = Costs()
    assert costs.due({A: 50, B: 3, C: 900}, {A: None, B: None, C: 2}, 0.0) == {B: 0, A: 1}


def test_of_one_pod_once_a_minute() -> None:
    costs = Costs()
    costs.due({A: 1, B: 2}, {A: None, B: None}, 0.0)
    assert costs.due({A: 3, B: 2}, {A: 0, B: 1}, 30.0) == {}
    assert costs.due({A: 3, B: 2}, {A: 0, B: 1}, 61.0) == {A: 1, B: 0}


def test_pods_that_are_gone_have_no_cost() -> None:
    """Their leases may still be there."""
    assert Costs().due({A: 1, B: 0}, {A: None}, 0.0) == {A: 0}
