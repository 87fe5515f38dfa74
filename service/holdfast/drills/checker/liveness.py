"""I12: faults end, and so does what they caused."""

import math

from holdfast.drills.checker.run import Run
from holdfast.drills.checker.verdict import Verdict


def check(run: Run, verdict: Verdict) -> None:
    """Every send that began well after the last fault, and long enough before the end, is acknowledged within the bound.

    And no send of a member is ever refused as that of a non-member: the client would not repeat it.
    """
    last = run.faults.all[-1][1] if run.faults.all else 0.0
    begin, bound = last + run.bounds.healthy_s, run.bounds.delivery_s
    for (user, conversation, key), sent in run.sends.items():
        if sent.is_refused and run.memberships.is_member(conversation, user, sent.invoked_at, sent.refused_at):
            message = f"{user}'s {key} in {conversation} was refused as a non-member's"
            verdict.check("I12", sent.code != "conversation_not_found", sent.refused_at, message)
        if begin <= sent.invoked_at <= run.end - bound and not sent.is_refused:
            took = sent.acked_at - sent.invoked_at
            told = f"acknowledged after {took:.1f} s" if took < math.inf else "never acknowledged"
            message = f"{user}'s {key} in {conversation}, sent {sent.invoked_at - last:.0f} s after the last fault, was {told}"
            verdict.check("I12", took <= bound, sent.invoked_at, message, is_late=took < math.inf)
