"""The result of one seed, as it goes from the process that played it to the one that counts."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from simulation.cluster import StoreKind
from simulation.faults import Fault, written
from simulation.verdict import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The order to play one seed. `faults`: None for those of the profile. `altered`: names of `support.altered`."""

    profile: str
    seed: int
    seconds: float
    faults: tuple[Fault, ...] | None = None
    altered: tuple[str, ...] = ()
    store: StoreKind = "sqlite"

    @property
    def command(self) -> str:
        """That plays it again, from the root of the checkout."""
        parts = [
            "PYTHONPATH=tests .venv/bin/python -m simulation",
            f"--profile {self.profile} --seeds {self.seed} --seconds {self.seconds:g}",
            *([f"--faults '{written(self.faults)}'"] if self.faults is not None else []),
            *([f"--altered {','.join(self.altered)}"] if self.altered else []),
            *([f"--store {self.store}"] if self.store != "sqlite" else []),
        ]
        return " ".join(parts)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """The result of an order.

    Attributes:
        fingerprint: of the history, the same each time the same order is played.
        simulated_seconds, real_seconds: how long it took.
        turns: callbacks' turns of the loop.
        counts: of faults: `faults` planned, those that `happened`, of these those `aimed at events`, and those that `met them`;
            of sends: those `acknowledged`, and of these those `between faults`, see `verdict.Judgement`.
        findings: what was wrong.
        story: the timeline of the first finding; empty where all was well.
    """

    profile: str
    seed: int
    fingerprint: str = ""
    simulated_seconds: float = 0.0
    real_seconds: float = 0.0
    turns: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    story: str = ""

    @property
    def is_well(self) -> bool:
        """Nothing was wrong."""
        return not self.findings

    @property
    def kinds(self) -> Sequence[str]:
        """Of findings, each once, the first first."""
        return tuple(dict.fromkeys(finding.kind for finding in self.findings))

    def encoded(self) -> bytes:
        """For a pipe."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decoded(cls, data: bytes) -> Self:
        """What `encoded` gave."""
        fields: dict[str, Any] = json.loads(data)
        fields["findings"] = [Finding(**each) for each in fields["findings"]]
        return cls(**fields)


def total(outcomes: Iterable[Outcome], count: str) -> int:
    """A count of all of them."""
    return sum(outcome.counts.get(count, 0) for outcome in outcomes)


def faultless(outcomes: Sequence[Outcome]) -> list[str]:
    """Profiles of which no fault happened: their seeds say no more than those of `calm`."""
    names = dict.fromkeys(outcome.profile for outcome in outcomes if outcome.counts.get("faults"))
    return [name for name in names if not total((each for each in outcomes if each.profile == name), "happened")]
