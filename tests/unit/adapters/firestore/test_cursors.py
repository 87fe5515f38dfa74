"""Many read cursors in one call: commits of a size that Firestore takes, and what becomes of messages that are gone."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from google.api_core.exceptions import InvalidArgument, NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud.firestore_v1.async_client import AsyncClient
from google.cloud.firestore_v1.types import BatchGetDocumentsResponse

from holdfast.adapters.firestore import messages
from holdfast.domain.ids import ConversationId, Seq, UserId, message_id
from holdfast.errors import StoreUnavailable

C = ConversationId("c1")
_MOST_WRITES = 500


class _Api:
    """Firestore's own interface: refuses a commit of more than 500 writes, or with an update of a message beyond `tail`."""

    def __init__(self, tail: Seq) -> None:
        self.tail = tail
        self.refused = ""
        self.commits: list[list[str]] = []
        self.cursors: dict[str, int] = {}
        self.read_by: dict[str, list[str]] = {}

    async def commit(self, *, request: Mapping[str, Any], **_: Any) -> object:
        writes = request["writes"]
        names = [write.update.name.split("/documents/")[1] for write in writes]
        if len(writes) > _MOST_WRITES:
            raise InvalidArgument("maximum 500 writes allowed per request")
        if self.refused and any(name.endswith(f"/{self.refused}") for name in names):
            raise InvalidArgument("no such value")
        if any("/messages/" in name and int(name.rpartition("/")[2]) > self.tail for name in names):
            raise NotFound("No document to update")
        self.commits.append(names)
        return SimpleNamespace(write_results=[self._apply(*each) for each in zip(names, writes, strict=True)], commit_time=None)

    def _apply(self, name: str, write: Any) -> object:
        (transform,) = write.update_transforms
        if "/messages/" in name:
            self.read_by[name] = [each.string_value for each in transform.append_missing_elements.values]
            return SimpleNamespace(transform_results=[])
        value = self.cursors[name] = max(self.cursors.get(name, 0), transform.maximum.integer_value)
        return SimpleNamespace(transform_results=[SimpleNamespace(integer_value=value)])

    async def batch_get_documents(self, *, request: Mapping[str, Any], **_: Any) -> object:
        async def answers() -> Any:
            for name in request["documents"]:
                is_there = int(name.rpartition("/")[2]) <= self.tail
                yield BatchGetDocumentsResponse({"found": {"name": name}} if is_there else {"missing": name})

        return answers()


class _Client(AsyncClient):
    """The library's client over that interface."""

    def __init__(self, api: _Api) -> None:
        super().__init__(project="p", credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]  # untyped library
        self._api = api

    @property
    def _firestore_api(self) -> Any:
        return self._api


def _advance(api: _Api, cursors: Mapping[UserId, Seq], read_by: Mapping[Seq, Sequence[UserId]]) -> dict[UserId, Seq]:
    calls: Any = SimpleNamespace(client=_Client(api), unretried={"retry": None, "timeout": 1.0})
    return asyncio.run(messages.advance_cursors(calls, C, cursors, read_by))


def _users(number: int) -> Iterator[UserId]:
    return (UserId(f"u{each}") for each in range(number))


@pytest.mark.parametrize(("users", "read"), [(1_000, 0), (100, 900), (1, 1)])
def test_more_cursors_and_messages_than_a_commit_takes_are_written_in_several(users: int, read: int) -> None:
    """A thousand members read within half a second, or a hundred name each message that they read."""
    api = _Api(tail=read + 1)
    cursors = dict.fromkeys(_users(users), read + 1)
    read_by = {seq: [UserId("u0")] for seq in range(1, read + 1)}
    assert _advance(api, cursors, read_by) == cursors
    assert api.cursors == {f"conversations/{C}/cursors/{user_id}": read + 1 for user_id in cursors}
    assert set(api.read_by) == {f"conversations/{C}/messages/{message_id(seq)}" for seq in read_by}
    assert len(api.commits) == -(-(users + read) // 200)


def test_cursor_of_a_message_that_is_gone_is_not_written_by_the_first_of_several_commits() -> None:
    """The store was restored. The update of `readBy` shows that, and may be in another commit than the cursor."""
    api = _Api(tail=5)
    cursors = {UserId("late"): 7} | dict.fromkeys(_users(600), 5)
    assert UserId("late") not in _advance(api, cursors, {5: list(_users(600)), 7: [UserId("late")]})
    assert set(api.cursors.values()) == {5}


def test_refusal_of_a_later_commit_is_no_refusal_of_all() -> None:
    """Those that are written have to be told: the caller writes all of them again."""
    api = _Api(tail=5)
    api.refused = "u250"
    with pytest.raises(StoreUnavailable):
        _advance(api, dict.fromkeys(_users(300), 5), {})
    assert len(api.cursors) == 200
    api.refused = "u0"
    with pytest.raises(InvalidArgument):
        _advance(api, dict.fromkeys(_users(300), 5), {})
