"""I12: faults end, and so does what they caused."""

import math

from holdfast.drills.checker.run import Run
from holdfast.drills.checker.verdict import Verdict


def check(run: Run, verdict: Verdict) -> None:
    """Every send that began well after the last fault, and long enough before the end, is acknowledged within the bound."""
    last = run.faults.all[-1][1] if run.faults.all else 0.0
    begin, bound = last + run.bounds.healthy_s, run.bounds.delivery_s
    for (user, conversation, key), sent in run.sends.items():
        if begin <= sent.invoked_at <= run.end - bound and not sent.is_refused:
            took = sent.acked_at - sent.invoked_at
            told = f"acknowledged after {took:.1f} s" if took < math.inf else "never acknowledged"
            message = f"{user}'s {key} in {conversation}, sent {sent.invoked_at - last:.0f} s after the last fault, was {told}"
            verdict.check("I12", took <= bound, sent.invoked_at, message, is_late=took < math.inf)
