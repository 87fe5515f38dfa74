"""What each event costs, exactly: a change of cost is written down in `table`, and so on the page, or it is a mistake."""

import pytest

from simulation.costs import cases
from simulation.costs.counting import COLUMNS, Count
from simulation.costs.measuring import Event, measured
from simulation.costs.page import PAGE, found, section
from simulation.costs.table import ROWS, Cost


def _sums(count: Count) -> dict[str, int]:
    sums = dict.fromkeys(COLUMNS, 0)
    for (column, _), number in count.items():
        sums[column] += number
    return sums


def _written(sums: dict[int, dict[str, int]]) -> str:
    """As it would stand in the table; with fractions where the sizes do not lie on a line."""
    (one, at_one), (other, at_other) = sums.items()
    figures = []
    for column in COLUMNS:
        each = (at_other[column] - at_one[column]) / (other - one)
        base = at_one[column] - each * one
        if base or each:
            figures.append(f"{column}=({base:g}, {each:g})")
    return f"Cost({', '.join(figures)})"


@pytest.mark.parametrize("name", ROWS)
def test_event_costs_exactly_what_the_table_says(name: str) -> None:
    """Operators plan by these figures, and a cost that creeps in is seen at once."""
    row = ROWS[name]
    counts = {size: row.count(size) for size in row.sizes}
    sums = {size: _sums(count) for size, count in counts.items()}
    assert sums == {size: row.cost.at(size) for size in row.sizes}, f"now {_written(sums)}:\n" + "\n".join(
        f"{column} {operation}: {[count[column, operation] for count in counts.values()]}"
        for column, operation in sorted({key for count in counts.values() for key in count})
    )


def test_page_has_the_figures_of_the_table() -> None:
    """`make costs` writes the section again."""
    assert found(PAGE.read_text(encoding="utf-8")) == section()


@pytest.mark.long
def test_flushall_with_a_thousand_users_costs_no_operation_of_the_store() -> None:
    """Registrations are Redis's own: two thousand writes at one moment would be an outage of another kind."""
    sums = _sums(measured(Event(cases.flush, seconds=20.0), 1_000))
    assert sums == Cost(commands=(18, 0), scripted=(6, 0), inside=(4_039, 0)).at(0)
