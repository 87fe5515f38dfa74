"""The judgement of a history: twelve invariants, each checked in time linear in the events."""

from holdfast.drills.checker.judge import judge
from holdfast.drills.checker.verdict import INVARIANTS, Verdict, Violation

__all__ = ["INVARIANTS", "Verdict", "Violation", "judge"]
