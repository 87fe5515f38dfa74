"""The window: which changes are told, in which version, and for how long."""

from typing import Any

from holdfast.domain.ids import ConversationId, UserId
from holdfast.node.cluster.window import MAX_ENTRIES, WINDOW_SECONDS, Window

C, D = ConversationId("c1"), ConversationId("c2")
ANN, BOB = UserId("ann"), UserId("bob")
NOTHING = {"heads": {}, "members": {}, "users": (), "receipts": {}, "overflow": False}


def contents(window: Window, now: float) -> dict[str, Any]:
    """As the bulletin takes them."""
    return dict(window.contents(now))


def test_change_of_each_kind_is_told() -> None:
    """Each of these fields is what an instance of an older version reads as well."""
    window = Window()
    window.note_head(C, 6, now=1.0)
    window.note_members(D, 3, (BOB, ANN), now=1.0)
    window.note_receipt(C, BOB, 5, now=1.0)
    assert contents(window, now=1.0) == {
        "heads": {C: 6},
        "members": {D: 3},
        "users": (BOB, ANN),
        "receipts": {"c1|bob": 5},
        "overflow": False,
    }


def test_older_change_that_is_noted_late_lowers_nothing() -> None:
    """A repeated send is noted with the seq that it had: an instance that missed the newest must still learn of it."""
    window = Window()
    for version in (6, 5):
        window.note_head(C, version, now=1.0)
        window.note_members(C, version, (), now=1.0)
        window.note_receipt(C, BOB, version, now=1.0)
    assert contents(window, now=1.0) == NOTHING | {"heads": {C: 6}, "members": {C: 6}, "receipts": {"c1|bob": 6}}


def test_change_is_told_for_a_minute_after_it_was_last_noted() -> None:
    """Readers look every 15 s at the latest; a minute gives four looks a chance."""
    window = Window()
    window.note_head(C, 1, now=0.0)
    window.note_head(D, 1, now=10.0)
    window.note_head(C, 1, now=20.0)
    assert contents(window, now=10.0 + WINDOW_SECONDS)["heads"] == {C: 1, D: 1}
    assert contents(window, now=11.0 + WINDOW_SECONDS)["heads"] == {C: 1}
    assert contents(window, now=21.0 + WINDOW_SECONDS) == NOTHING


def test_more_changes_than_fit_are_told_as_overflow_for_a_minute() -> None:
    """A document has a size; beyond it readers compare with the store."""
    window = Window()
    for number in range(MAX_ENTRIES):
        window.note_head(ConversationId(f"c{number}"), 1, now=0.0)
    assert contents(window, now=0.0)["overflow"] is False
    window.note_head(ConversationId("one-more"), 1, now=30.0)
    told = contents(window, now=30.0)
    assert (len(told["heads"]), told["overflow"]) == (MAX_ENTRIES, True)
    assert "c0" not in told["heads"], "the oldest is the one that is left out"
    assert contents(window, now=29.0 + WINDOW_SECONDS)["overflow"] is True
    assert contents(window, now=31.0 + WINDOW_SECONDS) == NOTHING


def test_more_receipts_than_fit_are_no_overflow() -> None:
    """A comparison with the store looks for messages: it would find none of them."""
    window = Window()
    for number in range(MAX_ENTRIES + 1):
        window.note_receipt(C, UserId(f"u{number}"), 1, now=0.0)
    told = contents(window, now=0.0)
    assert (len(told["receipts"]), told["overflow"]) == (MAX_ENTRIES, False)
    assert "c1|u0" not in told["receipts"]


def _long(prefix: str, number: int) -> str:
    """An id of the greatest length."""
    return f"{prefix}{number:0>127}"


def _full_of_long_ids() -> Window:
    window = Window()
    for number in range(MAX_ENTRIES):
        c, user = ConversationId(_long("c", number)), UserId(_long("u", number))
        window.note_members(c, 1, (user,), now=0.0)
        window.note_head(c, 1, now=0.0)
        window.note_receipt(c, user, 1, now=0.0)
    return window


def _bytes(told: dict[str, Any]) -> int:
    """As Firestore counts them: of a field its name and 1, of a number 8, of a text in a list its length and 1."""
    maps = sum(len(key) + 9 for kind in ("heads", "members", "receipts") for key in told[kind])
    return maps + sum(len(user_id) + 1 for user_id in told["users"])


def test_window_of_long_ids_leaves_room_for_the_rest_of_the_document() -> None:
    """Firestore refuses a document of more than 1 MiB: without its bulletin an instance is declared dead."""
    window = _full_of_long_ids()
    told = dict(window.contents(0.0, room_bytes=700_000))
    assert _bytes(told) <= 700_000
    assert told["overflow"] is True
    assert len(told["members"]) == MAX_ENTRIES, "a comparison would not find them: they come first"
    assert _bytes(dict(window.contents(0.0, room_bytes=100_000))) <= 100_000
    assert _bytes(dict(window.contents(0.0))) <= 950_000


def test_receipts_make_room_for_what_others_have_to_compare() -> None:
    """They come last, the latest of them; nothing has to be compared for those that are left out."""
    window = Window()
    for number in range(MAX_ENTRIES):
        window.note_head(ConversationId(_long("c", number)), 1, now=0.0)
        window.note_receipt(C, UserId(_long("u", number)), 1, now=0.0)
    told = window.contents(0.0, room_bytes=700_000)
    assert (len(told["heads"]), told["overflow"]) == (MAX_ENTRIES, False)
    assert set(told["receipts"]) == {
        f"c1|{_long('u', number)}" for number in range(MAX_ENTRIES - len(told["receipts"]), MAX_ENTRIES)
    }
    assert 0 < len(told["receipts"]) < MAX_ENTRIES


def test_heads_that_did_not_fit_are_told_once_there_is_room() -> None:
    """The users within their grace take it, and come or go soon."""
    window = Window()
    for number in range(10):
        window.note_head(ConversationId(_long("c", number)), 1, now=0.0)
    told = window.contents(0.0, room_bytes=1_000)
    assert (list(told["heads"]), told["overflow"]) == ([_long("c", number) for number in range(3, 10)], True)
    told = window.contents(1.0)
    assert (len(told["heads"]), told["overflow"]) == (10, False)


def test_each_noted_change_is_counted() -> None:
    """An instance without Redis writes its bulletin early if there is more to tell, also of what was told before."""
    window = Window()
    counts = [window.changes]
    for _ in range(2):
        window.note_head(C, 1, now=0.0)
        counts.append(window.changes)
        window.note_members(C, 1, (ANN, BOB), now=0.0)
        counts.append(window.changes)
        window.note_receipt(C, ANN, 1, now=0.0)
        counts.append(window.changes)
    assert len(set(counts)) == len(counts)
