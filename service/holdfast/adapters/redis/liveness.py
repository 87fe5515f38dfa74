"""Whether the bus hears itself: a pure function of echoes, failures, subscriptions and time."""

from typing import Final

from holdfast.adapters.redis.permissions import is_denial

_ECHO_SECONDS: Final = 1.5  # one probe a second may be late by half of one
_UNCONFIRMED_SECONDS: Final = 1.0  # as long as `subscribe` waits; ordinary subscribing is no loss of liveness


class Liveness:
    """All times are seconds on a monotonic clock."""

    def __init__(self) -> None:
        """Not live until the first echo."""
        self._last_echo = float("-inf")
        self._nonce = 0
        self._oldest_valid_nonce = 1
        self._has_completed = False  # on the connection as it is
        self._unconfirmed_since: float | None = None
        self._was_live = False
        self._reason = self._told = "not connected yet"

    def next_nonce(self) -> int:
        """The nonce of the next probe."""
        self._nonce += 1
        return self._nonce

    def echoed(self, nonce: int, now: float) -> None:
        """A probe came back. One that was sent before a loss proves nothing about the time after it."""
        if nonce >= self._oldest_valid_nonce:
            self._last_echo = now
            self._reason = f"no echo for {_ECHO_SECONDS} s"

    def wanting(self, now: float) -> None:
        """Something wanted is not confirmed."""
        if self._unconfirmed_since is None:
            self._unconfirmed_since = now

    def complete(self) -> None:
        """Everything wanted is confirmed."""
        self._has_completed = True
        self._unconfirmed_since = None

    def lost(self, reason: str) -> None:
        """A publish failed or the connection ended: only the echo of a later probe proves life again."""
        if self._last_echo != float("-inf") or is_denial(reason):
            self._reason = reason  # the first reason is the cause, later ones follow from it; a missing right is a cause always
        self._last_echo = float("-inf")
        self._oldest_valid_nonce = self._nonce + 1

    def restarted(self, now: float) -> None:
        """There is a new connection; nothing is confirmed on it."""
        self._has_completed = False
        self._unconfirmed_since = now

    def is_live(self, now: float) -> bool:
        """An echo younger than 1.5 s, and nothing unconfirmed for longer than a second."""
        if not self._has_completed or now - self._last_echo >= _ECHO_SECONDS:
            return False
        return self._unconfirmed_since is None or now - self._unconfirmed_since < _UNCONFIRMED_SECONDS

    def turn(self, now: float) -> tuple[bool, str] | None:
        """(is_live, why not) when that changed since the last call, or when it is not live because a right is missing."""
        is_live = self.is_live(now)
        is_news = not is_live and is_denial(self._reason) and self._reason != self._told
        if is_live == self._was_live and not is_news:
            return None
        self._told = self._reason
        self._was_live = is_live
        if is_live:
            return True, ""
        is_silent = now - self._last_echo >= _ECHO_SECONDS
        return False, self._reason if is_silent else "subscriptions are not confirmed"
