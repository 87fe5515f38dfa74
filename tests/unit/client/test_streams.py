"""The client's rule: once, in order, without a hole, whatever arrives."""

from hypothesis import given
from hypothesis import strategies as st

from holdfast.client.streams import Streams
from holdfast.protocol.frames import ConversationNotice
from support.server_frames import message, notice, synced


def offer(streams: Streams, seq: int) -> bool:
    return streams.offer(message(seq), has_room=True)


def test_each_message_is_shown_once_and_in_order() -> None:
    streams = Streams({"c": 2})
    assert [seq for seq in (1, 2, 3, 3, 4, 2) if offer(streams, seq)] == [3, 4]
    assert streams.cursors == {"c": 4}


def test_a_hole_is_wanted_and_closes_when_it_is_filled() -> None:
    """Later messages are not shown before it, and will be fetched with it: they need not be kept."""
    streams = Streams({"c": 2})
    assert not offer(streams, 5)
    assert streams.wanted == {"c": 5}
    assert [offer(streams, seq) for seq in (3, 4, 5)] == [True, True, True]
    assert not streams.wanted


def test_what_finds_no_room_is_wanted_again() -> None:
    streams = Streams({"c": 2})
    assert not streams.offer(message(3), has_room=False)
    assert (streams.cursors, streams.wanted) == ({"c": 2}, {"c": 3})


def test_who_starts_with_what_is_new_starts_at_the_heads() -> None:
    streams = Streams(None)
    streams.synced(synced(c=7), streams.greet())
    assert streams.cursors == {"c": 7}
    assert offer(streams, 8)


def test_a_conversation_of_which_nothing_could_be_replayed_is_fetched_from_its_beginning() -> None:
    """The replay's budget was used up by others: its head must not become its cursor."""
    streams = Streams({})
    streams.truncated("c", 1, 40)
    streams.synced(synced(c=40), streams.greet())
    assert (streams.cursors, streams.wanted) == ({"c": 0}, {"c": 40})


def test_a_store_that_was_restored_takes_the_cursor_back() -> None:
    streams = Streams({"c": 9})
    streams.truncated("c", 10, 12)
    streams.reset("c", 5)
    assert not streams.wanted
    assert offer(streams, 6)


def test_what_is_not_listed_is_not_ours_any_more() -> None:
    streams = Streams({"c": 9, "gone": 3})
    streams.truncated("gone", 4, 5)
    streams.synced(synced(c=9), streams.greet())
    assert (streams.cursors, streams.wanted) == ({"c": 9}, {})


def test_being_removed_ends_a_conversation_for_that_user_only() -> None:
    streams = Streams({"c": 9})
    for user_id, left in (("ben", {"c": 9}), ("ann", {})):
        notice = ConversationNotice(conversation_id="c", event="member_removed", user_id=user_id, by="ann", revision=3)
        streams.changed(notice, "ann")
        assert streams.cursors == left


@given(st.lists(st.integers(1, 12), max_size=80), st.integers(0, 5))
def test_whatever_arrives_what_is_shown_has_no_hole_and_no_repetition(arrivals: list[int], start: int) -> None:
    streams = Streams({"c": start})
    shown = [seq for seq in arrivals if offer(streams, seq)]
    assert shown == list(range(start + 1, start + 1 + len(shown)))
    assert streams.wanted.get("c", 0) in (0, max(arrivals, default=0))


def begins(revision: int, last_seq: int, event: str = "created") -> ConversationNotice:
    return notice("c", event, revision, last_seq)


def test_a_conversation_that_began_after_a_hello_is_kept_when_its_answer_does_not_list_it() -> None:
    """In a hand-over the old connection tells of it first: given up, it would be shown again from the new one's notice."""
    streams = Streams({})
    streams.synced(synced(), streams.greet())
    second = streams.greet()
    streams.changed(begins(1, 0), "ann")
    assert [seq for seq in (1, 2) if offer(streams, seq)] == [1, 2]
    streams.synced(synced(), second)
    streams.changed(begins(1, 0), "ann")
    assert [seq for seq in (1, 2, 3) if offer(streams, seq)] == [3]


def test_a_conversation_that_began_before_a_hello_is_given_up_when_its_answer_does_not_list_it() -> None:
    streams = Streams({})
    streams.synced(synced(), streams.greet())
    streams.changed(begins(1, 0), "ann")
    streams.synced(synced(), streams.greet())
    assert streams.cursors == {}


def test_a_membership_that_begins_anew_starts_at_its_position() -> None:
    """Messages between the two are history; late frames of the second connection change nothing."""
    streams = Streams({"c": 5})
    removal = notice("c", "member_removed", 2)
    for told in (removal, begins(3, 9, "member_added"), removal, begins(3, 9, "member_added")):
        streams.changed(told, "ann")
    assert streams.cursors == {"c": 9}
    assert offer(streams, 10)


def test_after_a_removal_a_late_message_begins_nothing() -> None:
    streams = Streams({"c": 5})
    streams.changed(notice("c", "member_removed", 2), "ann")
    streams.synced(synced(c=6), 1)
    assert (offer(streams, 6), streams.cursors, streams.wanted) == (False, {}, {})


def test_a_conversation_without_a_cursor_begins_with_its_first_message() -> None:
    """It is replayed from the position at which the membership begins: what lies before is history and not a hole."""
    streams = Streams({})
    assert offer(streams, 10)
    assert (streams.cursors, streams.wanted) == ({"c": 10}, {})


def test_a_cursor_that_was_not_said_and_lies_beyond_the_head_is_compared_with_the_store() -> None:
    streams = Streams({"c": 9, "d": 4})
    streams.synced(synced(c=7, d=4), streams.greet(), ("c", "d"))
    assert streams.wanted == {"c": 10}
