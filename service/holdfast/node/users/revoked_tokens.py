"""Single tokens that are refused, until no instance could accept them any more. Each has a name: of its user and its id (`jti`).

Every user may revoke tokens of its own, so their number is bounded before they are stored: beyond `MOST_OF_ONE_USER`, and beyond
`MOST` of all users, the call is refused with `limit_reached`. All tokens of the user can be revoked instead, in one place.
Revocations that instances accept at the same time may exceed `MOST` a little. Beyond `MOST_KNOWN` the revocations that end first
are forgotten. No token is refused that was not revoked.
"""

import hashlib
import heapq
from collections import Counter
from typing import Final

from holdfast.domain.ids import UserId
from holdfast.errors import CommandError

MOST: Final = 100_000
MOST_OF_ONE_USER: Final = 100
MOST_KNOWN: Final = 110_000  # about 30 MB
_SEPARATOR: Final = "."  # in no user's id
_DIGITS: Final = 32  # half of SHA-256: issuers choose the ids of tokens, users do not


def name_of(user_id: UserId, token_id: str) -> str:
    """The name under which the revocation of one token is kept."""
    digest = hashlib.sha256(token_id.encode(errors="surrogatepass")).hexdigest()[:_DIGITS]
    return f"{user_id}{_SEPARATOR}{digest}"


def user_of(name: str) -> UserId:
    """Whose token it is."""
    return UserId(name.partition(_SEPARATOR)[0])


class RevokedTokens:
    """The revocations that one instance remembers. Times are the store's, in Unix milliseconds."""

    def __init__(self) -> None:
        self._ends_at: dict[str, int] = {}
        self._of_user: Counter[UserId] = Counter()

    def __len__(self) -> int:
        return len(self._ends_at)

    def __contains__(self, name: str) -> bool:
        return name in self._ends_at

    def ends_at(self, name: str) -> int:
        """Until when it is refused; 0 where it is not revoked."""
        return self._ends_at.get(name, 0)

    def ensure_room(self, name: str) -> None:
        """Before one more is stored.

        Raises:
            CommandError: `limit_reached`.
        """
        if name not in self._ends_at and (len(self._ends_at) >= MOST or self._of_user[user_of(name)] >= MOST_OF_ONE_USER):
            raise CommandError("limit_reached", "too many single tokens are revoked: revoke all tokens of the user instead")

    def add(self, name: str, ends_at_ms: int) -> bool:
        """Refuse a token until then, at least; whether it was accepted before."""
        is_new = name not in self._ends_at
        self._ends_at[name] = max(ends_at_ms, self.ends_at(name))
        self._of_user[user_of(name)] += is_new
        if len(self._ends_at) > MOST_KNOWN:
            self._drop(heapq.nsmallest(len(self._ends_at) - MOST, self._ends_at, key=self.ends_at))
        return is_new

    def drop_ended(self, now_ms: int) -> None:
        """Forget tokens that have expired for every instance."""
        self._drop([name for name, ends_at_ms in self._ends_at.items() if ends_at_ms <= now_ms])

    def _drop(self, names: list[str]) -> None:
        for name in names:
            del self._ends_at[name]
            user_id = user_of(name)
            self._of_user[user_id] -= 1
            if not self._of_user[user_id]:
                del self._of_user[user_id]
