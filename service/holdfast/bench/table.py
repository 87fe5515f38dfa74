"""What the rounds found: a table in Markdown, and the same with all single figures for machines. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from holdfast.bench.rounds import WARM_UP, Turn
from holdfast.bench.spread import Spread, ratio, spread
from holdfast.bench.workloads import Figure, Workload

NEAR_LIMIT: Final = 0.85
"""A load client that used more of a core than this share may be what limited the figure."""

_NOTHING: Final = "—"
_LEGEND: Final = (
    "Median of {rounds} rounds (least-greatest); a ratio is the median of the ratios of single rounds. ↑: more is better, "
    "↓: less is better. †: the load client used more than "
    f"{NEAR_LIMIT:.0%} of a core, so the server may be faster than that. "
    f"{_NOTHING}: not measured, because the server has nothing of the kind, or does not run here."
)


@dataclass(frozen=True, slots=True)
class Column:
    """One server: why it could not be run here (empty where it could), its versions, and what it does not do."""

    name: str
    versions: str
    lacks: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found. `against`: the columns that the first one is divided by."""

    machine: Mapping[str, object]
    columns: Sequence[Column]
    workloads: Sequence[Workload]
    turns: Sequence[Turn]
    against: Sequence[str] = ()

    @property
    def failures(self) -> list[str]:
        """Rounds in which a member did not get what it was sent, the warm-up included."""
        bad = [turn for turn in self.turns if turn.outcome.problem]
        return [f"{turn.server}, {turn.workload}, {_where(turn)}: {turn.outcome.problem}" for turn in bad]


def markdown(report: Report) -> str:
    """The table, its legend, and a line for each other server about what it does not do."""
    against = [name for name in report.against if any(column.name == name and not column.problem for column in report.columns)]
    ours = report.columns[0].name
    heads = ["workload", "unit", *(column.name for column in report.columns), *(f"{ours} ÷ {name}" for name in against)]
    lines = [_row(heads), _row(["---"] * len(heads))]
    lines += [_row(_cells(report, workload, figure, against)) for workload, figure in _figures(report)]
    lines += [
        "",
        _LEGEND.format(rounds=max((turn.round for turn in report.turns), default=0)),
        "",
        *(f"* **{column.name}** {_told(column)}" for column in report.columns),
        "",
        "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in report.machine.items() if name != "peers") + ".",
        "",
        *_judgement(report),
    ]
    return "\n".join(lines) + "\n"


def plain(report: Report) -> dict[str, object]:
    """For JSON: the machine, the servers, the summary, and each single turn."""
    return {
        "machine": dict(report.machine),
        "servers": [asdict(column) for column in report.columns],
        "summary": [
            {"workload": workload.name, "figure": figure.key, "server": column.name, **asdict(found)}
            for workload, figure in _figures(report)
            for column in report.columns
            if (found := _spread(report, workload, column.name, figure.key)) is not None
        ],
        "turns": [
            {
                "round": turn.round,
                "workload": turn.workload,
                "server": turn.server,
                **turn.outcome.values,
                "client_share": turn.outcome.client_share,
                **turn.outcome.verdict.counts(),
                "orders": turn.outcome.verdict.orders,
                "problem": turn.outcome.problem,
            }
            for turn in report.turns
        ],
        "failures": report.failures,
    }


def line(turn: Turn, workload: Workload) -> str:
    """One turn, while the rounds are played."""
    found = turn.outcome
    figures = ", ".join(f"{readable(found.values[each.key])} {each.unit}" for each in workload.figures)
    limit = ", near its limit" if found.client_share > NEAR_LIMIT else ""
    judged = found.problem or found.verdict
    client = f"load client {found.client_share:.0%} of a core{limit}"
    return f"{_where(turn):<8} {workload.name:<23} {turn.server:<18} {figures}; {client}; {judged}"


def readable(value: float) -> str:
    """Three digits or a little more: 1.42M, 89.1k, 744, 7.62, 0.35."""
    for size, name in ((1e6, "M"), (1e3, "k")):
        if value >= size * (1 if name == "M" else 10):
            return f"{value / size:.3g}{name}" if value / size < 1000 else f"{value / size:,.0f}{name}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _where(turn: Turn) -> str:
    return "warm-up" if turn.round == WARM_UP else f"round {turn.round}"


def _figures(report: Report) -> Iterator[tuple[Workload, Figure]]:
    for workload in report.workloads:
        for figure in workload.figures:
            yield workload, figure


def _cells(report: Report, workload: Workload, figure: Figure, against: Sequence[str]) -> list[str]:
    ours = _values(report, workload, report.columns[0].name, figure.key)
    ratios = [ratio(ours, _values(report, workload, name, figure.key)) for name in against]
    return [
        workload.title,
        f"{figure.unit} {'↑' if figure.is_more_better else '↓'}",
        *(_cell(report, workload, column.name, figure.key) for column in report.columns),
        *(_NOTHING if found is None else f"{found:.2f}" for found in ratios),
    ]


def _cell(report: Report, workload: Workload, server: str, key: str) -> str:
    found = _spread(report, workload, server, key)
    if found is None:
        return _NOTHING
    shares = [turn.outcome.client_share for turn in _counted(report, workload, server)]
    mark = " †" if spread(shares).median > NEAR_LIMIT else ""
    return f"{readable(found.median)} ({readable(found.low)}-{readable(found.high)}){mark}"


def _spread(report: Report, workload: Workload, server: str, key: str) -> Spread | None:
    values = _values(report, workload, server, key)
    return spread(values) if values else None


def _values(report: Report, workload: Workload, server: str, key: str) -> list[float]:
    return [turn.outcome.values[key] for turn in _counted(report, workload, server)]


def _counted(report: Report, workload: Workload, server: str) -> list[Turn]:
    return [turn for turn in report.turns if (turn.workload, turn.server) == (workload.name, server) and turn.round != WARM_UP]


def _told(column: Column) -> str:
    if column.problem:
        return f"does not run here: {column.problem}."
    return f"({column.versions}): {column.lacks}." if column.lacks else f"({column.versions})."


def _judgement(report: Report) -> list[str]:
    if report.failures:
        return ["**Not as sent:**", "", *(f"* {each}" for each in report.failures)]
    return ["In every round each member received each message once, and each sender's messages in order."]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
