"""All workloads at all servers, in rounds: in each round, one workload is played at one server after the other (A B C, A B C …).

So a machine that gets slower for a while does so for all of them. The first round only warms up, and is judged, too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.bench.client import LoadClient
from holdfast.bench.play import Outcome, Server, can_play, measure, rest
from holdfast.bench.workloads import Workload

WARM_UP = 0
"""The number of the round that does not count."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One workload at one server in one round."""

    round: int
    workload: str
    server: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Plan:
    """How long: `rounds` that count, `seconds` of each load; the warm-up is a third of that."""

    workloads: Sequence[Workload]
    rounds: int
    seconds: float


def play_rounds(
    servers: Sequence[Server], plan: Plan, client: LoadClient, directory: Path, tell: Callable[[Turn, Workload], None]
) -> list[Turn]:
    """All turns, in their order; `tell` is called after each.

    Raises:
        TargetFailed: a server refused connections.
    """
    turns = []
    for number in range(WARM_UP, plan.rounds + 1):
        seconds = plan.seconds / 3 if number == WARM_UP else plan.seconds
        for workload in plan.workloads:
            for server in servers:
                if can_play(server, workload):
                    turn = Turn(number, workload.name, server.name, measure(server, workload, client, seconds, directory))
                    tell(turn, workload)
                    turns.append(turn)
                    rest(server)
    return turns
