"""I11: which message and user has a notification.

For each message and each member but its sender:

* **none is due** where the user was there when the message was committed (a pause within the grace period included), and the
  message was shown before the service lost sight of the user, or they stayed connected for the delivery bound.
* **one is due** where the user had no connection and asked for none from before the commit until the notification was decided.
* In between **both are right**: these are the margins, counted as `open`. The commit lies between the send and its first
  acknowledgement or delivery, and whichever moment is worse counts. A message that may have been on its way when the connection
  ended. The half second after that: the instance may hear of the end later than the client. The seconds before a connection ended
  without a word. A user who came back before the decision, or whose grace period was just over. A user who joined or was removed
  meanwhile, or joined while an instance may not have noticed that Redis is gone. A user of an instance that stood still, or
  who left an instance up to a beat before it stood still or was killed. A user added up to 3 s before the commit, if they came
  back before the second look that follows 7 s after an addition. A message sent between a restore of the store and the moment
  at which all instances had noticed it. Messages that a user was shown before leaving, where instances of an older version run
  that do not tell these from missed ones.

A user who was surely no member has none. In a conversation of more than 100 members a user has one from the first message for
which one is due until they read.
"""

import math
from collections import Counter, defaultdict
from enum import Enum, auto
from typing import Final

from holdfast.domain.notifications import MAX_RECORD_MEMBERS
from holdfast.drills.checker.commits import Commit, commits_of
from holdfast.drills.checker.faults import Settling
from holdfast.drills.checker.run import Run, Spans
from holdfast.drills.checker.stays import Whereabouts
from holdfast.drills.checker.verdict import Verdict
from holdfast.drills.history import LATEST_HEARD

TO_WHO_LEFT: Final = "due to users who had left"
"""What `Verdict.judged` counts such pairs of message and user under."""

_CLOSED_S: Final = 0.5  # how much later than its client an instance may hear of the end of a connection
_IN_FLIGHT_S: Final = 1.0  # what was committed half a second before the end may not have arrived; the rest are clocks
_SECOND_LOOK_S: Final = 7.0  # an instance that has not heard of an addition leaves the user out; so much later another one looks
_NEVER: Final = Spans(())


class _Is(Enum):
    """The right outcome for one message and one user."""

    DUE = auto()
    DUE_TO_WHO_LEFT = auto()
    NOT_DUE = auto()
    NO_MEMBER = auto()
    OPEN = auto()


def check(run: Run, verdict: Verdict) -> None:
    """Judge every message and user."""
    if not run.has_notifications:
        return
    made = Counter((event.conversation, event.seq, event.user) for event in run.notifications)
    for (conversation, seq, user), count in made.items():
        which = f"{conversation}/{seq}" if seq else f"the large {conversation}"
        verdict.check("I11", count == 1, run.read_at, f"{user} has {count} notifications of {which}")
    judge = _Judge(run)
    for conversation, commits in commits_of(run).items():
        users = sorted(run.memberships.users_of(conversation))
        if len(users) > MAX_RECORD_MEMBERS:
            for user in users:
                _check_large(run, verdict, judge, user, commits, (conversation, 0, user) in made)
        else:
            for commit in commits:
                for user in users:
                    _check_one(verdict, judge, commit, user, (conversation, commit.seq, user) in made)


def _check_one(verdict: Verdict, judge: "_Judge", commit: Commit, user: str, is_made: bool) -> None:
    what = f"{commit.conversation}/{commit.seq}"
    if user == commit.sender:
        verdict.check("I11", not is_made, commit.earliest, f"{user} was notified of {what}, their own message")
        return
    match right := judge.what_is_right(commit, user):
        case _Is.DUE | _Is.DUE_TO_WHO_LEFT:
            verdict.count("notifications", TO_WHO_LEFT if right is _Is.DUE_TO_WHO_LEFT else "due to users who never connected")
            verdict.check("I11", is_made, commit.latest, f"{user}, who was away, was not notified of {what}")
        case _Is.NOT_DUE:
            verdict.count("notifications", "not due")
            verdict.check("I11", not is_made, commit.latest, f"{user}, who was there, was notified of {what}")
        case _Is.NO_MEMBER:
            verdict.check("I11", not is_made, commit.latest, f"{user}, who was no member, was notified of {what}")
        case _Is.OPEN:
            verdict.count("notifications", "open")


def _check_large(run: Run, verdict: Verdict, judge: "_Judge", user: str, commits: list[Commit], is_made: bool) -> None:
    """One until they read: what was read, or was theirs, makes none."""
    conversation = commits[0].conversation
    read_to = run.final_cursors.get((user, conversation), 0)
    others = [commit for commit in commits if commit.sender != user]
    if not others:
        return
    right = {commit.seq: judge.what_is_right(commit, user) for commit in others}
    unread = [right[commit.seq] for commit in others if commit.seq > read_to]
    if _Is.DUE in unread or _Is.DUE_TO_WHO_LEFT in unread:
        verdict.count("notifications", "due in large conversations")
        message = f"{user}, who was away, has no notification of the large {conversation}, which they read up to {read_to}"
        verdict.check("I11", is_made, run.read_at, message)
    elif all(each in (_Is.NOT_DUE, _Is.NO_MEMBER) for each in right.values()):
        verdict.count("notifications", "not due in large conversations")
        verdict.check("I11", not is_made, run.read_at, f"{user}, who was there, was notified of the large {conversation}")
    else:
        verdict.count("notifications", "open in large conversations")


class _Judge:
    """Of one run; asked for each message and user."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._settling = Settling(run)
        self._whereabouts: dict[str, Whereabouts] = {}
        self._shown: dict[str, dict[tuple[str, int], float]] = defaultdict(dict)
        for device in run.devices.values():
            shown = self._shown[device.user]
            for conversation, stream in device.stream.items():
                for event in stream:
                    if event.event == "shown":
                        key = (conversation, event.seq)
                        shown[key] = min(event.t, shown.get(key, math.inf))

    def what_is_right(self, commit: Commit, user: str) -> _Is:
        """For one message, and one user other than its sender."""
        run, memberships = self._run, self._run.memberships
        if memberships.has_been_out(commit.conversation, user, run.bounds.removal_s, commit.earliest, commit.latest):
            return _Is.NO_MEMBER
        if run.unproven.get(user, _NEVER).touches(commit.earliest, commit.latest) or math.isinf(commit.latest):
            return _Is.OPEN
        if run.restores.is_under_way(commit.conversation, commit.earliest, commit.latest):
            return _Is.OPEN
        where = self._whereabouts.get(user)
        if where is None:
            where = self._whereabouts[user] = Whereabouts(run, user)
        if self._was_there(where, commit, user):
            return _Is.OPEN if self._is_shown_again(where, commit) else _Is.NOT_DUE
        return self._when_away(where, commit, user)

    def _was_there(self, where: Whereabouts, commit: Commit, user: str) -> bool:
        stay = where.stay_at(commit.earliest)
        if stay is None or commit.latest > stay.proven_until - _IN_FLIGHT_S or self._stood_still(commit, stay.proven_until):
            return False
        if not self._run.memberships.is_member(commit.conversation, user, commit.earliest, commit.latest):
            return False
        shown_at = self._shown[user].get((commit.conversation, commit.seq), math.inf)
        if shown_at <= stay.proven_until:
            return True
        return self._run.after_faults(commit.latest, self._run.bounds.delivery_s) <= stay.proven_until

    def _is_shown_again(self, where: Whereabouts, commit: Commit) -> bool:
        """Whether an older version may notify the user of it, because the user left soon afterwards (`LATEST_HEARD`)."""
        return LATEST_HEARD in self._run.lacks and where.next_absence(commit.latest) <= commit.latest + self._run.bounds.offline_s

    def _stood_still(self, commit: Commit, until: float) -> bool:
        """Whether an instance stood still from the commit until the stay was over: it may take the message for new."""
        freezes = (fault for fault in self._run.each_fault if fault.name == "freeze")
        return any(fault.began <= commit.latest and until <= fault.ended for fault in freezes)

    def _when_away(self, where: Whereabouts, commit: Commit, user: str) -> _Is:
        absence = where.absence_at(commit.earliest)
        if absence is None or commit.earliest < absence.begin + _CLOSED_S:
            return _Is.OPEN
        has_been_offline = absence.offline_from + self._run.bounds.delivery_s < commit.earliest
        since = commit.earliest if has_been_offline else absence.begin
        decided_from = max(commit.latest, absence.offline_from, self._looked_at_again(commit, user))
        deadline = self._settling.deadline(since, decided_from)
        if deadline >= min(absence.end, self._run.read_at):
            return _Is.OPEN
        known_since = commit.earliest - (self._run.bounds.removal_s if self._settling.is_disturbed(commit.earliest) else 0.0)
        if not self._run.memberships.is_member(commit.conversation, user, known_since, deadline):
            return _Is.OPEN
        return _Is.DUE if math.isinf(absence.begin) else _Is.DUE_TO_WHO_LEFT

    def _looked_at_again(self, commit: Commit, user: str) -> float:
        """When the user's addition is followed by a look at what instances decided that had not heard of it; else -infinity."""
        joined = self._run.memberships.addition(commit.conversation, user, commit.latest)
        is_new = joined is not None and commit.earliest < joined.since + self._run.bounds.removal_s
        return joined.since + _SECOND_LOOK_S if joined is not None and is_new else -math.inf
