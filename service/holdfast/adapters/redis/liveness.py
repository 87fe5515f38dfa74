"""Whether Redis delivers published envelopes: a pure function of bytes, echoes, confirmations, failures and time.

Two questions, two answers. `is_live`: it is proven now that everything published before has been received, so caches may be
trusted. `is_lost`: Redis, or the way to it, does not work; this is told to operators and clients. In between, caches are not
trusted and no alarm is raised: a loop that stood still has to receive an echo first.

Silence is counted in time in which this process listened: of the time between two ticks no more than half a second counts.
Thousands of clients that connect at once keep the loop from reading what has long arrived; that is no fault of Redis.
"""

from typing import Final

from holdfast.adapters.redis.permissions import is_denial

BYTE_SECONDS: Final = 1.5  # one probe a second comes back on the subscribed connection; it may be late by half of one
ECHO_SECONDS: Final = 2.5  # the probe goes by another connection, behind everything that is published
DEAF_SECONDS: Final = 3.0  # three probes; a hung Redis must be found within 3 s
UNANSWERED_SECONDS: Final = 3.0  # 500 channels are 3 ms of Redis's time
STALL_SECONDS: Final = 1.0  # a loop that stood still that long may have been frozen: what it believed is old
_COUNTED_SECONDS: Final = 0.5  # twice the time between two ticks

_NEVER: Final = float("-inf")


class Liveness:
    """`now` is always seconds on a monotonic clock. `tick` is to be called every quarter of a second.

    Attributes:
        is_lost: see above; judged at each tick and each event.
    """

    def __init__(self) -> None:
        """Lost until the first echo."""
        self.is_lost = True
        self._was_lost = True
        self._is_proven = False
        self._is_restored = False  # on the connection as it is
        self._ticked_at = _NEVER
        self._not_listened = 0.0
        self._last_byte = _NEVER
        self._last_echo = _NEVER
        self._waiting_since: float | None = None
        self._nonce = 0
        self._oldest_valid_nonce = 1
        self._reason = self._told = "not connected yet"

    def is_live(self, now: float) -> bool:
        """An echo proves it, and the loop has not stood still since."""
        return not self.is_lost and self._is_proven and now - self._ticked_at <= STALL_SECONDS

    # --- what happens -------------------------------------------------------------------------------------------------

    def next_nonce(self) -> int:
        """The nonce of the next probe."""
        self._nonce += 1
        return self._nonce

    def tick(self, now: float) -> None:
        """Time passed."""
        passed = now - self._ticked_at if self._ticked_at != _NEVER else 0.0
        self._ticked_at = now
        self._not_listened += max(0.0, passed - _COUNTED_SECONDS)
        if passed > STALL_SECONDS:
            self._is_proven = False
            self._oldest_valid_nonce = self._nonce + 1
        self._judge(now)

    def heard(self, now: float) -> None:
        """Bytes came on the subscribed connection."""
        self._last_byte = self._listened(now)

    def echoed(self, nonce: int, now: float) -> None:
        """A probe came back. One that was sent before a loss, or a stall, proves nothing about the time after it."""
        if nonce >= self._oldest_valid_nonce:
            self._last_echo = self._last_byte = self._listened(now)
            self._is_proven = True
            self._reason = ""
        self._judge(now)

    def asked(self, now: float) -> None:
        """A SUBSCRIBE was sent; there is only one at a time."""
        self._waiting_since = self._listened(now)

    def answered(self, now: float, *, is_all: bool) -> None:
        """Channels were confirmed: all of those that were asked for, or some, which is progress."""
        self._waiting_since = None if is_all else self._listened(now)

    def restarted(self, now: float) -> None:
        """There is a new connection; nothing is confirmed on it."""
        self._is_restored = False
        self._waiting_since = None
        self.heard(now)

    def restored(self, now: float) -> None:
        """The channels wanted when the connection was made are confirmed on it."""
        self._is_restored = True
        self._judge(now)

    def lost(self, reason: str, now: float) -> None:
        """A publish failed or the connection ended: only the echo of a later probe proves life again."""
        if self._last_echo != _NEVER or is_denial(reason):
            self._reason = reason  # the first reason is the cause, later ones follow from it; a missing right is a cause always
        self._last_echo = _NEVER
        self._is_proven = False
        self._oldest_valid_nonce = self._nonce + 1
        self._judge(now)

    # --- what follows -------------------------------------------------------------------------------------------------

    def turn(self, now: float) -> tuple[bool, str] | None:
        """(whether it is well, why not) when that changed since the last call, or when it is lost because a right is missing."""
        is_news = self.is_lost and is_denial(self._reason) and self._reason != self._told
        if self.is_lost == self._was_lost and not is_news:
            return None
        self._told = self._reason
        self._was_lost = self.is_lost
        return not self.is_lost, self._why(now) if self.is_lost else ""

    def why_drop(self, now: float) -> str:
        """Why the subscribed connection is of no use any more; empty while it is.

        Not merely because something is unconfirmed: one channel after the other may be, for ever, where many are wanted.
        """
        listened = self._listened(now)
        if listened - self._last_byte > DEAF_SECONDS:
            return f"deaf: not a byte for {DEAF_SECONDS:.0f} s"
        if self._waiting_since is not None and listened - self._waiting_since > UNANSWERED_SECONDS:
            return f"no channel was confirmed for {UNANSWERED_SECONDS:.0f} s"
        return ""

    def _judge(self, now: float) -> None:
        listened = self._listened(now)
        is_silent = listened - self._last_byte >= BYTE_SECONDS or listened - self._last_echo >= ECHO_SECONDS
        self.is_lost = is_silent or not self._is_restored

    def _why(self, now: float) -> str:
        if self._reason:
            return self._reason
        is_deaf = self._listened(now) - self._last_byte >= BYTE_SECONDS
        return f"not a byte for {BYTE_SECONDS} s" if is_deaf else f"no echo for {ECHO_SECONDS} s"

    def _listened(self, now: float) -> float:
        return now - self._not_listened
