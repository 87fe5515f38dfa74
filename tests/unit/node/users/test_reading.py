"""How far a user has read, by reads and by messages of their own."""

import pytest

from holdfast.domain.ids import ConversationId
from holdfast.node.connections.connection import Connection
from holdfast.node.connections.local import LocalConversation
from holdfast.node.users.reading import NOTHING, Position, Seen, Sent, advance, shown_live
from support.fakes import FakeTransport, connection

C = ConversationId("c")


def local_at(head: int) -> LocalConversation:
    """A stream that was shown up to `head`."""
    local = LocalConversation(C, 0.0)
    local.sequencer.start(head, 0.0)
    return local


@pytest.mark.parametrize(
    ("cursor", "seq", "seen", "expected", "to_tell"),
    [
        (4, 6, Seen(0, 5), 6, 6),  # message 5 was shown: read by answering it
        (5, 6, Seen(0, 5), 6, 0),  # all was read before: nothing to tell
        (4, 8, Seen(0, 5), 5, 5),  # 6 and 7 arrived while the answer was on its way
        (4, 6, NOTHING, 4, 0),  # a message that says nothing
        (5, 6, NOTHING, 6, 0),  # own messages need no reading
        (2, 6, Seen(3, 5), 2, 0),  # message 3 came by replay, and is not read
        (3, 6, Seen(3, 5), 6, 6),
        (4, 6, Seen(0, 900), 6, 6),  # a client's word is not believed beyond its own message
        (9, 6, Seen(0, 5), 9, 0),  # never back
    ],
)
def test_own_message_moves_the_cursor_over_what_was_shown(cursor: int, seq: int, seen: Seen, expected: int, to_tell: int) -> None:
    """And no further: a receipt for a message that the user did not see cannot be taken back."""
    made = advance(Position(cursor=cursor, told=cursor), 0, [], [Sent(seq, seen)])
    assert (made.cursor, made.to_tell) == (expected, to_tell)


def test_messages_sent_in_one_go_are_told_once() -> None:
    """The first one was an answer; the others follow it."""
    made = advance(Position(cursor=4, told=4), 0, [], [Sent(seq, Seen(0, 5)) for seq in (7, 6, 8)])
    assert (made.cursor, made.to_tell, made.read) == (8, 6, [5])


def test_membership_that_begins_behind_a_history_begins_there() -> None:
    """The messages before the addition are neither read nor unread."""
    made = advance(Position(), 50, [], [Sent(51, NOTHING)])
    assert (made.cursor, made.to_tell) == (51, 0)


def test_reading_up_to_own_messages_reads_them_too() -> None:
    """Otherwise a user's own message would stay unread after everything before it was read."""
    position = Position(cursor=4, told=4)
    for seq in (7, 8):
        position.note_own(seq)
    assert advance(position, 0, [5], []).cursor == 5
    assert advance(position, 0, [6], []).cursor == 8


def test_read_below_the_own_message_is_to_be_told() -> None:
    """Whether it is news is decided by what was told."""
    made = advance(Position(cursor=6, told=0), 0, [5], [])
    assert (made.cursor, made.to_tell, made.read) == (6, 5, [5])


def test_replay_is_not_shown_live() -> None:
    """A client sends what it kept while it was offline right after its replay."""
    device, local = connection("bob"), local_at(5)
    assert shown_live(device, local) == NOTHING
    device.conversations = {C: 5}
    local.sequencer.start(7, 0.0)
    assert shown_live(device, local) == Seen(5, 7)
    assert shown_live(device, None) == NOTHING


def test_connection_that_is_being_replayed_to_was_shown_nothing() -> None:
    """A message that is held back has not left yet."""
    device = Connection(connection("bob").connection_id, connection("bob").grant, FakeTransport(), connected_at_ms=0)
    device.conversations = {C: 5}
    device.hold_back()
    assert shown_live(device, local_at(7)) == NOTHING


@pytest.mark.parametrize("again", [5, 6])
def test_own_message_that_is_sent_again_stays_in_the_run_of_own_messages(again: int) -> None:
    """A client repeats what was not acknowledged: reading up to the run still reads all of it."""
    position = Position(cursor=3, told=3)
    for seq in (5, 6, again):
        position.note_own(seq)
    assert advance(position, 0, [4], []).cursor == 6
