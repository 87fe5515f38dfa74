"""Read cursors: coalesced, only forward, never beyond the end, answered once and told once."""

import pytest

from holdfast.domain.ids import ConversationId, UserId
from holdfast.errors import StoreRejected, StoreTimeout
from holdfast.node.users import reading
from holdfast.node.users.reading import NOTHING, Seen
from holdfast.node.users.receipts import DEADLINE_SECONDS
from support.receipts_scene import ALICE, BOB, C, Scene
from support.virtual_time import LoopClock, in_virtual_time, passed, settled


@in_virtual_time
async def test_what_comes_between_two_writes_is_one_write() -> None:
    """Firestore takes one write a second of a document; everybody is answered with what was committed."""
    scene = Scene()
    scene.read("alice", 1)
    await settled()
    for seq in (4, 3, 5, 2):
        scene.read("alice", seq)
    scene.read("bob", 2)
    await passed(3)
    assert scene.store.cursor_writes == 2
    assert scene.answers == [("alice", 1), *[("alice", 5)] * 4, ("bob", 2)]
    assert scene.published() == [
        (f"conversation:{C}", "alice", 1),
        (f"conversation:{C}", "alice", 5),
        (f"conversation:{C}", "bob", 2),
    ]


@in_virtual_time
async def test_a_cursor_never_goes_back_and_what_did_not_move_is_not_told() -> None:
    """An older read is answered with the younger cursor."""
    scene = Scene()
    for seq in (7, 3, 7):
        scene.read("alice", seq)
        await passed(2)
    assert scene.answers == [("alice", 7)] * 3
    assert scene.published() == [(f"conversation:{C}", "alice", 7)]
    scene.fan_out.learn(C, ALICE, 6)
    assert scene.moved == [("alice", 7)]
    assert scene.window.contents(LoopClock().monotonic())["receipts"] == {"c1|alice": 7}


@in_virtual_time
async def test_beyond_the_end_is_refused_after_the_tail_was_read_again() -> None:
    """The message may be there, and only not here yet."""
    scene = Scene()
    scene.read("alice", 11)
    scene.read("bob", 10)
    await passed(2)
    assert sorted(scene.answers) == [("alice", "message_not_found"), ("bob", 10)]
    assert scene.store.cursors == {(C, "bob"): 10}
    scene.store.put(C, "eleven")
    scene.read("alice", 11)
    await passed(2)
    assert scene.answers[-1] == ("alice", 11)


@in_virtual_time
async def test_read_of_a_message_that_a_restore_took_away_is_refused() -> None:
    """This instance has not noticed the restore: the message is still in its stream."""
    scene = Scene()
    scene.store.ends[C] = 5
    scene.read("alice", 7)
    scene.read("bob", 5)
    await passed(2)
    assert sorted(scene.answers) == [("alice", "message_not_found"), ("bob", 5)]
    assert scene.published() == [(f"conversation:{C}", "bob", 5)]


@in_virtual_time
async def test_read_of_a_message_that_a_restore_left_succeeds_the_second_time() -> None:
    """The instance remembers a cursor of before the restore; another device of the user reads less."""
    scene = Scene()
    scene.read("alice", 10)
    await passed(2)
    scene.store.cursors.clear()
    scene.store.ends[C] = 5
    for _ in range(2):
        scene.read("alice", 4)
        await passed(2)
    assert scene.answers == [("alice", 10), ("alice", "store_unavailable"), ("alice", 4)]
    assert scene.published()[-1] == (f"conversation:{C}", "alice", 4)


@in_virtual_time
async def test_own_message_that_moves_no_cursor_is_written_beside_a_read() -> None:
    """Its user is not in the answer of the store, which is no fault."""
    scene = Scene()
    scene.read("bob", 5)
    await passed(2)
    scene.receipts.note_sent(C, BOB, 10, NOTHING)
    scene.read("alice", 4)
    await passed(2)
    assert scene.answers == [("bob", 5), ("alice", 4)]
    assert scene.store.cursors == {(C, "bob"): 5, (C, "alice"): 4}


@in_virtual_time
async def test_strangers_and_unknown_conversations_are_refused() -> None:
    """Without a cursor of theirs being written."""
    scene = Scene()
    scene.read("eve", 1)
    await passed(1)
    assert scene.answers == [("eve", "conversation_not_found")]
    assert scene.store.cursors == {}


@in_virtual_time
async def test_a_store_that_hangs_is_answered_for_within_the_deadline() -> None:
    """And once: what it says later is not told to a client that has its error."""
    scene = Scene()
    writing = scene.store.hold("advance_cursors")
    scene.read("alice", 3)
    for _ in range(60):
        await passed(0.05)
        scene.receipts.expire()
    assert scene.answers == [("alice", "store_unavailable")]
    assert DEADLINE_SECONDS < 3
    writing.set()
    await passed(2)
    assert scene.answers == [("alice", "store_unavailable")]


@in_virtual_time
async def test_a_store_that_fails_is_told_and_the_next_read_works() -> None:
    """A lane survives its failures."""
    scene = Scene()
    scene.store.fail("advance_cursors", StoreTimeout("away"))
    scene.read("alice", 3)
    await passed(2)
    scene.read("alice", 3)
    await passed(2)
    assert scene.answers == [("alice", "store_unavailable"), ("alice", 3)]


@in_virtual_time
async def test_user_who_answers_before_reading_sends_a_receipt() -> None:
    """The message was shown before the answer was written: the cursor moves over both, and the others hear of it."""
    scene = Scene()
    scene.receipts.note_sent(C, BOB, 10, Seen(upto=9))
    await passed(2)
    assert scene.store.cursors == {(C, "bob"): 10}
    assert scene.published() == [(f"conversation:{C}", "bob", 10)]
    assert scene.store.read_by == {9: ["bob"]}


@in_virtual_time
async def test_user_who_has_read_everything_sends_without_a_receipt() -> None:
    """One message would be two envelopes: the others know that a user has read up to their own message."""
    scene = Scene()
    scene.read("bob", 8)
    await passed(2)
    for seq in (9, 10):
        scene.receipts.note_sent(C, BOB, seq, Seen(upto=seq - 1))
        await passed(2)
    assert scene.store.cursors == {(C, "bob"): 10}
    assert scene.published() == [(f"conversation:{C}", "bob", 8)]


@in_virtual_time
async def test_message_written_before_others_arrived_reads_none_of_them() -> None:
    """It waited for a connection. A later read is told, although it lies below the user's own message."""
    scene = Scene()
    scene.receipts.note_sent(C, BOB, 10, NOTHING)
    await passed(2)
    assert (scene.store.cursors, scene.published()) == ({(C, "bob"): 0}, [])
    scene.read("bob", 7)
    await passed(2)
    assert scene.published() == [(f"conversation:{C}", "bob", 7)]
    scene.read("bob", 9)
    await passed(2)
    assert scene.published()[1:] == [(f"conversation:{C}", "bob", 10)]
    assert scene.answers == [("bob", 7), ("bob", 10)]


@in_virtual_time
async def test_first_read_or_message_is_told_as_acceptance_once() -> None:
    """The creator has accepted at once; a message counts wherever the cursor stands, and only what its sender wrote."""
    scene = Scene("carl")
    scene.read("alice", 3)
    scene.receipts.note_sent(C, BOB, 10, NOTHING)
    await passed(2)
    assert scene.accepted() == ["bob"]
    scene.receipts.note_sent(C, BOB, 10, NOTHING)
    scene.read("bob", 7)
    scene.read("carl", 7)
    await passed(2)
    assert scene.accepted() == ["bob", "carl"]
    assert scene.store.cursors == {(C, "alice"): 3, (C, "bob"): 7, (C, "carl"): 7}


@in_virtual_time
async def test_first_read_below_the_own_message_is_told() -> None:
    """The cursor was there already, by a message that another instance stored."""
    scene = Scene()
    scene.store.cursors[C, BOB] = 10
    scene.receipts.note_sent(C, BOB, 10, NOTHING)
    await passed(2)
    scene.read("bob", 5)
    await passed(2)
    assert scene.published() == [(f"conversation:{C}", "bob", 10)]


@in_virtual_time
async def test_own_message_after_what_was_read_at_another_instance_is_read() -> None:
    """This instance does not know it, and asks the store."""
    scene = Scene()
    scene.store.cursors[C, BOB] = 9
    scene.receipts.note_sent(C, BOB, 10, NOTHING)
    await passed(2)
    assert scene.store.cursors == {(C, "bob"): 10}
    assert scene.published() == []


@in_virtual_time
async def test_advance_whose_write_lost_its_answer_is_told() -> None:
    """The cursor moved; no client waits for it that would ask again."""
    scene = Scene()
    scene.store.fail("advance_cursors", *[StoreTimeout("the answer is lost")] * 3, after=True)
    scene.receipts.note_sent(C, BOB, 10, Seen(upto=9))
    scene.read("alice", 3)
    await passed(5)
    assert scene.answers == [("alice", "store_unavailable")]
    assert sorted(scene.published()) == [(f"conversation:{C}", "alice", 3), (f"conversation:{C}", "bob", 10)]
    scene.store.fail("advance_cursors", *[StoreTimeout("away")] * 1000)
    scene.read("alice", 4)
    await passed(120)
    assert scene.receipts._lanes == {}, "it is given up after a minute"


@in_virtual_time
async def test_cursors_that_the_store_refused_for_good_are_not_written_again() -> None:
    """Others of the conversation would be refused with them, twice a second for a minute."""
    scene = Scene()
    scene.store.fail("advance_cursors", StoreRejected("it does not take that"))
    scene.read("bob", 8)
    scene.receipts.note_sent(C, BOB, 10, Seen(upto=9))
    await passed(5)
    assert (scene.store.calls["advance_cursors"], scene.answers) == (1, [("bob", "store_unavailable")])
    scene.read("bob", 8)
    await passed(2)
    assert scene.answers[1:] == [("bob", 8)]


@in_virtual_time
async def test_two_own_messages_whose_cursor_was_not_written_at_once_are_both_read_later() -> None:
    """Without the first the second one would lie behind an unread message, which is the user's own."""
    scene = Scene()
    scene.read("bob", 8)
    await passed(2)
    scene.store.fail("advance_cursors", StoreTimeout("away"))
    for seq in (9, 10):
        scene.receipts.note_sent(C, BOB, seq, Seen(upto=8))
    await passed(5)
    assert scene.store.cursors == {(C, "bob"): 10}


@in_virtual_time
async def test_of_several_reads_that_were_not_written_the_highest_is_written_later() -> None:
    """Each read has its answer already. The other members still have to be told."""
    scene = Scene()
    scene.store.fail("advance_cursors", StoreTimeout("away"))
    for seq in (7, 9, 8):
        scene.read("bob", seq)
    await passed(5)
    assert scene.answers == [("bob", "store_unavailable")] * 3
    assert scene.published() == [(f"conversation:{C}", "bob", 9)]
    assert scene.store.read_by == {9: ["bob"]}


@in_virtual_time
async def test_advance_whose_write_lost_its_answer_is_told_with_a_later_message() -> None:
    """The later one lies behind unread messages, so the store is asked, and says that the cursor has moved already."""
    scene = Scene()
    scene.store.fail("advance_cursors", StoreTimeout("the answer is lost"), after=True)
    scene.receipts.note_sent(C, BOB, 7, Seen(upto=6))
    await settled()
    scene.receipts.note_sent(C, BOB, 9, Seen(upto=7))
    await passed(5)
    assert scene.store.cursors == {(C, "bob"): 7}
    assert scene.published() == [(f"conversation:{C}", "bob", 7)]


@in_virtual_time
async def test_read_whose_answer_came_too_late_is_told_all_the_same() -> None:
    """Its client was answered with an error; the cursor moves, so the others hear of it."""
    scene = Scene()
    writing = scene.store.hold("advance_cursors")
    scene.read("alice", 3)
    await passed(DEADLINE_SECONDS + 0.1)
    scene.receipts.expire()
    writing.set()
    await passed(2)
    assert scene.answers == [("alice", "store_unavailable")]
    assert scene.published() == [(f"conversation:{C}", "alice", 3)]


@in_virtual_time
async def test_in_a_large_conversation_only_the_reader_hears_of_it() -> None:
    """A thousand members times a thousand reads is a storm."""
    scene = Scene(*(f"user-{number}" for number in range(120)))
    scene.read("alice", 3)
    await passed(2)
    assert scene.published() == [("user:alice", "alice", 3)]


@pytest.fixture
def two_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance knows the positions of two users at most."""
    monkeypatch.setattr(reading, "_MAX_KNOWN", 2)


@pytest.mark.usefixtures("two_positions")
@in_virtual_time
async def test_read_is_told_although_receipts_of_conversations_that_are_not_local_come_meanwhile() -> None:
    """A bulletin names thousands of them. They make no position, and so none that an instance works with has to go."""
    scene = Scene()
    writing = scene.store.hold("advance_cursors")
    scene.read("alice", 3)
    await settled()
    for number in range(3):
        scene.fan_out.learn(ConversationId(f"elsewhere-{number}"), ALICE, 5)
    writing.set()
    await passed(2)
    assert scene.published() == [(f"conversation:{C}", "alice", 3)]


@pytest.mark.usefixtures("two_positions")
@in_virtual_time
async def test_read_is_told_although_its_position_had_to_go_meanwhile() -> None:
    """Many others are read for at the same time: what is to be told is not known by the position alone."""
    scene = Scene()
    writing = scene.store.hold("advance_cursors")
    scene.read("alice", 3)
    await settled()
    for user_id in ("bob", "carl", "dora"):
        scene.fan_out.positions.of(C, UserId(user_id))
    writing.set()
    await passed(2)
    assert scene.answers == [("alice", 3)]
    assert scene.published() == [(f"conversation:{C}", "alice", 3)]
