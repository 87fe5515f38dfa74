"""Token buckets: how often something may happen."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

MAX_KEYS: Final = 20_000


class TokenBucket:
    """`rate` a second on average, `burst` at once. A rate of 0 means no limit.

    It may run into debt: a refused attempt still costs tokens. A caller that keeps trying stays refused, and a deep debt tells
    abuse from a short burst.
    """

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now

    def take(self, now: float) -> float:
        """Take one token; return the debt in seconds until one would have been there, 0 when it was."""
        rate = self._rate
        if not rate:
            return 0.0
        tokens = min(self._burst, self._tokens + (now - self._at) * rate) - 1.0
        self._at = now
        self._tokens = max(tokens, -2.0 * self._burst)
        return 0.0 if tokens >= 0 else -tokens / rate

    def spend(self, count: int, now: float) -> float:
        """Take `count` tokens at once, or none; return the seconds until they will be there, 0 when they were.

        A full bucket is enough for any count: it goes into debt for what is beyond the burst.
        """
        rate = self._rate
        if not rate:
            return 0.0
        self._tokens = min(self._burst, self._tokens + (now - self._at) * rate)
        self._at = now
        missing = min(count, self._burst) - self._tokens
        if missing > 0:
            return missing / rate
        self._tokens -= count
        return 0.0

    def charge(self, count: int, now: float) -> None:
        """Take `count` tokens for what is done already, into debt where they are not there: later attempts wait."""
        if self._rate:
            tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - count
            self._at = now
            self._tokens = max(tokens, -2.0 * self._burst)

    def give_back(self, count: int) -> None:
        """Give back tokens that were taken and not needed."""
        self._tokens = min(self._burst, self._tokens + count)

    @property
    def is_in_debt(self) -> bool:
        """The last attempt was refused."""
        return bool(self._rate) and self._tokens < 0

    @property
    def is_deep_in_debt(self) -> bool:
        """More than a whole burst was tried beyond what is allowed."""
        return bool(self._rate) and self._tokens < -self._burst


class TokenBuckets(Generic[K]):
    """A bucket for each of many. Of more than `MAX_KEYS` the longest unused one is forgotten, and its debt with it."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[K, TokenBucket] = OrderedDict()

    def take(self, key: K, now: float) -> float:
        """As `TokenBucket.take`, of that one's."""
        return self._bucket(key, now).take(now) if self._rate else 0.0

    def spend(self, key: K, count: int, now: float) -> float:
        """As `TokenBucket.spend`, of that one's."""
        return self._bucket(key, now).spend(count, now) if self._rate and count else 0.0

    def charge(self, key: K, count: int, now: float) -> None:
        """As `TokenBucket.charge`, to that one's."""
        if self._rate and count:
            self._bucket(key, now).charge(count, now)

    def give_back(self, key: K, count: int) -> None:
        """As `TokenBucket.give_back`, to that one's."""
        if (bucket := self._buckets.get(key)) is not None:
            bucket.give_back(count)

    def _bucket(self, key: K, now: float) -> TokenBucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(self._rate, self._burst, now)
            if len(self._buckets) > MAX_KEYS:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return bucket
