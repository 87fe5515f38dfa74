"""The session: one client's conversation with us as a state machine without I/O.

Whole messages and time go in; bytes to write, a command to carry out, or the end come out. `web.socket` owns the socket, the
commands (`commands`) own the effects.
"""

from dataclasses import dataclass
from typing import Final

from holdfast.domain.buckets import TokenBucket, TokenBuckets
from holdfast.domain.ids import UserId, check_id
from holdfast.errors import CommandError, rate_limited
from holdfast.protocol import commands, frames
from holdfast.protocol.codes import CODES, CloseCode
from holdfast.protocol.jsontext import rfc3339
from holdfast.settings import LimitSettings
from holdfast.telemetry import Telemetry

HELLO_SECONDS: Final = 10.0
KEEPALIVE_SECONDS: Final = 20.0  # below half of the shortest idle timeout on the way (ALB: 60 s)
_PING_AFTER_SECONDS: Final = 15.0
DROP_AFTER_SECONDS: Final = 22.0  # 7 s for a pong. A second to notice, 15 s of grace, a second to write: offline within 40 s
_PONG_SECONDS: Final = 5.0  # at least, also where this process stood still and asks late
_EXPIRY_NOTICE_SECONDS: Final = 60.0
_FLOOD_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class End:
    """Close the socket; `error` goes first as a frame."""

    code: CloseCode
    error: frames.ErrorFrame


class Ping:
    """Send a WebSocket ping: nothing was heard for a while."""


PING: Final = Ping()
Output = bytes | frames.Command | End | Ping | None


class Session:
    """One client. Not thread-safe; its rim calls it in the loop."""

    __slots__ = (
        "_expiry_told_for",
        "_frames",
        "_has_hello",
        "_limits",
        "_opened_at",
        "_pinged_at",
        "_refused_since",
        "_sends",
        "_telemetry",
        "_user_id",
        "expires_at",
        "heard_at",
    )

    def __init__(
        self,
        limits: LimitSettings,
        telemetry: Telemetry,
        sends: TokenBuckets[UserId],
        user_id: UserId,
        expires_at: int,
        now: float,
    ) -> None:
        """`sends`: those of all sessions and calls of this instance, by user."""
        self.expires_at = expires_at
        self.heard_at = now
        self._limits = limits
        self._telemetry = telemetry
        self._opened_at = now
        self._has_hello = False
        self._expiry_told_for = 0
        self._refused_since: float | None = None
        self._pinged_at: float | None = None  # since it was heard last
        self._frames: TokenBucket | None = None
        self._sends = sends
        self._user_id = user_id

    def count_frame(self, now: float) -> Output:
        """A WebSocket frame of any kind arrived: pings and empty fragments cost as much as text."""
        self.heard_at = now
        self._pinged_at = None
        bucket = self._frames
        if bucket is None:
            bucket = self._frames = TokenBucket(self._limits.frames_per_second, self._limits.frames_burst, now)
        if not bucket.take(now):
            return None
        return end("policy_violation", "far too many frames") if bucket.is_deep_in_debt else None

    def receive(self, text: bytes, now: float) -> Output:
        """One whole text message."""
        if (refusal := self._over_limit()) is not None:
            return self._refuse_flood(refusal, text, now)
        try:
            frame = commands.parse(text)
            self._telemetry.frames_received.labels(frame.__struct_config__.tag).inc()
            return self._accept(frame, now)
        except CommandError as error:
            self._telemetry.commands_refused.labels(error.code).inc()
            return frames.frame(commands.refusal(error, text))

    def tick(self, now: float, now_ms: int) -> Output:
        """Time passed; to be called about once a second."""
        if not self._has_hello and now - self._opened_at >= HELLO_SECONDS:
            return end("hello_timeout", f"no hello within {HELLO_SECONDS:.0f} s")
        remaining = self.expires_at - now_ms / 1000
        if remaining <= 0:
            return end("token_expired", "the token has expired")
        silent = now - self.heard_at
        if silent >= DROP_AFTER_SECONDS and self._pinged_at is not None and now - self._pinged_at >= _PONG_SECONDS:
            return end("keepalive_timeout", "nothing was heard, not even a pong")
        if remaining <= _EXPIRY_NOTICE_SECONDS and self._expiry_told_for != self.expires_at:
            self._expiry_told_for = self.expires_at
            return frames.frame(frames.TokenExpiring(expires_at=rfc3339(self.expires_at * 1000)))
        if silent >= _PING_AFTER_SECONDS and self._pinged_at is None:
            self._pinged_at = now
            return PING
        return None

    def _accept(self, frame: frames.AnyClientFrame, now: float) -> Output:
        if isinstance(frame, frames.Ping):
            return frames.frame(frames.Pong(ref=frame.ref))
        if isinstance(frame, frames.Hello):
            return self._hello(frame)
        if not self._has_hello:
            raise CommandError("invalid_state", "hello comes first")
        if isinstance(frame, frames.Send):
            self._take_send(now)
        return frame

    def _hello(self, frame: frames.Hello) -> Output:
        if self._has_hello:
            raise CommandError("invalid_state", "hello comes once")
        # However many: the frame's size bounds them, and those of other conversations than the user's are not looked at. A
        # client whose `hello` is refused for their number could never connect again.
        for conversation_id in frame.cursors or ():
            check_id(conversation_id, "cursors")
        self._has_hello = True
        return frame

    def _take_send(self, now: float) -> None:
        debt = self._sends.take(self._user_id, now)
        if debt:
            raise rate_limited("too many sends", debt, outcome="refused")

    def _over_limit(self) -> CommandError | None:
        """Whether the frame just counted was one too many."""
        if self._frames is None or not self._frames.is_in_debt:
            self._refused_since = None
            return None
        return CommandError("rate_limited", "too many frames", retry_after_ms=1000)

    def _refuse_flood(self, error: CommandError, text: bytes, now: float) -> Output:
        if self._refused_since is None:
            self._refused_since = now
        self._telemetry.commands_refused.labels(error.code).inc()
        if now - self._refused_since > _FLOOD_SECONDS:
            return end("rate_limited", "too many frames for too long")
        return frames.frame(commands.refusal(error, text))


def end(code: str, detail: str) -> End:
    """The end of a socket for the reason `code`."""
    row = CODES[code]
    assert row.close is not None  # noqa: S101 - only codes that close a socket come here
    return End(row.close, frames.ErrorFrame(code=code, detail=detail, retryable=row.is_retryable))
