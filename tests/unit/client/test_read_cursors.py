"""How far others have read goes forward only, whichever connection tells of it."""

from holdfast.client.read_cursors import MAX_KNOWN, ReadCursors
from holdfast.protocol.frames import Receipt


def receipt(seq: int, user_id: str = "bob", conversation_id: str = "c") -> Receipt:
    return Receipt(
        conversation_id=conversation_id,
        user_id=user_id,
        message_id=f"{seq:012d}",
        seq=seq,
        read_at="2026-01-31T12:00:00.000Z",
    )


def test_what_a_second_connection_held_back_is_no_news() -> None:
    cursors = ReadCursors()
    assert [cursors.moved(receipt(seq)) for seq in (2, 3, 2, 3, 4)] == [True, True, False, False, True]
    assert cursors.moved(receipt(1, user_id="carol"))


def test_after_a_reset_everything_is_news() -> None:
    cursors = ReadCursors()
    cursors.moved(receipt(9))
    cursors.moved(receipt(9, conversation_id="d"))
    cursors.forget("c")
    assert (cursors.moved(receipt(1)), cursors.moved(receipt(1, conversation_id="d"))) == (True, False)


def test_no_more_are_remembered_than_fit() -> None:
    cursors = ReadCursors()
    for number in range(MAX_KNOWN + 1):
        cursors.moved(receipt(5, user_id=f"user-{number}"))
    assert cursors.moved(receipt(5, user_id="user-0"))
    assert not cursors.moved(receipt(5, user_id=f"user-{MAX_KNOWN}"))
