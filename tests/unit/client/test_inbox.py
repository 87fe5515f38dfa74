"""What the application takes, and where it is: a cursor is never ahead of what was taken, and memory has its bound."""

import pytest

from holdfast.client.inbox import MAX_UNREAD, Inbox
from holdfast.protocol.frames import ConversationNotice
from support.server_frames import message, synced


def removed(user_id: str) -> ConversationNotice:
    return ConversationNotice(conversation_id="c", event="member_removed", user_id=user_id, by="ann", revision=2)


def offer(inbox: Inbox, *seqs: int) -> None:
    for seq in seqs:
        inbox.offer(message(seq))


def take_all(inbox: Inbox) -> list[int]:
    return [inbox.take().seq for _ in range(len(inbox))]


def test_cursors_tell_what_was_taken_not_what_came() -> None:
    """An application that stops now and starts again with them must get the rest."""
    inbox = Inbox({"c": 2})
    offer(inbox, 3, 4, 5)
    assert inbox.cursors == {"c": 2}
    assert inbox.take().seq == 3
    assert inbox.cursors == {"c": 3}
    assert inbox.streams.cursors == {"c": 5}


def test_a_conversation_of_which_nothing_was_taken_begins_where_its_stream_does() -> None:
    """Without that cursor the next client would have its whole history replayed."""
    inbox = Inbox(None)
    inbox.synced(synced(c=7, d=0), inbox.streams.greet())
    assert inbox.cursors == {"c": 7, "d": 0}


def test_what_is_replayed_before_synced_counts_from_before_it() -> None:
    inbox = Inbox({})
    offer(inbox, 1, 2)
    inbox.synced(synced(c=2), inbox.streams.greet())
    assert inbox.cursors == {"c": 0}
    assert take_all(inbox) == [1, 2]
    assert inbox.cursors == {"c": 2}


def test_no_more_is_kept_than_the_bound_and_the_rest_is_wanted_again() -> None:
    inbox = Inbox({"c": 0})
    offer(inbox, *range(1, MAX_UNREAD + 51))
    assert len(inbox) == MAX_UNREAD
    assert inbox.streams.wanted == {"c": MAX_UNREAD + 50}
    assert not inbox.has_room()
    inbox.take()
    assert inbox.has_room()
    assert not inbox.has_room(2)
    offer(inbox, MAX_UNREAD + 1)
    assert take_all(inbox) == list(range(2, MAX_UNREAD + 2))


def test_a_conversation_that_is_not_ours_any_more_has_no_cursor() -> None:
    """Messages from before the removal may still be taken; they do not bring the cursor back."""
    inbox = Inbox({"c": 2, "d": 1})
    offer(inbox, 3)
    inbox.changed(removed("ann"), "ann")
    assert inbox.cursors == {"d": 1}
    assert take_all(inbox) == [3]
    assert inbox.cursors == {"d": 1}


@pytest.mark.parametrize(("taken", "left", "cursor"), [(0, [6, 7], 5), (2, [], 7), (3, [], 7)])
def test_after_a_restored_store_what_is_lost_is_not_shown(taken: int, left: list[int], cursor: int) -> None:
    """8 does not exist any more; the next 8 is another message and must be shown."""
    inbox = Inbox({"c": 5})
    offer(inbox, 6, 7, 8)
    for _ in range(taken):
        inbox.take()
    inbox.reset("c", 7)
    assert inbox.cursors == {"c": cursor}
    assert take_all(inbox) == left
    offer(inbox, 8)
    assert take_all(inbox) == [8]


def test_reset_beyond_the_end_keeps_what_the_store_still_has() -> None:
    """30 of 50 messages were restored, 28 to 33 are not taken yet."""
    inbox = Inbox({"c": 27})
    offer(inbox, *range(28, 34))
    inbox.reset("c", 30)
    assert take_all(inbox) == [28, 29, 30]
    assert inbox.cursors == {"c": 30}


def test_reset_within_the_store_drops_what_is_not_taken() -> None:
    """The restored store has grown past it: nothing tells which of these messages are still the same."""
    inbox = Inbox({"c": 27})
    offer(inbox, *range(28, 34))
    inbox.reset("c", 55)
    assert take_all(inbox) == []
    assert inbox.cursors == {"c": 55}
