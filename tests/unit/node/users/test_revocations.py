"""Which tokens and sockets a revocation concerns, by the store's clock. The leeway is 10 s."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from holdfast.domain.ids import UserId
from holdfast.errors import CommandError, StoreUnavailable
from holdfast.node.cluster.store_clock import StoreClock
from holdfast.node.connections.connection import Connection
from holdfast.node.connections.hub import Hub
from holdfast.node.users import revoked_tokens
from holdfast.node.users.revocations import Revocations
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
    tokens: dict[str, int] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)
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

    async def revoke_token(self, name: str, expires_at_ms: int) -> None:
        self.tokens[name] = expires_at_ms

    async def read_revoked_tokens(self, since_ms: int, limit: int) -> dict[str, int]:
        assert since_ms == self.asked[-1]
        self.limits.append(limit)
        return dict(self.tokens)


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
        made.opened_at, made.grant = self.began + opened, replace(made.grant, issued_at=R + issued)
        self.hub.add(made)
        return made

    def verdict(self, issued: int) -> str:
        """On a token that was issued so many seconds after R."""
        return self.verdict_on("", issued)

    def verdict_on(self, token_id: str, issued: int = -60) -> str:
        """On a token with that id."""
        try:
            self.revocations.check(ALICE, R + issued, token_id)
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
    monkeypatch.setattr("holdfast.node.users.revocations._MAX_KNOWN", 2)
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
    lost.grant, kept.grant = replace(lost.grant, token_id="t1"), replace(kept.grant, token_id="t2")
    await scene.revocations.revoke_token(ALICE, "t1", R + 600)
    assert (closed(lost), closed(kept), closed(nameless)) == ((4502, "token_revoked"), None, None)
    for issued in (-60, 0, 3600):  # whatever its times say: an issuer names no second token so
        assert scene.verdict_on("t1", issued) == "token_revoked"
        assert scene.verdict_on("t2", issued) == scene.verdict_on("", issued) == "accepted"
    scene.revocations.check(UserId("bob"), R, "t1")
    assert scene.bus.published == [], "other instances learn of it by their next poll"


async def test_revoked_token_is_learned_from_the_store() -> None:
    """By an instance that starts later, without Redis, and by every other one at its next poll."""
    scene = _Scene()
    await scene.revocations.revoke_token(ALICE, "t1", R + 600)
    other = _Scene(is_loaded=False)
    other.store.tokens = scene.store.tokens
    socket = other.socket(-5, -60)
    socket.grant = replace(socket.grant, token_id="t1")
    await other.revocations.load()
    assert closed(socket) == (4502, "token_revoked")
    assert other.verdict_on("t1") == "token_revoked"
    assert other.store.limits == [revoked_tokens.MOST_KNOWN], "a start reads no more than an instance remembers"


async def test_revocations_of_single_tokens_refuse_no_other_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every user may revoke tokens of its own: however many these are, they take no place of a revocation of all tokens."""
    monkeypatch.setattr("holdfast.node.users.revocations._MAX_KNOWN", 2)
    scene = _Scene()
    scene.revocations.learn(UserId("dora"), R * 1000)
    for number in range(5):
        await scene.revocations.revoke_token(UserId(f"user{number}"), "t1", R + 600)
    assert scene.verdict(-60) == "accepted"
    scene.at(60)
    with pytest.raises(CommandError, match="token_revoked"):
        scene.revocations.check(UserId("dora"), R - 60)


async def test_forgotten_revocations_of_users_leave_those_of_single_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kind has a memory of its own."""
    monkeypatch.setattr("holdfast.node.users.revocations._MAX_KNOWN", 3)
    scene = _Scene()
    await scene.revocations.revoke_token(ALICE, "t1", R + 600)
    for number in range(5):
        scene.store.now_ms += 1
        await scene.revocations.revoke(UserId(f"user{number}"))
    assert scene.verdict_on("t1", 60) == "token_revoked"


async def test_user_revokes_a_bounded_number_of_tokens_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop of "get a token, revoke it" ends before the store is written; to revoke all at once still works."""
    monkeypatch.setattr("holdfast.node.users.revoked_tokens.MOST_OF_ONE_USER", 2)
    scene = _Scene()
    for token_id in ("t1", "t2"):
        await scene.revocations.revoke_token(ALICE, token_id, R + 600)
    stored = dict(scene.store.tokens)
    with pytest.raises(CommandError) as refused:
        await scene.revocations.revoke_token(ALICE, "t3", R + 600)
    assert refused.value.code == "limit_reached"
    assert scene.store.tokens == stored
    assert scene.verdict_on("t3") == "accepted"
    await scene.revocations.revoke_token(ALICE, "t2", R + 1_200)  # a token that is revoked already takes no further place
    await scene.revocations.revoke_token(UserId("bob"), "t1", R + 600)
    await scene.revocations.revoke(ALICE)
    assert scene.verdict(-60) == "token_revoked"
    scene.at(720)
    await scene.revocations.load()
    await scene.revocations.revoke_token(ALICE, "t3", R + 1_200)  # t1 has ended
    with pytest.raises(CommandError, match="limit_reached"):
        await scene.revocations.revoke_token(ALICE, "t4", R + 1_200)


async def test_no_token_is_revoked_that_could_not_be_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A 204 for a revocation that is forgotten at once would be a lie: the caller is told, and revokes all of its tokens."""
    monkeypatch.setattr("holdfast.node.users.revoked_tokens.MOST", 2)
    scene = _Scene()
    for user in ("bob", "carol"):
        await scene.revocations.revoke_token(UserId(user), "t1", R + 600)
    with pytest.raises(CommandError, match="limit_reached"):
        await scene.revocations.revoke_token(ALICE, "t1", R + 600)
    scene.at(720)
    await scene.revocations.load()
    await scene.revocations.revoke_token(ALICE, "t1", R + 1_200)


async def test_revocation_of_a_token_ends_with_the_token() -> None:
    """It is kept for as long as the token could be accepted: until `exp`, the leeway later, and for a clock that is set back."""
    scene = _Scene()
    await scene.revocations.revoke_token(ALICE, "t1", R + 600)
    (expires_at_ms,) = scene.store.tokens.values()
    assert expires_at_ms == (R + 600 + LEEWAY + 60) * 1000
    scene.at(600 + LEEWAY + 59)
    await scene.revocations.load()
    assert scene.verdict_on("t1") == "token_revoked"
    scene.at(600 + LEEWAY + 60)
    await scene.revocations.load()
    assert len(scene.revocations._tokens) == 0, "the store has it still, and it is not taken up again"


async def test_no_revocation_of_a_token_is_dropped_by_a_clock_of_ones_own() -> None:
    """The clock of the instance may be ahead: the revoked token would be accepted when the store's time is known."""
    scene = _Scene()
    scene.store.tokens = {revoked_tokens.name_of(ALICE, "t1"): (R + 60) * 1000}
    scene.revocations._clock = StoreClock(ShiftedClock(1e9))
    await scene.revocations.load()
    assert scene.verdict_on("t1") == "token_revoked"


async def test_token_whose_expiry_is_not_known_is_revoked_for_a_year() -> None:
    """An administrator knows the id and not always the token. No expiry is later than a date can be."""
    scene = _Scene()
    await scene.revocations.revoke_token(ALICE, "t1")
    (expires_at_ms,) = scene.store.tokens.values()
    assert abs(expires_at_ms - (R + 366 * 86_400 + LEEWAY + 60) * 1000) <= 2
    await scene.revocations.revoke_token(ALICE, "t1", R + 600)
    assert list(scene.store.tokens.values()) == [expires_at_ms], "no later call shortens it"
    await scene.revocations.revoke_token(ALICE, "t2", 999_999_999_999)
    assert max(scene.store.tokens.values()) == 253_402_300_799_000


def test_beyond_what_is_remembered_the_tokens_nearest_to_their_end_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instances accept revocations at the same time, so that there may be more than one of them would accept."""
    monkeypatch.setattr("holdfast.node.users.revoked_tokens.MOST", 3)
    monkeypatch.setattr("holdfast.node.users.revoked_tokens.MOST_KNOWN", 4)
    scene = _Scene()
    for number in (5, 1, 4, 2, 3):
        scene.revocations.learn_token(revoked_tokens.name_of(ALICE, f"t{number}"), (R + number) * 1000)
    assert [scene.verdict_on(f"t{number}") for number in range(1, 6)] == ["accepted"] * 2 + ["token_revoked"] * 3
    assert scene.verdict(-3600) == "accepted"
