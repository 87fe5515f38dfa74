"""Marks in Redis and in the store: what any program may have written there is read as a mark, or as none."""

from typing import Any

import pytest

from holdfast.domain.ids import MAX_SEQ, ConversationId, Epoch, InstanceId, UserId
from holdfast.domain.marks import MAX_MESSAGES, Mark, StoredMark, change_mark, commit_mark, decoded, is_owner, mark_of
from holdfast.domain.stored import Stored
from holdfast.errors import Undecodable

ID = "one:0001~0011aaff"
C, ANN, OWNER = ConversationId("c1"), UserId("ann"), (InstanceId("one"), Epoch("0001"))


def test_mark_in_redis_says_what_was_attempted_and_by_which_run() -> None:
    """The instance that finds it needs nothing else: of a commit the first message, of a change the user it touches."""
    assert mark_of(commit_mark(C, "one|0001", 5, 17)) == Mark(C, OWNER, 17)
    assert mark_of(change_mark(ANN, "one|0001", 5, C, 3)) == Mark(C, OWNER, user_id=ANN, revision=3)


@pytest.mark.parametrize("entry", ["c1|one|0001|5", "c1|one|0001|5|notify"])
def test_mark_of_an_older_version_is_one_of_a_commit_whose_first_message_is_not_known(entry: str) -> None:
    """In a rolling upgrade an instance of that version may die: the new ones finish its commits."""
    assert mark_of(entry) == Mark(C, OWNER)


def test_mark_is_one_of_an_older_version_as_well() -> None:
    """Such an instance takes four to six parts for a mark: the first names the conversation, the next two the owner."""
    assert commit_mark(C, "one|0001", 5, 17).split("|") == ["c1", "one", "0001", "5", "17"]
    assert change_mark(ANN, "one|0001", 5, C, 3) == "user:ann|one|0001|5|c1|3"


@pytest.mark.parametrize(
    "entry", ["", "c1", "c1|one|0001", "a/b|one|0001|5", "c1|one|0001|5|1|2", "user:a/b|one|1|5|c1|3", "user:ann|one|1|5|c 1|3",
              "user:ann|o|1|5|c|x", "user:|o|1|5|c1|1", "user:ann|one|1|5"],
)  # fmt: skip
def test_entry_that_is_no_mark_says_nothing(entry: str) -> None:
    """It is removed like a mark without an owner."""
    assert mark_of(entry) is None


def test_mark_names_its_owner() -> None:
    """The owner is named as in presence; a name may contain dots, where a younger process took the first one."""
    mark = decoded("one.0001:0001~0011aaff", Stored({"c": "c1", "first": 3, "last": 4}))
    assert mark == StoredMark("one.0001:0001~0011aaff", mark.conversation_id, 3, 4)
    assert mark.owner == "one.0001:0001"
    assert is_owner(mark.owner)


def test_mark_of_a_version_to_come_is_no_garbage() -> None:
    """Instances of two versions run side by side: the older one must not remove what the newer one needs."""
    mark = decoded("one:0001~17", Stored({"c": "c1", "first": 3, "kind": "new"}))
    assert (mark.first, mark.last) == (3, 2 + MAX_MESSAGES)
    assert mark.owner == "one:0001"


@pytest.mark.parametrize(
    ("mark_id", "fields"),
    [
        ("one:0001", {"c": "c1", "first": 1, "last": 1}),
        ("../x~0011aaff", {"c": "c1", "first": 1, "last": 1}),
        (ID, None),
        (ID, {}),
        (ID, {"c": "a/b", "first": 1, "last": 1}),
        (ID, {"c": "c1", "first": 0, "last": 1}),
        (ID, {"c": "c1", "first": 2, "last": 1}),
        (ID, {"c": "c1", "first": "1", "last": 1}),
        (ID, {"c": "c1", "first": 1, "last": 1.5}),
        (ID, {"c": "c1", "first": 1, "last": MAX_MESSAGES + 1}),
        (ID, {"c": "c1", "first": MAX_SEQ + 1, "last": MAX_SEQ + 1}),
    ],
)
def test_what_is_no_mark_is_undecodable(mark_id: str, fields: Any) -> None:
    """A decoder raises nothing else; the sweep removes what it is told of."""
    with pytest.raises(Undecodable):
        decoded(mark_id, Stored(fields))


@pytest.mark.parametrize("text", ["", "a/b", "one:1~", "é", "x" * 401])
def test_marks_of_an_owner_with_an_impossible_name_are_not_asked_for(text: str) -> None:
    """An epoch in a forged bulletin must not become part of a path."""
    assert not is_owner(text)
