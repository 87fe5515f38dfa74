"""Every send is answered once, in order within its conversation, over as many connections as it takes."""

import pytest

from holdfast.client.checks import Draft
from holdfast.client.errors import SendFailed
from holdfast.client.outbox import ANSWER_SECONDS, GIVE_UP_SECONDS, KEPT_SECONDS, MAX_WAITING, MAX_WAITING_BYTES, Outbox
from holdfast.protocol.frames import Ack, ErrorFrame
from support.server_frames import limits

LINE, OTHER = object(), object()
LIMITS = limits()
WALL = 1_700_000_000.0


class Answer:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.told: Ack | SendFailed | None = None

    def done(self) -> bool:
        return self.told is not None

    def set_result(self, ack: Ack, /) -> None:
        self.told = ack

    def set_exception(self, error: SendFailed, /) -> None:
        self.told = error


def send(key: str, conversation_id: str = "c", body: str = "") -> Draft:
    return Draft.of(f"ref-{conversation_id}-{key}", conversation_id, key, body or key, None)


def ack(key: str, seq: int = 1, conversation_id: str = "c") -> Ack:
    return Ack(
        conversation_id=conversation_id, client_message_id=key, message_id=f"{seq:012d}", seq=seq, sent_at="", duplicate=False
    )


def error(key: str, *, retryable: bool, code: str = "store_unavailable", retry_after_ms: int = 1000) -> ErrorFrame:
    return ErrorFrame(
        code=code, detail="", retryable=retryable, conversation_id="c", client_message_id=key, retry_after_ms=retry_after_ms
    )


def keys(drafts: list[Draft]) -> list[str]:
    return [draft.frame.client_message_id for draft in drafts]


def test_one_is_in_flight_per_conversation() -> None:
    """Later ones must not overtake one that has to be repeated."""
    outbox = Outbox()
    for key, conversation_id in (("a", "c"), ("b", "c"), ("x", "d")):
        outbox.add(send(key, conversation_id), Answer(), 0.0)
    assert keys(outbox.due(LINE, 0.0, LIMITS, WALL)) == ["a", "x"]
    assert outbox.due(LINE, 0.0, LIMITS, WALL) == []
    assert outbox.acknowledged(ack("a"))
    assert keys(outbox.due(LINE, 0.0, LIMITS, WALL)) == ["b"]


def test_what_was_in_flight_on_a_lost_connection_is_sent_again_on_the_next() -> None:
    outbox, answer = Outbox(), Answer()
    outbox.add(send("a"), answer, 0.0)
    outbox.due(LINE, 0.0, LIMITS, WALL)
    outbox.lost(OTHER)
    assert outbox.due(OTHER, 1.0, LIMITS, WALL) == []
    outbox.lost(LINE)
    assert keys(outbox.due(OTHER, 1.0, LIMITS, WALL)) == ["a"]
    assert outbox.acknowledged(ack("a", seq=4))
    assert answer.told == ack("a", seq=4)
    assert not outbox.acknowledged(ack("a", seq=4)), "answered by the first connection, too"


def test_a_refusal_that_may_pass_is_tried_again_when_the_server_says() -> None:
    outbox, answer = Outbox(), Answer()
    outbox.add(send("a"), answer, 0.0)
    outbox.due(LINE, 0.0, LIMITS, WALL)
    assert outbox.failed(error("a", retryable=True), 0.0) is None
    assert outbox.due(LINE, 0.9, LIMITS, WALL) == []
    at = outbox.next_at()
    assert at is not None
    assert at >= 1.0
    assert keys(outbox.due(LINE, at, LIMITS, WALL)) == ["a"]
    assert not answer.done()


def test_a_refusal_for_good_is_told_and_the_next_one_goes_out() -> None:
    outbox, answer = Outbox(), Answer()
    outbox.add(send("a"), answer, 0.0)
    outbox.add(send("b"), Answer(), 0.0)
    outbox.due(LINE, 0.0, LIMITS, WALL)
    outbox.failed(error("a", retryable=False, code="idempotency_conflict"), 0.0)
    assert isinstance(answer.told, SendFailed)
    assert (answer.told.code, answer.told.retryable) == ("idempotency_conflict", False)
    assert keys(outbox.due(LINE, 0.0, LIMITS, WALL)) == ["b"]


def test_after_a_day_it_is_given_up_with_an_unknown_outcome() -> None:
    outbox, answer = Outbox(), Answer()
    outbox.add(send("a"), answer, 0.0)
    outbox.due(LINE, 0.0, LIMITS, WALL)
    outbox.lost(LINE)
    outbox.expire(GIVE_UP_SECONDS)
    assert outbox.due(LINE, GIVE_UP_SECONDS, LIMITS, WALL) == []
    assert isinstance(answer.told, SendFailed)
    assert (answer.told.outcome, answer.told.retryable) == ("unknown", True)


def test_too_many_are_refused_at_once() -> None:
    outbox = Outbox()
    for number in range(MAX_WAITING):
        outbox.add(send(str(number)), Answer(), 0.0)
    with pytest.raises(SendFailed, match="overloaded"):
        outbox.add(send("one-more"), Answer(), 0.0)


def test_closing_tells_everybody_what_is_known() -> None:
    outbox, tried, waiting = Outbox(), Answer(), Answer()
    outbox.add(send("a"), tried, 0.0)
    outbox.add(send("b"), waiting, 0.0)
    outbox.due(LINE, 0.0, LIMITS, WALL)
    outbox.close("closed", "")
    assert [each.told.outcome for each in (tried, waiting) if isinstance(each.told, SendFailed)] == ["unknown", "refused"]


def test_what_is_over_the_limits_of_the_instance_fails_and_the_next_one_goes_out() -> None:
    """Known only when a connection is there; until it was written its outcome is certain."""
    outbox, large, later = Outbox(), Answer(), Answer()
    outbox.add(send("a", body="x" * 100), large, 0.0)
    outbox.add(send("b"), later, 0.0)
    assert keys(outbox.due(LINE, 0.0, limits(body_bytes=99), WALL)) == ["b"]
    assert isinstance(large.told, SendFailed)
    assert (large.told.code, large.told.outcome, large.told.retryable) == ("body_too_large", "refused", False)


def test_a_send_that_nothing_answers_is_repeated_after_a_minute() -> None:
    outbox = Outbox()
    outbox.add(send("a"), Answer(), 0.0)
    outbox.due(LINE, 0.0, LIMITS, WALL)
    outbox.expire(ANSWER_SECONDS - 1)
    assert outbox.due(LINE, ANSWER_SECONDS - 1, LIMITS, WALL) == []
    outbox.expire(ANSWER_SECONDS)
    assert keys(outbox.due(LINE, ANSWER_SECONDS, LIMITS, WALL)) == ["a"]


def test_without_any_connection_a_send_is_given_up_after_a_day_too() -> None:
    outbox, answer = Outbox(), Answer()
    outbox.add(send("a"), answer, 0.0)
    outbox.expire(GIVE_UP_SECONDS)
    assert isinstance(answer.told, SendFailed)


def test_a_connection_that_ends_for_what_was_written_to_it_fails_what_was_in_flight_there() -> None:
    """And nothing else: what waits behind it, and what is in flight elsewhere, goes on."""
    outbox, blamed, elsewhere = Outbox(), Answer(), Answer()
    outbox.add(send("x", "d"), elsewhere, 0.0)
    outbox.due(OTHER, 0.0, LIMITS, WALL)
    outbox.add(send("a"), blamed, 0.0)
    outbox.add(send("b"), Answer(), 0.0)
    outbox.due(LINE, 0.0, LIMITS, WALL)
    outbox.blamed(LINE, "closed_1009", "")
    assert isinstance(blamed.told, SendFailed)
    assert (blamed.told.outcome, blamed.told.retryable) == ("unknown", False)
    assert not elsewhere.done()
    assert keys(outbox.due(OTHER, 0.0, LIMITS, WALL)) == ["b"]


def test_an_error_finds_its_send_by_the_ref_alone() -> None:
    """Ids that are too long are not repeated in an error."""
    outbox, answer = Outbox(), Answer()
    outbox.add(send("a"), answer, 0.0)
    outbox.due(LINE, 0.0, LIMITS, WALL)
    outbox.failed(ErrorFrame(code="tomorrow", detail="", retryable=False, ref="ref-c-other"), 0.0)
    assert not answer.done()
    outbox.failed(ErrorFrame(code="tomorrow", detail="", retryable=False, ref="ref-c-a"), 0.0)
    assert isinstance(answer.told, SendFailed)


def test_no_more_bytes_wait_than_the_bound() -> None:
    outbox, large = Outbox(), "x" * (MAX_WAITING_BYTES // 2)
    outbox.add(send("a", body=large), Answer(), 0.0)
    with pytest.raises(SendFailed, match="overloaded"):
        outbox.add(send("b", body=large), Answer(), 0.0)


def many(count: int) -> Outbox:
    """An outbox with one send in each of so many conversations."""
    outbox = Outbox()
    for number in range(count):
        outbox.add(send("a", f"c{number}"), Answer(), 0.0)
    return outbox


def refusal(conversation_id: str, code: str, retry_after_ms: int) -> ErrorFrame:
    return ErrorFrame(code=code, detail="", retryable=True, ref=f"ref-{conversation_id}-a", retry_after_ms=retry_after_ms)


def test_no_more_are_in_flight_than_the_instance_announces() -> None:
    """Each one beyond is refused, and its repetition costs a frame: too many of them end the client for good."""
    outbox, announced = many(5), limits(inflight_sends=2)
    first = outbox.due(LINE, 0.0, announced, WALL)
    assert len(first) == 2
    assert outbox.due(LINE, 0.0, announced, WALL) == []
    assert outbox.next_at() is None, "an answer makes the next one due, not the time"
    outbox.acknowledged(ack("a", conversation_id=first[0].frame.conversation_id))
    assert len(outbox.due(LINE, 0.0, announced, WALL)) == 1


def test_a_new_connection_begins_with_nothing_in_flight() -> None:
    outbox, announced = many(5), limits(inflight_sends=2)
    outbox.due(LINE, 0.0, announced, WALL)
    assert len(outbox.due(OTHER, 0.0, announced, WALL)) == 2


def test_sends_go_out_below_the_announced_rate() -> None:
    """The service takes a token for each attempt, be it refused."""
    outbox, announced = many(500), limits(inflight_sends=500, sends_per_second=50)
    written, now = len(outbox.due(LINE, 0.0, announced, WALL)), 0.0
    assert written <= 50
    while written < 500:
        at = outbox.next_at()
        assert at is not None
        assert at > now
        now = at
        written += len(outbox.due(LINE, now, announced, WALL))
        assert written <= 50 + 50 * now
    assert now == pytest.approx(10, abs=1)


def test_no_rate_is_kept_where_none_is_announced() -> None:
    assert len(many(500).due(LINE, 0.0, limits(inflight_sends=500, sends_per_second=0, frames_per_second=0), WALL)) == 500


@pytest.mark.parametrize("code", ["rate_limited", "overloaded"])
def test_a_refusal_that_would_meet_every_send_pauses_all_of_them(code: str) -> None:
    outbox, announced = many(10), limits(inflight_sends=5)
    outbox.due(LINE, 0.0, announced, WALL)
    assert outbox.failed(refusal("c0", code, 2_000), 0.0) is None
    assert outbox.due(LINE, 2.0, announced, WALL) == []
    at = outbox.next_at()
    assert at is not None
    assert at > 2.0
    assert outbox.due(LINE, at, announced, WALL) != []


def test_sends_that_were_refused_at_once_do_not_come_back_at_once() -> None:
    """They would be refused at once again."""
    outbox, announced = many(64), limits(sends_per_second=10)
    for number in range(len(outbox.due(LINE, 0.0, announced, WALL))):
        outbox.failed(refusal(f"c{number}", "rate_limited", 1_000), 0.0)
    outbox.due(LINE, 1.0, announced, WALL)
    at = outbox.next_at()
    assert at is not None
    assert len(outbox.due(LINE, at, announced, WALL)) == 1


def test_the_pause_is_added_to_what_the_server_asks_for() -> None:
    """A maximum of the two would be the same instant for all."""
    ends = []
    for _ in range(20):
        outbox = Outbox()
        outbox.add(send("a"), Answer(), 0.0)
        outbox.due(LINE, 0.0, LIMITS, WALL)
        outbox.failed(error("a", retryable=True, retry_after_ms=5_000), 0.0)
        ends.append(outbox.next_at())
    assert min(each for each in ends if each is not None) > 5.0
    assert len(set(ends)) > 1


def test_conversations_take_turns() -> None:
    """One with many sends does not hold up the others."""
    outbox, announced = Outbox(), limits(inflight_sends=1)
    for key, conversation_id in (("a", "c"), ("b", "c"), ("x", "d")):
        outbox.add(send(key, conversation_id), Answer(), 0.0)
    assert keys(outbox.due(LINE, 0.0, announced, WALL)) == ["a"]
    outbox.acknowledged(ack("a"))
    assert keys(outbox.due(LINE, 0.0, announced, WALL)) == ["x"]


def test_a_send_that_was_written_before_the_machine_slept_for_a_week_is_not_written_again() -> None:
    """The store has forgotten its key: it would be stored twice. The loop's clock does not go on while a machine sleeps."""
    outbox, answer, later = Outbox(), Answer(), Answer()
    outbox.add(send("a"), answer, 0.0)
    outbox.add(send("b"), later, 0.0)
    outbox.due(LINE, 0.0, LIMITS, WALL)
    outbox.lost(LINE)
    assert keys(outbox.due(OTHER, 1.0, LIMITS, WALL + KEPT_SECONDS - 1)) == ["a"], "the first time counts"
    outbox.lost(OTHER)
    assert keys(outbox.due(LINE, 2.0, LIMITS, WALL + KEPT_SECONDS)) == ["b"], "it was never written"
    assert isinstance(answer.told, SendFailed)
    assert (answer.told.code, answer.told.outcome, answer.told.retryable) == ("expired", "unknown", False)
    assert not later.done()
