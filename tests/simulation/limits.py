"""What `docs/operating.md` says the service does not do: runs with drawn faults excuse it, the scenarios keep it as it is.

Redis is away when an instance commits, and the instance dies right after. No other instance knows of the commit, and users who
were offline by then are not notified of it.
"""

from collections.abc import Iterable
from typing import Final

from holdfast.drills.checker.commits import Commit, commits_of
from holdfast.drills.checker.run import Fault, Run
from holdfast.drills.checker.verdict import Violation

_RIGHT_AFTER_SECONDS: Final = 1.0  # an instance decides within moments whom it notifies; so much later it has done so
_UNANSWERING: Final = frozenset(("redis-kill", "redis-freeze", "redis-refuses"))


def promised(run: Run, violations: Iterable[Violation]) -> list[Violation]:
    """Without the notifications that `docs/operating.md` excludes."""
    commits = [commit for found in commits_of(run).values() for commit in found]
    lost = {f"was not notified of {each.conversation}/{each.seq}" for each in commits if _is_known_to_none(run, each)}
    return [each for each in violations if each.invariant != "I11" or not any(each.message.endswith(end) for end in lost)]


def _is_known_to_none(run: Run, commit: Commit) -> bool:
    kills = (fault for fault in run.each_fault if fault.name == "pod-kill")
    soon = (kill for kill in kills if commit.earliest <= kill.began <= commit.latest + _RIGHT_AFTER_SECONDS)
    return any(_is_without_redis(run, commit, kill) and _may_have_committed(run, commit, kill.target) for kill in soon)


def _may_have_committed(run: Run, commit: Commit, instance: str) -> bool:
    """Whether the sender was connected there, or wrote by REST, which may be served by any instance."""
    sent = run.placed[commit.conversation].get(commit.seq)
    lines = (line for device in run.devices.values() if device.user == commit.sender for line in device.lines.values())
    return (sent is not None and sent.is_by_rest) or any(
        line.instance == instance and line.opened_at <= commit.latest and commit.earliest <= line.closed_at for line in lines
    )


def _is_without_redis(run: Run, commit: Commit, kill: Fault) -> bool:
    """Whether the instance that was killed did not reach Redis from the commit on."""
    return any(
        (fault.name in _UNANSWERING or (fault.name == "partition" and fault.target.startswith(f"{kill.target}/r")))
        and fault.began <= commit.latest
        and kill.began <= fault.ended
        for fault in run.each_fault
    )
