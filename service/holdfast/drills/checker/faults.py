"""How long the consequences of a failure may last."""

from typing import Final

from holdfast.drills.checker.run import Fault, Run

DEADLY: Final = frozenset(("pod-kill", "container-restart", "commit-kill", "freeze", "node-loss"))
"""An instance ends without a word, or is taken for dead: what it had to do is done by others when its lease is over."""

_DRAINING: Final = frozenset(("drain", "node-drain", "pod-delete", "rolling-restart", "scale-in"))
"""An instance drains and ends: users whose grace period is not over then are taken offline by other instances."""

_LEFT_S: Final = 10.0
"""So long after the end of a drained instance: a silence of 6 s, two looks of 1.5 s, and one at what the users missed."""


class Settling:
    """Deadlines of what the service decides after a commit, by what was broken meanwhile."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._faults = sorted(run.each_fault, key=lambda fault: fault.began)

    def deadline(self, since: float, t: float) -> float:
        """When that is decided which became due at `t`, from what happened since `since`.

        Without a failure: within the delivery bound. With one, seconds without any failure count: those of the delivery bound and
        of becoming healthy again. Where an instance died, also those in which the dead instance is found (`offline_s`), and where
        one drained, `_LEFT_S`.
        """
        bounds = self._run.bounds
        calm = t + bounds.delivery_s
        if not (met := self._met(since - bounds.healthy_s, calm)):
            return calm
        deadline = self._quiet(t, bounds.healthy_s + bounds.delivery_s)
        names = {fault.name for fault in (*met, *self._met(since, deadline))}
        if names & DEADLY:
            return self._quiet(t, bounds.offline_s + bounds.delivery_s)
        return self._quiet(t, bounds.healthy_s + bounds.delivery_s + _LEFT_S) if names & _DRAINING else deadline

    def is_disturbed(self, t: float) -> bool:
        """Whether something was broken within `removal_s` before `t`: so long a change of members may not be known everywhere."""
        return bool(self._met(t - self._run.bounds.removal_s, t))

    def has_death(self, begin: float, end: float) -> bool:
        """Whether an instance died in that time."""
        return any(fault.name in DEADLY and begin <= fault.began <= end for fault in self._faults)

    def _met(self, begin: float, end: float) -> list[Fault]:
        return [fault for fault in self._faults if fault.began <= end and begin <= fault.ended]

    def _quiet(self, t: float, seconds: float) -> float:
        """When so many seconds without any failure have passed."""
        for began, ended in self._run.faults.all:
            if ended <= t:
                continue
            if began - t >= seconds:
                break
            seconds -= max(0.0, began - t)
            t = ended
        return t + seconds
