"""What the probe takes for a violation, and what it does not."""

import pytest

from holdfast.probe.judge import MAX_SENT, Judge, Verdict
from holdfast.probe.stream import MAX_MISSING, Stream

C = "c1"
USERS = ("ann", "ben")
LOSS_SECONDS = 30.0


class Scene:
    """A judge, a clock, and messages with their usual fields."""

    def __init__(self) -> None:
        self.now = 100.0
        self.judge = Judge(USERS, LOSS_SECONDS)
        self.judge.follow(C, is_new=True)
        for user in (0, 1):
            self.judge.connected(user, self.now)

    def sends(self, key: str, user: int = 0, *, seq: int = 0) -> None:
        """`user` sends; with `seq` it is acknowledged at once."""
        self.judge.sent(user, C, key, f"text of {key}", self.now)
        if seq:
            self.judge.acknowledged(key, seq, self.now)

    def shows(self, user: int, key: str, seq: int, *, sender: str = "ann", body: str = "", conversation: str = C) -> None:
        """A client shows a message."""
        self.judge.shown(user, conversation, key, seq, self.now, sender=sender, body=body or f"text of {key}")

    def receives(self, user: int, *seqs: int) -> None:
        """Frames come, by one connection."""
        for seq in seqs:
            self.judge.received(user, C, seq, self.now)

    def check(self, after: float = 0.0) -> Verdict:
        """The findings, that many seconds later."""
        self.now += after
        return self.judge.check(self.now)

    def found(self, after: float = 0.0) -> list[tuple[str, int, int]]:
        """(kind, user, seq) of each violation."""
        return [(each.kind, each.user, each.seq) for each in self.check(after).violations]


@pytest.fixture
def scene() -> Scene:
    """Both users are connected."""
    return Scene()


def test_messages_shown_once_and_in_order_are_no_violation(scene: Scene) -> None:
    """A probe that cries wolf is switched off."""
    for seq in range(1, 101):
        scene.sends(f"m{seq}", seq=seq)
        scene.receives(0, seq)
        scene.receives(1, seq)
        scene.shows(0, f"m{seq}", seq)
        scene.now += 0.25
        scene.shows(1, f"m{seq}", seq)
    verdict = scene.check(1_000)
    assert (verdict.violations, verdict.delivered, verdict.undelivered) == ([], 100, 0)
    assert verdict.latencies == [0.25] * 100


def test_an_acknowledged_message_that_is_never_shown_is_lost_once(scene: Scene) -> None:
    """The promise that no metric of an instance can show: an instance that does not deliver does not count either."""
    scene.sends("m1", seq=1)
    scene.shows(0, "m1", 1)
    assert scene.found(after=LOSS_SECONDS - 1) == []
    verdict = scene.check(after=1)
    assert [(each.kind, each.user, each.seq) for each in verdict.violations] == [("lost", 1, 1)]
    assert (verdict.delivered, verdict.undelivered) == (0, 1)
    assert scene.found(after=1_000) == []


def test_a_message_is_lost_to_its_sender_too(scene: Scene) -> None:
    """The sender's other devices live by it."""
    scene.sends("m1", seq=1)
    scene.shows(1, "m1", 1)
    verdict = scene.check(after=LOSS_SECONDS)
    assert [(each.kind, each.user) for each in verdict.violations] == [("lost", 0)]
    assert (verdict.delivered, verdict.undelivered) == (1, 0)


def test_a_send_without_an_answer_loses_nothing(scene: Scene) -> None:
    """It may be stored or not: nothing was promised."""
    scene.sends("m1")
    assert scene.found(after=1_000) == []


def test_a_message_that_one_user_was_shown_is_owed_to_the_other(scene: Scene) -> None:
    """It is stored, whatever became of its acknowledgement."""
    scene.sends("m1")
    scene.shows(0, "m1", 1)
    assert scene.found(after=LOSS_SECONDS) == [("lost", 1, 1)]


def test_time_without_a_connection_does_not_count_for_a_loss(scene: Scene) -> None:
    """A user without a connection is shown nothing, and that is no fault."""
    scene.sends("m1", seq=1)
    scene.shows(0, "m1", 1)
    assert scene.found(after=LOSS_SECONDS - 10) == []
    scene.judge.disconnected(1, scene.now)
    scene.judge.disconnected(1, scene.now)
    assert scene.found(after=3_600) == []
    scene.judge.connected(1, scene.now)
    assert scene.found(after=9) == []
    assert scene.found(after=1) == [("lost", 1, 1)]


def test_a_message_that_waited_for_a_reconnect_is_delivered_and_has_no_latency(scene: Scene) -> None:
    """The time that the user was away is no figure of the service; `resume` measures the rest."""
    scene.judge.disconnected(1, scene.now)
    scene.sends("m1", seq=1)
    scene.now += 60
    scene.judge.connected(1, scene.now)
    scene.shows(1, "m1", 1)
    verdict = scene.check()
    assert (verdict.delivered, verdict.latencies, verdict.violations) == (1, [], [])


def test_a_connection_that_breaks_by_itself_delays_what_was_on_its_way(scene: Scene) -> None:
    """An instance that hangs is noticed late: its users wait, and the histogram says how long."""
    scene.sends("m1", seq=1)
    scene.now += 20
    scene.judge.disconnected(1, scene.now)
    scene.judge.connected(1, scene.now + 1)
    scene.now += 1
    scene.shows(1, "m1", 1)
    assert scene.check().latencies == [21]


def test_a_connection_that_the_probe_ends_delays_nothing(scene: Scene) -> None:
    """Else each reconnect of the probe would look like a slow service."""
    scene.sends("m1", seq=1)
    scene.judge.moves(1)
    scene.judge.disconnected(1, scene.now)
    scene.now += 3
    scene.judge.connected(1, scene.now)
    scene.shows(1, "m1", 1)
    scene.sends("m2", seq=2)
    scene.now += 0.5
    scene.shows(1, "m2", 2)
    assert scene.check().latencies == [0.5]


def test_a_frame_that_comes_twice_on_a_connection_is_doubled(scene: Scene) -> None:
    """The client would hide it from its user."""
    scene.receives(1, 1, 2, 2)
    assert scene.found() == [("doubled", 1, 2)]


def test_frames_that_change_places_are_disordered(scene: Scene) -> None:
    """The same."""
    scene.receives(1, 1, 3, 2, 4)
    assert scene.found(after=1_000) == [("disordered", 1, 2)]


def test_a_frame_that_a_connection_skips_is_lost_although_the_client_fetches_it(scene: Scene) -> None:
    """The socket promises steps of one; only the next message tells the client to look."""
    scene.receives(1, 1, 3, 4)
    assert scene.found(after=LOSS_SECONDS) == [("lost", 1, 2)]


def test_frames_that_the_service_names_as_truncated_are_not_lost(scene: Scene) -> None:
    """They are fetched by REST, as the protocol says."""
    scene.receives(1, 1)
    scene.judge.truncated(1, C, 500)
    scene.receives(1, 501, 502)
    assert scene.found(after=1_000) == []


def test_another_connection_may_bring_a_frame_again(scene: Scene) -> None:
    """It replays what the client had not been given."""
    scene.receives(1, 1, 2, 3)
    scene.judge.rewired(1)
    scene.receives(1, 2, 3, 4)
    scene.judge.rewired(1)
    scene.receives(1, 9)
    assert scene.found(after=1_000) == []


def test_a_message_shown_twice_is_doubled(scene: Scene) -> None:
    """What the user sees counts, whichever part of ours is to blame."""
    scene.sends("m1", seq=1)
    for user in (0, 1, 1):
        scene.shows(user, "m1", 1)
    assert scene.found() == [("doubled", 1, 1)]


def test_a_message_stored_twice_is_doubled(scene: Scene) -> None:
    """A retry that is answered with another seq, or is shown with one."""
    scene.sends("m1", seq=1)
    scene.judge.acknowledged("m1", 1, scene.now)
    assert scene.found() == []
    scene.judge.acknowledged("m1", 2, scene.now)
    assert scene.found() == [("doubled", 0, 2)]
    scene.shows(1, "m1", 1)
    scene.shows(1, "m1", 3)
    assert ("doubled", 1, 3) in scene.found()


def test_messages_shown_in_the_wrong_order_are_disordered(scene: Scene) -> None:
    """Both are there, and the conversation reads wrong."""
    for seq in (1, 2):
        scene.sends(f"m{seq}", seq=seq)
    scene.shows(1, "m2", 2)
    scene.shows(1, "m1", 1)
    assert scene.found() == [("disordered", 1, 1)]


def test_a_message_with_a_lower_seq_than_one_acknowledged_before_it_is_disordered(scene: Scene) -> None:
    """Answer and question change places for every user."""
    scene.sends("m5", seq=5)
    scene.sends("m4", user=1, seq=4)
    assert scene.found() == [("disordered", 1, 4)]


@pytest.mark.parametrize("what", [{"body": "another"}, {"sender": "ben"}])
def test_a_message_with_another_text_or_sender_is_changed(scene: Scene, what: dict[str, str]) -> None:
    """Exactly once and in order is worth nothing if it is another message."""
    scene.sends("m1", seq=1)
    scene.shows(1, "m1", 1, **what)
    assert scene.found() == [("changed", 1, 1)]


def test_a_message_in_another_conversation_is_changed(scene: Scene) -> None:
    """It was said to other users."""
    scene.judge.follow("c2", is_new=True)
    scene.sends("m1", seq=1)
    scene.shows(1, "m1", 1, conversation="c2")
    assert ("changed", 1, 1) in scene.found()


def test_messages_of_others_and_other_conversations_are_ignored(scene: Scene) -> None:
    """Those of an earlier probe are still there."""
    scene.shows(1, "unknown", 1, sender="anybody")
    scene.shows(1, "unknown", 7, conversation="elsewhere")
    scene.judge.received(1, "elsewhere", 7, scene.now)
    assert scene.found(after=1_000) == []


def test_what_a_restored_store_does_not_hold_is_not_lost(scene: Scene) -> None:
    """The operator took it away; the numbers begin again below."""
    for seq in range(1, 6):
        scene.sends(f"m{seq}", seq=seq)
        scene.shows(0, f"m{seq}", seq)
    for user in (0, 1):
        scene.judge.reset(user, C)
    scene.sends("n3", seq=3)
    for user in (0, 1):
        scene.shows(user, "n3", 3)
    assert scene.found(after=1_000) == []


def test_a_forgotten_conversation_is_not_judged(scene: Scene) -> None:
    """Its users have left it."""
    scene.sends("m1", seq=1)
    assert not scene.judge.is_shown_to_all(C)
    scene.judge.forget(C)
    assert scene.judge.is_shown_to_all(C)
    scene.shows(1, "m1", 1)
    assert scene.found(after=1_000) == []


def test_memory_is_bounded_and_what_is_forgotten_is_not_held_against_the_service(scene: Scene) -> None:
    """A probe runs for a year."""
    for number in range(MAX_SENT + 500):
        scene.sends(f"m{number}")
        scene.judge.follow(f"fresh-{number}", is_new=True)
    assert len(scene.judge._sent) == MAX_SENT
    scene.shows(1, "m1", 1)
    assert scene.found(after=1_000) == []
    stream = Stream(0)
    stream.take(10 * MAX_MISSING, 0.0)
    assert len(stream.overdue(60.0, 30.0)) == MAX_MISSING
    scene.receives(1, 1)
    for _ in range(3_000):
        scene.receives(1, 1)
    assert scene.found() == [("doubled", 1, 1)]
    assert C in scene.judge._tops, "the first conversation is the one that stays"
