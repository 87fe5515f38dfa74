"""Tokens that are refused although their signature is good: kept in the store, effective everywhere within 5 s.

Each instance polls the store: 4 s of waiting and two reads, which may take half a second each. After a mass revocation Firestore
is read in pages of 1,000, so each further 1,000 add a read. The revocation of all tokens of a user is also sent to the other
instances as an envelope, and is effective at once while Redis answers. The revocation of one token is not: other instances learn
of it by their next poll only.

One token is revoked by its id (`jti`), see `revoked_tokens`: these are kept apart and until the token's end. All below is about
revocations of a user's tokens, which are for ever.

All times are the store's. A revocation at R concerns every token that may be from before R. The clock of an issuer differs from
the store's by at most the leeway L, so such a token has `iat` <= R + L, and a token from after R has `iat` >= R - L. A token
between the two may be either: it is refused as well, with a code that makes the client get another one, until every
issuer's tokens have `iat` > R + L.

Every uncertain case is decided against the token. Before all revocations were read once, no token is accepted. At most
`_MAX_KNOWN` users are remembered; where more were revoked, a token of any other user is accepted only if it is later than the
latest one forgotten.
"""

import asyncio
from operator import itemgetter
from typing import Final

from holdfast.domain.ids import UserId
from holdfast.errors import CommandError
from holdfast.loops import STORE, Loop
from holdfast.node.cluster.store_clock import StoreClock
from holdfast.node.connections.connection import Connection
from holdfast.node.connections.hub import Hub
from holdfast.node.conversations.delivery import Delivery
from holdfast.node.users.revoked_tokens import MOST_KNOWN, RevokedTokens, name_of, user_of
from holdfast.ports import Bus, RevocationStore
from holdfast.protocol import envelopes
from holdfast.protocol.codes import CODES, CloseCode

POLL_SECONDS: Final = 4.0  # the rest of the 5 s is for the two reads of a poll
_OVERLAP_MS: Final = 60_000
_MAX_KNOWN: Final = 100_000
_WHOLE_SECOND_MS: Final = 1_000  # `iat` counts whole seconds
_LONGEST_MS: Final = 366 * 86_400_000  # more than a token lives, where its `exp` is not known
_CLOCK_BACK_MS: Final = 60_000  # the store's clock may be set back by so much, and a token that had expired is accepted again
_LATEST_MS: Final = 253_402_300_799_000  # the year 9999: what a date can say


class Revocations:
    """Lives in the loop. `is_loaded`: all revocations were read once; before that no token is accepted."""

    def __init__(
        self,
        store: RevocationStore,
        bus: Bus,
        hub: Hub,
        delivery: Delivery,
        clock: StoreClock,
        leeway_seconds: float,
    ) -> None:
        """`leeway_seconds`: what an issuer's clock may differ from the store's."""
        self._store = store
        self._bus = bus
        self._hub = hub
        self._delivery = delivery
        self._clock = clock
        self._leeway_ms = round(leeway_seconds * 1000)
        self._revoked_at: dict[UserId, int] = {}
        self._tokens = RevokedTokens()
        self._asked_at: int | None = None
        self._since = 0
        self.is_loaded = False
        self._forgotten_until: int | None = None  # the latest revocation that is not remembered

    def check(self, user_id: UserId, issued_at: int, token_id: str = "") -> None:
        """Refuse a token issued at `issued_at` (Unix seconds), if it may be from before a revocation of its user, or is revoked.

        Raises:
            CommandError: `token_revoked`; `token_too_early` while a token from after the revocation may look the same;
                `store_unavailable` before the revocations are read; `token_expired` for a token so old that a revocation of its
                user may have been forgotten.
        """
        if not self.is_loaded:
            raise CommandError("store_unavailable", "the revocations of tokens are not read yet", retry_after_ms=1000)
        if token_id and name_of(user_id, token_id) in self._tokens:
            raise CommandError("token_revoked", "this token was revoked: sign in again")
        self._check_known(user_id, issued_at)

    def _check_known(self, user_id: UserId, issued_at: int) -> None:
        revoked_at = self._revoked_at.get(user_id)
        if revoked_at is None:
            if self._forgotten_until is not None and issued_at * 1000 <= self._forgotten_until + self._leeway_ms:
                raise CommandError(
                    "token_expired", "the token is older than the revocations that are remembered: get another one"
                )
            return
        if issued_at * 1000 > revoked_at + self._leeway_ms:
            return
        passed_ms, longest_ms = self._clock.now_ms() - revoked_at, self._leeway_ms + _WHOLE_SECOND_MS
        may_be_later = issued_at * 1000 + longest_ms > revoked_at
        is_over = self._clock.is_known and passed_ms >= longest_ms + self._leeway_ms
        if not may_be_later or is_over:
            raise CommandError("token_revoked", "the token was revoked: sign in again")
        wait_ms = min(longest_ms, max(_WHOLE_SECOND_MS, longest_ms - passed_ms))
        raise CommandError(
            "token_too_early",
            "the user's tokens were revoked, and this one may be from before that: get another one a little later",
            retry_after_ms=wait_ms,
        )

    async def revoke(self, user_id: UserId) -> None:
        """Refuse all tokens the user has now, and close the sockets, here and everywhere.

        Raises:
            StoreUnavailable: nothing is promised.
        """
        revoked_at_ms = await self._store.revoke(user_id)
        self.learn(user_id, revoked_at_ms)
        envelope = envelopes.RevokedEnvelope(
            v=envelopes.VERSION,
            kind="revoked",
            generation=self._delivery.generation,
            user=user_id,
            not_before=revoked_at_ms // 1000 + 1,
            revoked_at_ms=revoked_at_ms,
        )
        self._bus.publish(f"user:{user_id}", envelopes.encode(envelope))

    async def revoke_token(self, user_id: UserId, token_id: str, expires_at: int | None = None) -> None:
        """Refuse the user's token with this id, and close its sockets: here at once, elsewhere within 5 s. Sends no envelope.

        `expires_at`: its `exp` (Unix seconds). Where that is not known, the token is refused for 366 days.

        Raises:
            CommandError: `limit_reached`, see `revoked_tokens`; nothing is stored.
            StoreUnavailable: nothing is promised.
        """
        name = name_of(user_id, token_id)
        self._tokens.ensure_room(name)
        expires_at_ms = self._clock.now_ms() + _LONGEST_MS if expires_at is None else expires_at * 1000
        ends_at_ms = min(_LATEST_MS, max(expires_at_ms + self._leeway_ms + _CLOCK_BACK_MS, self._tokens.ends_at(name)))
        await self._store.revoke_token(name, ends_at_ms)
        self.learn_token(name, ends_at_ms)

    def receive(self, envelope: envelopes.RevokedEnvelope) -> None:
        """Another instance revoked; one of an older version says it in seconds only."""
        self.learn(UserId(envelope.user), envelope.revoked_at_ms or max(0, envelope.not_before - 1) * 1000)

    def learn(self, user_id: UserId, revoked_at_ms: int) -> None:
        """A revocation exists, stamped by the store; close what it concerns."""
        if revoked_at_ms <= self._revoked_at.get(user_id, -1):
            return
        self._remember(user_id, revoked_at_ms)
        for connection in tuple(self._hub.connections_of(user_id)):
            if (code := self._refusal(connection, revoked_at_ms)) is not None:
                connection.transport.close(CODES[code].close or CloseCode.TOKEN_REVOKED, code)

    def learn_token(self, name: str, ends_at_ms: int) -> None:
        """One token is revoked until then; close its sockets."""
        if self._tokens.add(name, ends_at_ms):
            user_id = user_of(name)
            for connection in tuple(self._hub.connections_of(user_id)):
                if connection.grant.token_id and name_of(user_id, connection.grant.token_id) == name:
                    connection.transport.close(CloseCode.TOKEN_REVOKED, "token_revoked")

    def _remember(self, user_id: UserId, revoked_at_ms: int) -> None:
        self._revoked_at.pop(user_id, None)
        if self._forgotten_until is not None and revoked_at_ms <= self._forgotten_until:
            return  # a revocation for every other user concerns all tokens of this one
        if len(self._revoked_at) >= _MAX_KNOWN:
            forgotten = self._revoked_at.pop(next(iter(self._revoked_at)))  # the oldest: most tokens from before it have expired
            self._forgotten_until = max(forgotten, self._forgotten_until or 0)
        self._revoked_at[user_id] = revoked_at_ms

    @property
    def loop(self) -> Loop:
        """Learns what others revoked. Failing is harmless: the next poll asks for the same."""
        return Loop("revocations", self._round, POLL_SECONDS, needs=(STORE,))

    async def _round(self) -> None:
        await asyncio.sleep(POLL_SECONDS)
        await self.load()

    async def load(self) -> None:
        """Ask the store once. Everything is read until the store's time is known.

        Raises:
            StoreError: it cannot be told now.
        """
        asked_at = self._clock.now() if self._clock.is_known else None
        found = await self._store.read_revocations(self._since)
        for user_id, revoked_at_ms in sorted(found.items(), key=itemgetter(1)):  # the oldest first: they are forgotten first
            self.learn(user_id, revoked_at_ms)
        await self._load_tokens()
        self.is_loaded = True
        if asked_at is not None:  # the earlier one of two polls: the store's clock may have been set back between them
            self._since = max(0, min(asked_at, self._asked_at or asked_at) - _OVERLAP_MS)
        self._asked_at = asked_at

    async def _load_tokens(self) -> None:
        """Those that have ended are dropped by the store's clock only: by a wrong one a revoked token would be accepted again."""
        found = await self._store.read_revoked_tokens(self._since, MOST_KNOWN)
        now_ms = self._clock.now_ms() if self._clock.is_known else 0
        for name, ends_at_ms in found.items():
            if ends_at_ms > now_ms:
                self.learn_token(name, ends_at_ms)
        self._tokens.drop_ended(now_ms)

    def _refusal(self, connection: Connection, revoked_at_ms: int) -> str | None:
        """Why a socket is closed: it was open at the revocation, whatever its token says, or its token may be from before."""
        if self._clock.or_own(connection.opened_at) <= revoked_at_ms:
            return "token_revoked"
        try:
            self._check_known(connection.user_id, connection.grant.issued_at)
        except CommandError as error:
            return error.code
        return None
