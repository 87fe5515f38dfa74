"""Admission: the checks of tokens and limits that the socket and REST share."""

import asyncio
from typing import Final, Protocol

from holdfast.domain.buckets import TokenBuckets
from holdfast.domain.ids import UserId
from holdfast.errors import CommandError, rate_limited
from holdfast.loops import Loop
from holdfast.node.connections.connection import Grant
from holdfast.node.node import Node
from holdfast.protocol.codes import CloseCode
from holdfast.protocol.frames import Limits
from holdfast.settings import LimitSettings
from holdfast.web.addresses import Addresses
from holdfast.web.auth import Authenticator
from holdfast.web.pages import PagesUnderWay
from holdfast.web.refusals import Refusals

_PARTS: Final = 10
_CALL_BYTES: Final = 32 * 1024  # of a page, for each further call: to read and encode them takes about as long as a small call


class Ticking(Protocol):
    """A socket, as its gate sees it."""

    def tick(self, now: float, now_ms: int) -> None:
        """Time passed: monotonic seconds, and the store's time in Unix milliseconds."""
        ...

    def close(self, code: int, reason: str = "") -> None:
        """End it with a closing handshake."""
        ...


class Gate:
    """The admission of one instance.

    Attributes:
        sockets: all that were welcomed and are not gone.
        sends: how many messages each user sends here, on however many sockets and by REST.
        calls: how often each user calls REST here, reads or types.
        handshakes: how often each user connects here: each time may cost a replay.
        malformed: input that is not HTTP, in the log.
        pages: the pages of each user that are not sent yet.
    """

    def __init__(self, node: Node, authenticator: Authenticator) -> None:
        self.node = node
        self.limits = announced(node.settings.limits)
        self.sockets: dict[Ticking, None] = {}
        http, limits = node.settings.http, node.settings.limits
        self.sends: TokenBuckets[UserId] = TokenBuckets(limits.sends_per_second, limits.sends_burst)
        self.calls: TokenBuckets[UserId] = TokenBuckets(limits.frames_per_second, limits.frames_burst)
        at_once = limits.connections_per_user
        self.handshakes: TokenBuckets[UserId] = TokenBuckets(max(1.0, at_once / 4), max(32.0, 4.0 * at_once))
        self.addresses = Addresses(http.trusted_proxies, limits.connections_per_address)
        self._authenticator = authenticator
        self._refusals = Refusals(node.clock, "a token")
        self.malformed = Refusals(node.clock, "a request")
        self.pages = PagesUnderWay()

    def authenticate(self, token: str) -> Grant:
        """Whom the token names; why not, the log says as well.

        Raises:
            CommandError: `unauthenticated` and its kind.
        """
        try:
            return self._authenticator.verify(token)
        except CommandError as error:
            self._refusals.note(f"{error.code}: {error.detail}")
            raise

    def count_call(self, user_id: UserId) -> None:
        """One more of what is counted for all of a user's sockets and calls together: REST, reads, typing.

        Raises:
            CommandError: `rate_limited`.
        """
        if debt := self.calls.take(user_id, self.node.clock.monotonic()):
            raise rate_limited("too many calls", debt)

    def charge_page(self, user_id: UserId, size: int) -> None:
        """A page of so many bytes was made: later calls of the user wait for what it cost beyond the one that was counted."""
        self.calls.charge(user_id, size // _CALL_BYTES, self.node.clock.monotonic())

    def identify(self, token: str | None) -> Grant:
        """Whom the token names, if there is room for them.

        Raises:
            CommandError: `draining`, `overloaded`, `unauthenticated` and its kind, `rate_limited`, `connection_limit`.
        """
        health = self.node.health
        if health.is_draining:
            raise CommandError("draining", "this instance is about to stop", retry_after_ms=1000)
        if not health.may_accept:
            raise CommandError(
                "overloaded", "this instance has as many connections, or as much in memory, as it can have", retry_after_ms=1000
            )
        if token is None:
            raise CommandError(
                "unauthenticated", "a bearer token is needed: Authorization: Bearer <jwt>, or the subprotocol bearer.<jwt>"
            )
        identity = self.authenticate(token)
        if debt := self.handshakes.take(identity.user_id, self.node.clock.monotonic()):
            raise rate_limited("this user connects too often", debt)
        if self.node.hub.count_of(identity.user_id) >= self.node.settings.limits.connections_per_user:
            raise CommandError("connection_limit", "this user has too many connections", retry_after_ms=1000)
        return identity


def ticking(gate: Gate) -> Loop:
    """Gives every socket its tick, about once a second, a tenth of them at a time. A socket whose tick fails is closed."""

    async def step() -> None:
        for part in range(_PARTS):
            await asyncio.sleep(1 / _PARTS)
            await asyncio.sleep(0)  # after a standstill: what has arrived meanwhile is read before a client counts as silent
            now, now_ms = gate.node.clock.monotonic(), gate.node.cluster.store_clock.now_ms()
            for socket in [socket for index, socket in enumerate(gate.sockets) if index % _PARTS == part]:
                try:
                    socket.tick(now, now_ms)
                except Exception as error:  # noqa: BLE001 - one socket's mistake must not end the keepalive of all others
                    gate.node.loops.note_failure("sockets", error)
                    socket.close(CloseCode.INTERNAL_ERROR, "internal_error")

    return Loop("sockets", step, 1.0)


def announced(limits: LimitSettings) -> Limits:
    """The limits that clients are told."""
    return Limits(
        body_bytes=limits.body_bytes,
        metadata_bytes=limits.metadata_bytes,
        frame_bytes=limits.frame_bytes,
        cursors=limits.cursors,
        replay_messages=limits.replay_messages,
        page_size=limits.page_size,
        members=limits.members,
        conversations_per_user=limits.conversations_per_user,
        indicator_members=limits.indicator_members,
        sends_per_second=limits.sends_per_second,
        inflight_sends=limits.inflight_sends,
        frames_per_second=limits.frames_per_second,
        connections_per_user=limits.connections_per_user,
    )
