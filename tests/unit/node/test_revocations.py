"""Which tokens and sockets a revocation concerns, by the store's clock. The leeway is 10 s."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from holdfast.domain.ids import UserId
from holdfast.errors import CommandError, StoreUnavailable
from holdfast.node.connection import Connection
from holdfast.node.hub import Hub
from holdfast.node.revocations import Revocations
from holdfast.node.store_clock import StoreClock
from holdfast.protocol.envelopes import RevokedEnvelope
from holdfast.telemetry import Telemetry
from support.fake_cluster import FakeBus
from support.fakes import ShiftedClock, connection
from support.virtual_time import in_virtual_time

ALICE = UserId("alice")
R = 1_700_000_000  # the revocation, in the store's seconds
LEEWAY = 10


@dataclass
class _Store:
    """Answers with what was revoked; `asked` are the times from which it was asked."""

    revoked: dict[UserId, int] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)
    now_ms: int = R * 1000
    is_away: bool = False

    async def revoke(self, user_id: UserId) -> int:
        self.revoked[user_id] = self.now_ms
        return self.now_ms

    async def read_revocations(self, since_ms: int) -> dict[UserId, int]:
        self.asked.append(since_ms)
        if self.is_away:
            raise StoreUnavailable("away")
        return {user_id: at for user_id, at in self.revoked.items() if at >= since_ms}


class _Scene:
    """One instance whose wall clock is wrong by `ahead_seconds`; the store's time is `R` at the beginning."""

    def __init__(self, ahead_seconds: float = 0.0, *, is_loaded: bool = True) -> None:
        self.clock, self.store, self.bus = ShiftedClock(ahead_seconds), _Store(), FakeBus()
        self.time = StoreClock(self.clock)
        self.hub = Hub(Telemetry("test"))
        self.began = self.clock.monotonic()
        delivery: Any = type("Delivery", (), {"generation": "g1"})
        store: Any = self.store
        self.revocations = Revocations(store, self.bus, self.hub, delivery, self.time, LEEWAY)
        self.revocations.is_loaded = is_loaded
        self.at(0.0)

    def at(self, seconds: float) -> None:
        """So long after R it is; the store has just stamped a bulletin."""
        self.clock.now = self.began + seconds
        self.time.note(int((R + seconds) * 1000) + 1, self.clock.monotonic())

    def socket(self, opened: float, issued: int) -> Connection:
        """Opened and its token issued so many seconds after R."""
        made = connection("alice", f"alice-{len(self.hub.connections)}")
        made.opened_at, made.issued_at = self.began + opened, R + issued
        self.hub.add(made)
        return made

    def verdict(self, issued: int) -> str:
        """On a token that was issued so many seconds after R."""
        try:
            self.revocations.check(ALICE, R + issued)
        except CommandError as error:
            return error.code
        return "accepted"


def closed(socket: Connection) -> Any:
    """The code and reason with which it was closed."""
    return socket.transport.closed  # type: ignore[attr-defined]  # of the fake


@pytest.mark.parametrize("ahead_seconds", [-3600.0, -15.0, 0.0, 3600.0])
@pytest.mark.parametrize("issued", [-3600, 0, 6, 10, 3600])
async def test_revocation_closes_every_socket_that_is_open_whatever_its_token_says(ahead_seconds: float, issued: int) -> None:
    """The clock of the issuer may be ahead of the store's, and the clock of the instance anywhere."""
    scene = _Scene(ahead_seconds)
    socket = scene.socket(-5, issued)
    await scene.revocations.revoke(ALICE)
    assert closed(socket) == (4502, "token_revoked")


@in_virtual_time
async def test_revocation_read_from_the_store_closes_what_was_open_when_it_was_written() -> None:
    """With Redis away another instance hears of it seconds later; a socket that was opened meanwhile is judged by its token."""
    scene = _Scene()
    scene.store.revoked[ALICE] = R * 1000
    scene.at(4)
    old, between, later = scene.socket(-1, 3600), scene.socket(1, 1), scene.socket(3, LEEWAY + 1)
    await scene.revocations.load()
    assert closed(old) == (4502, "token_revoked")
    assert closed(between) == (4006, "token_too_early"), "its user may sign in again"
    assert closed(later) is None


@pytest.mark.parametrize("ahead_seconds", [-15.0, 0.0, 3600.0])
def test_token_that_may_be_from_before_is_refused_for_ever_and_retryably_during_the_leeway(ahead_seconds: float) -> None:
    """R + leeway is the last `iat` of a token from before R; from R + 2 leeways on every issuer's tokens are later."""
    scene = _Scene(ahead_seconds)
    scene.revocations.learn(ALICE, R * 1000)
    expected = {-12: "token_revoked", -10: "token_too_early", 0: "token_too_early", 10: "token_too_early", 11: "accepted"}
    assert {issued: scene.verdict(issued) for issued in expected} == expected
    scene.at(2 * LEEWAY + 2)
    assert {scene.verdict(issued) for issued in (-12, -10, 0, 10)} == {"token_revoked"}
    assert scene.verdict(11) == "accepted"
    scene.revocations.check(UserId("bob"), 0)


@pytest.mark.parametrize(("passed", "wait_ms"), [(0.0, 11_000), (4.0, 7_000), (12.0, 1_000)])
def test_answer_during_the_leeway_says_when_a_new_token_is_accepted(passed: float, wait_ms: int) -> None:
    """The token that a right clock issues after the wait has an `iat` above R + leeway."""
    scene = _Scene()
    scene.revocations.learn(ALICE, R * 1000)
    scene.at(passed)
    with pytest.raises(CommandError) as refused:
        scene.revocations.check(ALICE, R)
    assert abs((refused.value.retry_after_ms or 0) - wait_ms) <= 2


@in_virtual_time
async def test_polls_go_by_the_time_of_the_store() -> None:
    """With a wall clock an hour ahead, a poll that went by it would never find a revocation of another instance."""
    scene = _Scene(ahead_seconds=3600.0)
    for seconds in (0, 4, 8):
        scene.at(seconds)
        await scene.revocations.load()
        scene.clock.now += 1
    assert scene.store.asked[0] == 0, "the first one reads everything"
    assert [round(since / 1000) - R for since in scene.store.asked[1:]] == [-60, -60]


def test_revocation_of_an_older_version_is_understood() -> None:
    """Its envelope has seconds only: the first that is not refused by it."""
    scene = _Scene()
    scene.revocations.receive(RevokedEnvelope(v=1, kind="revoked", user="alice", not_before=R + 1))
    assert (scene.verdict(LEEWAY), scene.verdict(LEEWAY + 1)) == ("token_too_early", "accepted")


def test_known_revocation_moves_only_forward() -> None:
    """An envelope that comes late gives no token back."""
    scene = _Scene()
    scene.revocations.learn(ALICE, R * 1000)
    scene.revocations.learn(ALICE, R * 1000 - 50_000)
    assert scene.verdict(0) == "token_too_early"
    for after, user in enumerate(("bob", "carol"), 1):
        scene.revocations.learn(UserId(user), R * 1000 + after)
    with pytest.raises(CommandError):
        scene.revocations.check(UserId("carol"), R)


async def test_no_token_is_accepted_before_the_revocations_are_read() -> None:
    """An instance that restarts must not believe a token that was revoked before, not even for its first seconds."""
    scene = _Scene(is_loaded=False)
    scene.store.revoked[ALICE] = R * 1000
    scene.store.is_away = True
    with pytest.raises(StoreUnavailable):
        await scene.revocations.load()
    assert (scene.verdict(-60), scene.verdict(60)) == ("store_unavailable", "store_unavailable")
    scene.store.is_away = False
    await scene.revocations.load()
    assert (scene.verdict(-60), scene.verdict(60)) == ("token_revoked", "accepted")


@pytest.mark.parametrize("way", ["heard", "read", "read twice"])
async def test_token_of_a_user_whose_revocation_is_forgotten_is_refused(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """One revocation more than are remembered was believed. Tokens from after it are accepted: a new one helps."""
    monkeypatch.setattr("holdfast.node.revocations._MAX_KNOWN", 2)
    scene = _Scene()
    revoked = {UserId("dora"): R * 1000 + 2_000, ALICE: R * 1000 - 3_000, UserId("bob"): R * 1000}
    scene.store.revoked = revoked
    for times in range(("heard", "read", "read twice").index(way)):
        assert times < 2
        await scene.revocations.load()
    if way == "heard":
        for user, at_ms in sorted(revoked.items(), key=lambda each: each[1]):
            scene.revocations.learn(user, at_ms)
    assert (scene.verdict(-3), scene.verdict(LEEWAY - 3)) == ("token_expired", "token_expired")
    assert scene.verdict(LEEWAY - 2) == "accepted"
    scene.at(60)
    for user in ("bob", "dora"):
        with pytest.raises(CommandError, match="token_revoked"):
            scene.revocations.check(UserId(user), R)
    with pytest.raises(CommandError, match="token_expired"):
        scene.revocations.check(UserId("eve"), R - 60)


async def test_one_token_is_revoked_and_no_other_of_its_user() -> None:
    """A lost phone is logged out, and the other devices stay."""
    scene = _Scene()
    lost, kept, nameless = scene.socket(-5, -60), scene.socket(-5, -60), scene.socket(-5, -60)
    lost.token_id, kept.token_id = "t1", "t2"
    await scene.revocations.revoke_token(ALICE, "t1")
    assert (closed(lost), closed(kept), closed(nameless)) == ((4502, "token_revoked"), None, None)
    for issued in (-60, 0, 3600):  # whatever its times say: an issuer names no second token so
        with pytest.raises(CommandError) as refused:
            scene.revocations.check(ALICE, R + issued, "t1")
        assert refused.value.code == "token_revoked"
        scene.revocations.check(ALICE, R + issued, "t2")
        scene.revocations.check(ALICE, R + issued)
    scene.revocations.check(UserId("bob"), R, "t1")


async def test_revoked_token_is_learned_from_the_store() -> None:
    """By an instance that starts later, without Redis, and by every other one at its next poll."""
    scene = _Scene()
    await scene.revocations.revoke_token(ALICE, "t1")
    other = _Scene(is_loaded=False)
    other.store.revoked = scene.store.revoked
    socket = other.socket(-5, -60)
    socket.token_id = "t1"
    await other.revocations.load()
    assert closed(socket) == (4502, "token_revoked")
    with pytest.raises(CommandError):
        other.revocations.check(ALICE, R, "t1")


async def test_revoked_token_that_is_forgotten_stays_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory is bounded, and every doubt is decided against the token: it was issued before it was revoked."""
    monkeypatch.setattr("holdfast.node.revocations._MAX_KNOWN", 3)
    scene = _Scene()
    await scene.revocations.revoke_token(ALICE, "t1")
    for number in range(5):
        scene.store.now_ms += 1
        await scene.revocations.revoke(UserId(f"user{number}"))
    with pytest.raises(CommandError) as refused:
        scene.revocations.check(ALICE, R - 60, "t1")
    assert refused.value.code == "token_expired"
