"""How many conversations a user may create, and how often a user may add others, at this instance.

Creating and adding are apart: a user who adds others takes a place in their lists of conversations, so each added user counts.
Every instance has budgets of its own, so a user who calls N instances has N times as much. The limit that the store counts does
not depend on the number of instances, see `ConversationService`.
"""

from holdfast.domain.buckets import TokenBuckets
from holdfast.domain.ids import UserId
from holdfast.errors import rate_limited
from holdfast.node.requests.commands import Caller
from holdfast.ports import Clock
from holdfast.settings import LimitSettings

_MINUTE_SECONDS = 60


class Budgets:
    """Lives in the loop. Administrators have no budget: they act for the operator."""

    def __init__(self, limits: LimitSettings, clock: Clock) -> None:
        self._clock = clock
        self._creates: TokenBuckets[UserId] = TokenBuckets(limits.creates_per_minute / _MINUTE_SECONDS, limits.creates_burst)
        self._adds: TokenBuckets[UserId] = TokenBuckets(limits.adds_per_minute / _MINUTE_SECONDS, limits.adds_burst)

    def spend(self, caller: Caller, *, creates: int = 0, adds: int) -> None:
        """The caller is about to create `creates` conversations and to add `adds` others. All of it is spent, or nothing.

        Raises:
            CommandError: `rate_limited`, with the time after which the same call is within the budgets.
        """
        if caller.is_admin:
            return
        now = self._clock.monotonic()
        if wait := self._creates.spend(caller.user_id, creates, now):
            raise rate_limited("this user creates too many conversations", wait)
        if wait := self._adds.spend(caller.user_id, adds, now):
            self._creates.give_back(caller.user_id, creates)
            raise rate_limited("this user adds others to conversations too often", wait)

    def give_back(self, caller: Caller, *, creates: int = 0, adds: int) -> None:
        """It was done already: a repeated call costs nothing."""
        if not caller.is_admin:
            self._creates.give_back(caller.user_id, creates)
            self._adds.give_back(caller.user_id, adds)
