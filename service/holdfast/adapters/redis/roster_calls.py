"""The scripts about rosters, each for many users: the questions of one moment are one script.

Of each kind one script is under way at a time, and the questions that come meanwhile go into the next one. So thousands of users
that come back at once wait here, and not for a connection against its deadline.
"""

import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from holdfast.adapters.redis import keys, scripts
from holdfast.adapters.redis.link import RedisLink
from holdfast.adapters.redis.scripts import Argument, Script
from holdfast.domain.ids import ConversationId, UserId
from holdfast.errors import RedisUnavailable
from holdfast.waiting import SHARED_SECONDS, Joined

PERMIT_MS: Final = 60_000
"""To read the store and write a roster; `head:` lives longer than both together."""

_USERS: Final = 100  # in one script: about 1 ms of Redis's time
_ROWS: Final = 500  # in one script: about 1 ms of Redis's time to read, 3 ms to write

Heads = dict[ConversationId, tuple[bytes, bytes]]
"""The seq of conversations and its stamp, empty where Redis has none."""

Row = tuple[Argument, ...]
"""The seven arguments of a conversation in `rosters/fill.lua`."""


@dataclass(frozen=True, slots=True, eq=False)
class _Roster:
    """The beginning of a user's roster in `rosters/fill.lua`; its rows follow."""

    user_id: UserId
    arguments: tuple[Argument, ...]


class RosterCalls:
    """Of one generation of the store. Used from one event loop; owns nothing. All methods raise as `RedisLink.run` does."""

    def __init__(self, link: RedisLink, generation: str, layout: str) -> None:
        """`layout`: of the rows; see `roster_form`."""
        self.generation = generation
        self._link = link
        self._store = (generation, layout)
        self._looks: Joined[UserId, dict[UserId, list[Any]]] = Joined(self._look, _USERS, SHARED_SECONDS)
        self._fills: Joined[_Roster | Row, dict[_Roster, Any]] = Joined(self._fill, _ROWS, SHARED_SECONDS)
        self._tails: Joined[ConversationId, tuple[bytes, Heads]] = Joined(self._read, _ROWS, SHARED_SECONDS)

    async def look(self, user_id: UserId) -> list[Any]:
        """The answer of `rosters/look.lua` about the user."""
        return list(_allowed((await self._looks.of(user_id))[user_id]))

    async def fill(self, user_id: UserId, permit: str, lasts_ms: int, signed: bytes, rows: Collection[Row]) -> bool:
        """Write the roster; whether it was written."""
        roster = _Roster(user_id, (permit, lasts_ms, signed, len(rows)))
        return bool(_allowed((await self._fills.of(roster, *rows))[roster]))

    async def tails(self, conversation_ids: Sequence[ConversationId]) -> tuple[bytes, Heads]:
        """The present proof, and the heads of these conversations, among others."""
        return await self._tails.of(*conversation_ids)

    async def _look(self, user_ids: list[UserId]) -> dict[UserId, list[Any]]:
        left, found = list(dict.fromkeys(user_ids)), dict[UserId, list[Any]]()
        while left:
            answers = await self._run(scripts.LOOK, map(keys.member, left), (secrets.token_hex(8), PERMIT_MS, _ROWS))
            if not answers:
                raise RedisUnavailable("Redis answered about no user")
            found.update(zip(left, answers, strict=False))  # the script ends early where the rows are many
            left = left[len(answers) :]
        self._report(found.values())
        return found

    async def _fill(self, parts: list[_Roster | Row]) -> dict[_Roster, Any]:
        rosters = [part for part in parts if isinstance(part, _Roster)]
        arguments = chain.from_iterable(part.arguments if isinstance(part, _Roster) else part for part in parts)
        outcomes = await self._run(scripts.FILL, (keys.member(each.user_id) for each in rosters), (PERMIT_MS, *arguments))
        self._report(outcomes)
        return dict(zip(rosters, outcomes, strict=True))

    async def _read(self, conversation_ids: list[ConversationId]) -> tuple[bytes, Heads]:
        asked = list(dict.fromkeys(conversation_ids))
        proof, *found = await self._run(scripts.TAILS, map(keys.head, asked), ())
        return proof, dict(zip(asked, zip(found[::2], found[1::2], strict=True), strict=True))

    async def _run(self, script: Script, its_keys: Iterable[str], arguments: tuple[Argument, ...]) -> list[Any]:
        return list(await self._link.run_first(script, (keys.ERA, *its_keys), (*self._store, *arguments)))

    def _report(self, answers: Iterable[Any]) -> None:
        """Where Redis refused to write about a user, health is told, as of a refused command."""
        refusal = next((each for each in answers if _is_refusal(each)), None)
        if refusal is not None:
            self._link.report_refusal(_reason(refusal))


def _is_refusal(answer: Any) -> bool:
    return isinstance(answer, list) and answer[0] == b"REFUSED"


def _reason(refusal: list[bytes]) -> str:
    return refusal[1].decode(errors="replace")


def _allowed(answer: Any) -> Any:
    if _is_refusal(answer):
        raise RedisUnavailable(f"Redis refused: {_reason(answer)}")
    return answer
