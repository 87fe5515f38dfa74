"""The store's clock, as far as this instance knows it: an instance judges times of other machines by this clock.

No time of another machine is ever compared with the wall clock of this one, which may be wrong. A bulletin is written every 3 s
and answered with the store's time; the monotonic clock counts on from there until the next answer. Each answer is a lower bound
of the store's time. Of the answers of the last minute the fastest one is the most exact, so a slow answer never makes the
estimate worse.

Before the first answer the store's time is unknown. For notifications our wall clock is no substitute: a clock that is a minute
ahead would hide the messages that a user missed in that minute. For tokens it is (`now_ms`), because a refusal by it is not
final.
"""

import logging
from collections import deque
from collections.abc import Sequence
from typing import Final

from holdfast.ports import Clock

UNKNOWN: Final = 0
SKEWED_SECONDS: Final = 5.0  # more than a slow answer of the store can make of a clock that is right
_STEP_SECONDS: Final = 1.0
_REMEMBERED: Final = 20  # answers: a minute, in which clocks drift apart by a few milliseconds
_LONGEST_CALL_MS: Final = 5_000  # no answer takes so long: a stamp that is further back is of a clock that was set back

_log = logging.getLogger(__name__)


class StoreClock:
    """Implements `ports.Clock`. Lives in the loop.

    Attributes:
        is_skewed: whether the wall clock of this instance differs from the store's by more than `SKEWED_SECONDS`.
    """

    def __init__(self, clock: Clock) -> None:
        self.is_skewed = False
        self._clock = clock
        self._offsets_ms: deque[int] = deque(maxlen=_REMEMBERED)  # the store's time less our monotonic clock, or somewhat less
        self._skew_ms = 0

    def note(self, stamped_ms: int, answered_at: float) -> None:
        """A write was stamped; its answer came at `answered_at` (monotonic seconds)."""
        offset_ms = stamped_ms - int(answered_at * 1000)
        if self._offsets_ms and max(self._offsets_ms) - offset_ms > _LONGEST_CALL_MS:
            self._offsets_ms.clear()
        self._offsets_ms.append(offset_ms)
        self._skew_ms = self._own_ms(answered_at) - self.at(answered_at)
        was_skewed, self.is_skewed = self.is_skewed, abs(self.skew_seconds) > SKEWED_SECONDS
        if self.is_skewed and not was_skewed:
            _log.warning("%s; tokens are judged by the store's clock", self.skew)

    def at(self, monotonic: float) -> int:
        """A moment of ours in the store's Unix milliseconds; never later than it was, earlier by less than the fastest round trip
        of the last minute.

        `UNKNOWN` until the first answer.
        """
        if not self._offsets_ms:
            return UNKNOWN
        return int(monotonic * 1000) + max(self._offsets_ms) - 1

    def moments(self, store_ms: Sequence[int]) -> list[float | None]:
        """The reverse of `at`: moments of the store's time on our monotonic clock; None for `UNKNOWN`, and while the time is not
        known here (`is_known`). Of a time that `at` of another instance gave, the error is less than one round trip.
        """
        if not self.is_known:
            return [None] * len(store_ms)
        offset_ms = max(self._offsets_ms) - 1
        return [None if each == UNKNOWN else (each - offset_ms) / 1000 for each in store_ms]

    def stamps(self, moments: Sequence[float | None]) -> list[int]:
        """As `at`, for many; `UNKNOWN` for None, and while the time is not known here (`is_known`)."""
        if not self.is_known:
            return [UNKNOWN] * len(moments)
        return [UNKNOWN if each is None else self.at(each) for each in moments]

    def now(self) -> int:
        """The present, as `at`."""
        return self.at(self._clock.monotonic())

    def or_own(self, monotonic: float) -> int:
        """As `at`; by our own wall clock until the first answer, when that is all there is."""
        return self._own_ms(monotonic) if not self._offsets_ms else self.at(monotonic)

    def now_ms(self) -> int:
        """See `ports.Clock`: the present, as `or_own`."""
        return self.or_own(self._clock.monotonic())

    def monotonic(self) -> float:
        """See `ports.Clock`."""
        return self._clock.monotonic()

    @property
    def is_known(self) -> bool:
        """Whether the store has said its time, and since then our two clocks went on alike.

        They do not when the wall clock was set, or when the machine was suspended and its monotonic clock stood still.
        """
        if not self._offsets_ms:
            return False
        return abs(self._own_ms(self._clock.monotonic()) - self.now() - self._skew_ms) <= _STEP_SECONDS * 1000

    @property
    def skew_seconds(self) -> float:
        """How far our wall clock was ahead of the store's at the last answer; negative: behind."""
        return self._skew_ms / 1000

    @property
    def skew(self) -> str:
        """The same as a sentence."""
        direction = "ahead of" if self._skew_ms > 0 else "behind"
        return f"the wall clock of this instance is {abs(self.skew_seconds):.1f} s {direction} the store's"

    def _own_ms(self, monotonic: float) -> int:
        """A moment of ours by our wall clock, in Unix milliseconds."""
        return self._clock.now_ms() - int((self._clock.monotonic() - monotonic) * 1000)
