"""One client's session: time is an argument, so a minute takes no time."""

import json
from typing import Any

import pytest

from holdfast.domain.buckets import TokenBuckets
from holdfast.domain.ids import UserId
from holdfast.node.sessions.session import PING, End, Session
from holdfast.protocol import frames
from holdfast.protocol.codes import CODES
from holdfast.settings import LimitSettings
from holdfast.telemetry import Telemetry

EXPIRES_AT = 1_000_000
EARLY_MS = (EXPIRES_AT - 3_600) * 1000


def _session(*, hello: bool = True, **limits: int) -> Session:
    settings = LimitSettings(**limits)
    sends: TokenBuckets[UserId] = TokenBuckets(settings.sends_per_second, settings.sends_burst)
    session = Session(settings, Telemetry("test"), sends, UserId("alice"), EXPIRES_AT, 0.0)
    if hello:
        assert isinstance(session.receive(b'{"type":"hello"}', 0.0), frames.Hello)
    return session


def _frame(output: Any) -> dict[str, Any]:
    assert isinstance(output, bytes), output
    document: dict[str, Any] = json.loads(output[output.index(b"{") :])
    return document


def _send(number: int = 0) -> bytes:
    return b'{"type":"send","ref":"%d","conversation_id":"c","client_message_id":"m","body":"x"}' % number


def test_hello_comes_first_once_and_in_time() -> None:
    """10 s, counted from the handshake; a refused hello does not count as one."""
    session = _session(hello=False)
    assert _frame(session.receive(_send(), 1.0))["code"] == "invalid_state"
    assert _frame(session.receive(b'{"type":"hello","cursors":{"a/b":1}}', 2.0))["field"] == "cursors"
    assert session.tick(9.9, EARLY_MS) is None
    assert isinstance(session.receive(b'{"type":"hello","cursors":{"c":1}}', 9.95), frames.Hello)
    assert session.tick(10.0, EARLY_MS) is None
    assert _frame(session.receive(b'{"type":"hello"}', 11.0))["code"] == "invalid_state"
    late = _session(hello=False).tick(10.0, EARLY_MS)
    assert isinstance(late, End)
    assert (late.code, late.error.code) == (4003, "hello_timeout")


def test_hello_with_more_cursors_than_the_limit_is_answered() -> None:
    """A user may be in more conversations than that. Refused for it, the client could never connect again (4003 each time)."""
    session = _session(hello=False, cursors=3)
    cursors = {f"c{number}": number for number in range(2_000)}
    answer = session.receive(json.dumps({"type": "hello", "cursors": cursors}).encode(), 1.0)
    assert isinstance(answer, frames.Hello)
    assert answer.cursors == cursors


def test_a_silent_client_is_asked_once_and_then_let_go() -> None:
    """Any frame is a sign of life, a pong too; within 25 s a dead one is gone."""
    session = _session()
    assert session.tick(14.9, EARLY_MS) is None
    assert session.tick(15.0, EARLY_MS) is PING
    assert session.tick(16.0, EARLY_MS) is None
    session.count_frame(17.0)
    assert session.tick(31.9, EARLY_MS) is None
    assert session.tick(32.0, EARLY_MS) is PING
    gone = session.tick(39.0, EARLY_MS)
    assert isinstance(gone, End)
    assert (gone.code, gone.error.retryable) == (4001, True)


def test_after_a_standstill_a_client_is_asked_before_it_is_let_go() -> None:
    """While this process stood still it asked none of them, and heard none."""
    session = _session()
    assert session.tick(14.5, EARLY_MS) is None
    assert session.tick(26.5, EARLY_MS) is PING
    assert session.tick(31.4, EARLY_MS) is None
    assert isinstance(session.tick(31.5, EARLY_MS), End)


def test_expiry_is_told_once_a_minute_before_and_again_after_a_renewal() -> None:
    """4002 at the second it expires, not before."""
    session = _session()
    assert session.tick(1.0, (EXPIRES_AT - 61) * 1000) is None
    assert _frame(session.tick(2.0, (EXPIRES_AT - 60) * 1000))["type"] == "token_expiring"
    assert session.tick(3.0, (EXPIRES_AT - 59) * 1000) is None
    session.expires_at = EXPIRES_AT + 30
    assert _frame(session.tick(4.0, (EXPIRES_AT - 1) * 1000))["expires_at"] == "1970-01-12T13:47:10.000Z"
    assert session.tick(5.0, (EXPIRES_AT + 29) * 1000 + 999) is None
    over = session.tick(6.0, (EXPIRES_AT + 30) * 1000)
    assert isinstance(over, End)
    assert (over.code, over.error.code) == (4002, "token_expired")


def test_sends_have_a_bucket_of_their_own() -> None:
    """A burst, then the rate; a refused send says that it was refused and when to come back."""
    session = _session(sends_per_second=10, sends_burst=3)
    for number in range(3):
        assert isinstance(session.receive(_send(number), 0.0), frames.Send)
    refused = _frame(session.receive(_send(3), 0.0))
    assert (refused["code"], refused["ref"], refused["outcome"], refused["retryable"]) == ("rate_limited", "3", "refused", True)
    assert 0 < refused["retry_after_ms"] <= 200
    assert _frame(session.receive(b'{"type":"ping"}', 0.0))["type"] == "pong"
    assert isinstance(session.receive(_send(4), 1.0), frames.Send)


def _frames(session: Session, count: int, now: float) -> list[Any]:
    """Text frames at one moment, each counted and read, until one of them ends it."""
    outputs: list[Any] = []
    for _ in range(count):
        output = session.count_frame(now) or session.receive(b'{"type":"ping","ref":"r"}', now)
        outputs.append(output)
        if isinstance(output, End):
            break
    return outputs


def test_too_many_frames_are_refused_then_cut() -> None:
    """Past the burst each is answered with an error and its `ref`; past twice the burst the socket ends with 1008."""
    outputs = _frames(_session(frames_per_second=10, frames_burst=20), 100, 0.0)
    assert [_frame(output)["type"] for output in outputs[:20]] == ["pong"] * 20
    assert {(_frame(output)["code"], _frame(output)["ref"]) for output in outputs[20:-1]} == {("rate_limited", "r")}
    assert isinstance(outputs[-1], End)
    assert (outputs[-1].code, len(outputs)) == (1008, 41)


def test_pings_and_empty_fragments_cost_as_much() -> None:
    """Counted where every frame passes, whatever it is."""
    session = _session(frames_per_second=10, frames_burst=20)
    ends = [output for _ in range(60) if (output := session.count_frame(0.0)) is not None]
    assert ends
    assert ends[0].error.code == "policy_violation"


@pytest.mark.parametrize(("pause", "ended"), [(False, True), (True, False)])
def test_ten_seconds_over_the_rate_without_a_pause(*, pause: bool, ended: bool) -> None:
    """4004 for a client that never slows down; after a pause the count begins anew."""
    session = _session(frames_per_second=10, frames_burst=20)
    _frames(session, 25, 0.0)
    outputs = []
    for tenth in range(1, 110):
        if pause and tenth == 50:
            continue
        outputs += _frames(
            session, 3 if pause and tenth % 50 == 1 else 1, tenth / 10 if not pause or tenth < 50 else tenth / 10 + 5
        )
    ends = [output for output in outputs if isinstance(output, End)]
    assert bool(ends) == ended
    if ended:
        assert (ends[0].code, ends[0].error.code) == (4004, "rate_limited")


def test_a_rate_of_zero_is_no_rate() -> None:
    """For the bench and drills."""
    session = _session(frames_per_second=0, sends_per_second=0)
    assert all(session.count_frame(0.0) is None for _ in range(5_000))
    assert all(isinstance(session.receive(_send(), 0.0), frames.Send) for _ in range(1_000))


HOSTILE = (
    b"", b"{}", b"[]", b"nul", b"\xff", b'{"type":"evil"}', b'{"type":"hello","type":"send"}', b'{"type":7}',
    b'{"type":"send","conversation_id":"../x"}', b'{"type":"welcome"}', b'{"type":"message"}', b"[" * 5_000,
    b'{"type":"' + b"a" * 500 + b'"}',
)  # fmt: skip


def test_whatever_a_client_sends_no_series_is_made_of_it() -> None:
    """Otherwise a client could fill the memory of the instance, and of Prometheus."""
    session, telemetry = _session(), Telemetry("test")
    session._telemetry = telemetry
    before = {sample.name: sample.labels for family in telemetry.registry.collect() for sample in family.samples}
    count = sum(len(family.samples) for family in telemetry.registry.collect())
    for number, text in enumerate((*HOSTILE, _send()) * 3):
        session.receive(text, float(number))
    assert {sample.name: sample.labels for family in telemetry.registry.collect() for sample in family.samples} == before
    assert sum(len(family.samples) for family in telemetry.registry.collect()) == count
    refused = sum(telemetry.registry.get_sample_value("holdfast_commands_refused_total", {"code": code}) or 0 for code in CODES)
    assert refused == 3 * len(HOSTILE)
