"""The conversations of a run and their members, as far as the simulated users know them for sure."""

import contextlib
from collections.abc import Callable, Iterator

from holdfast.drills.history import History


class Rooms:
    """The history gets each request and its acknowledgement; in between a user's membership is open.

    A change without an acknowledgement leaves it open for good: that user is left alone in that conversation.

    Attributes:
        members: conversation -> users that surely are members, the creator first.
        past: all users that were members, or may have been.
    """

    def __init__(self, history: History) -> None:
        self.members: dict[str, list[str]] = {}
        self.past: dict[str, list[str]] = {}
        self.creators: dict[str, str] = {}
        self._history = history
        self._open: set[tuple[str, str]] = set()

    def of(self, user: str) -> list[str]:
        """The conversations that the user is surely a member of."""
        return [conversation for conversation, members in self.members.items() if user in members]

    def is_open(self, conversation: str, user: str) -> bool:
        """Whether a change of that membership is under way, or may have happened."""
        return (conversation, user) in self._open

    @contextlib.contextmanager
    def changing(self, conversation: str, *users: str, present: bool) -> Iterator[Callable[[], None]]:
        """While it is entered these memberships change; call what this gives when that is acknowledged."""
        for user in users:
            self._history.record("asking", conversation=conversation, user=user, present=present)
            self._open.add((conversation, user))
            past = self.past.setdefault(conversation, [])
            if user not in past:
                past.append(user)
            if not present and user in self.members.get(conversation, ()):
                self.members[conversation].remove(user)
        asked = list(users)

        def acknowledged() -> None:
            members = self.members.setdefault(conversation, [])
            for user in asked:
                self._history.record("member", conversation=conversation, user=user, present=present)
                self._open.discard((conversation, user))
                if present and user not in members:
                    members.append(user)
            asked.clear()

        yield acknowledged
