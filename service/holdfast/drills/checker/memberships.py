"""The memberships of users in conversations over time: by the requests, and by their acknowledgements.

Between a request and its acknowledgement both are right. A change without an acknowledgement, or two of one pair at the same
time, leave the membership open until the end of the run.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.drills.history import Event


@dataclass(slots=True)
class Membership:
    """One stretch of a user's membership; seconds into the run, infinite where it never came to that.

    Attributes:
        asked_at, since: when it was asked for and when it was acknowledged; it began in between.
        leaving_at, left_at: the same of its end.
    """

    asked_at: float
    since: float = math.inf
    leaving_at: float = math.inf
    left_at: float = math.inf

    def covers(self, begin: float, end: float) -> bool:
        """Whether the user was surely a member from `begin` to `end`."""
        return self.since <= begin and end < self.leaving_at


_NONE: Final[tuple[Membership, ...]] = ()


class Memberships:
    """Filled event by event, in the order of time."""

    def __init__(self) -> None:
        self._by_user: dict[str, dict[str, list[Membership]]] = defaultdict(dict)
        self._users: dict[str, set[str]] = defaultdict(set)
        self._asked: set[tuple[str, str]] = set()
        self._open: set[tuple[str, str]] = set()

    def of(self, conversation: str, user: str) -> Sequence[Membership]:
        """All stretches of one user in one conversation, in order."""
        return self._by_user[user].get(conversation, _NONE) if user in self._by_user else _NONE

    def knows(self, conversation: str) -> bool:
        """Whether the history has the members of this conversation."""
        return conversation in self._users

    def users_of(self, conversation: str) -> set[str]:
        """Everyone who was or may have been a member at any time."""
        return self._users.get(conversation, set())

    def conversations_of(self, user: str) -> Sequence[str]:
        """Every conversation that the user was or may have been a member of at any time."""
        return tuple(self._by_user.get(user, ()))

    def is_member(self, conversation: str, user: str, begin: float, end: float) -> bool:
        """Whether the user was surely a member all that time."""
        return any(each.covers(begin, end) for each in self.of(conversation, user))

    def latest(self, conversation: str, user: str, t: float) -> Membership | None:
        """The last stretch that was asked for by `t`."""
        return next((each for each in reversed(self.of(conversation, user)) if each.asked_at <= t), None)

    def addition(self, conversation: str, user: str, t: float) -> Membership | None:
        """The last stretch that was asked for by `t`, unless the conversation began with it."""
        joined = self.latest(conversation, user, t)
        if joined is None:
            return None
        others = (each for other in self.users_of(conversation) for each in self.of(conversation, other))
        return joined if any(each.asked_at < joined.asked_at for each in others) else None

    def has_been_out(self, conversation: str, user: str, seconds: float, t: float, by: float) -> bool:
        """Whether at `t` the user was surely no member for so many seconds, and no membership was asked for by `by`."""
        if not self.knows(conversation):
            return False
        return all(each.left_at + seconds < t for each in self.of(conversation, user) if each.asked_at <= by)

    def take(self, event: Event) -> None:
        """One `asking` or `member` event."""
        pair = (event.conversation, event.user)
        stretches = self._by_user[event.user].setdefault(event.conversation, [])
        self._users[event.conversation].add(event.user)
        if pair in self._open:
            return
        if event.event == "asking" and pair in self._asked:
            self._leave_open(pair, stretches, event.t)
            return
        if pair not in self._asked:
            self._ask(stretches, event)
        if event.event == "asking":
            self._asked.add(pair)
        else:
            self._asked.discard(pair)
            self._acknowledge(stretches, event)

    def _ask(self, stretches: list[Membership], event: Event) -> None:
        is_in = bool(stretches) and math.isinf(stretches[-1].leaving_at)
        if event.present and not is_in:
            stretches.append(Membership(event.t))
        elif not event.present and is_in:
            stretches[-1].leaving_at = event.t

    def _acknowledge(self, stretches: list[Membership], event: Event) -> None:
        if not stretches:
            return
        last = stretches[-1]
        if event.present:
            last.since = min(last.since, event.t)
        else:
            last.left_at = min(last.left_at, event.t)

    def _leave_open(self, pair: tuple[str, str], stretches: list[Membership], t: float) -> None:
        """Which of two changes came last cannot be told: from here on both are right."""
        self._open.add(pair)
        if not stretches:
            stretches.append(Membership(t))
        stretches[-1].leaving_at = min(stretches[-1].leaving_at, t)
        stretches[-1].left_at = math.inf
