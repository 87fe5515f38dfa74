"""What a checker says."""

from dataclasses import dataclass, field
from typing import Any, Final

INVARIANTS: Final = {
    "I1": "every acknowledged message is in the store, under the acknowledged seq, unchanged",
    "I2": "the store holds no message that no client sent, or that was definitely refused",
    "I3": "no send is stored twice, or answered with two seqs",
    "I4": "each conversation's seqs are 1 to n without a gap, and each acknowledged one has its predecessor",
    "I5": "a message that was acknowledged before another one was sent has the smaller seq",
    "I6": "each device shows each message once, in order, without a gap, as stored, from where its user's membership began",
    "I7": "a device that has been connected for the delivery bound shows the tail",
    "I8": "no message sent after a removal is delivered to the user who was removed, and none of that user is accepted",
    "I9": "read cursors never go back, and each advance is told to connected members",
    "I10": "presence agrees with reality within its bound, and does not flicker inside the grace period",
    "I11": "one notification per message and user who was away, none for a shown message or a user who was back in time",
    "I12": "once the fault is gone, sends succeed as before; no member is ever refused as a non-member",
}

_MAX_TOLD: Final = 20  # violations kept per invariant; all are counted


@dataclass(frozen=True, slots=True)
class Violation:
    """One place where an invariant does not hold. `t`: seconds into the run."""

    invariant: str
    t: float
    message: str


@dataclass(slots=True)
class Verdict:
    """The outcome of a judgement.

    Attributes:
        checked: how often each invariant was exercised; 0 means that it was not judged.
        counts: how often each was violated.
        violations: the first 20 of each.
        wrong: how many of them cannot be explained by a busy machine.
        judged: of notifications and receipts: how many of which kind were judged, and how many were open, both being right.
        unknown: events that this version does not know.
    """

    checked: dict[str, int] = field(default_factory=lambda: dict.fromkeys(INVARIANTS, 0))
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(INVARIANTS, 0))
    violations: list[Violation] = field(default_factory=list)
    wrong: int = 0
    judged: dict[str, dict[str, int]] = field(default_factory=dict)
    unknown: int = 0

    @property
    def holds(self) -> bool:
        """Nothing was violated."""
        return not any(self.counts.values())

    @property
    def is_only_late(self) -> bool:
        """Nothing was lost, doubled, false or out of order; at most something took longer than its bound."""
        return self.wrong == 0

    def count(self, what: str, kind: str) -> None:
        """One more of `what` is of that kind."""
        kinds = self.judged.setdefault(what, {})
        kinds[kind] = kinds.get(kind, 0) + 1

    def check(self, invariant: str, is_kept: bool, t: float, message: str, *, is_late: bool = False) -> None:
        """Count one test of an invariant. `is_late`: what is violated is a bound of time, which a busy machine may miss."""
        self.checked[invariant] += 1
        if not is_kept:
            self.counts[invariant] += 1
            self.wrong += not is_late
            if self.counts[invariant] <= _MAX_TOLD:
                self.violations.append(Violation(invariant, t, message))

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "holds": self.holds,
            "invariants": {
                name: {"text": text, "checked": self.checked[name], "violated": self.counts[name]}
                for name, text in INVARIANTS.items()
            },
            "violations": [{"invariant": v.invariant, "t": v.t, "message": v.message} for v in self.violations],
            "judged": self.judged,
            "unknown_events": self.unknown,
        }
