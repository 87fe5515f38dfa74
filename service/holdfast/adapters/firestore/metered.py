"""The documents that each call reads and writes, counted in the requests and answers themselves: what Firestore bills.

One read for each document of an answer, those that do not exist included; at least one for a query. One read for each 1,000
index entries of a count, at least one. One write for each document of an answered commit, deleted or left as it was. A commit
that is refused writes nothing, one whose answer is lost is not counted although it may be billed. A `verify` is neither: see
`creates`. Documents received before a call failed are counted.
"""

import math
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from google.cloud.firestore_v1.async_client import AsyncClient
from google.cloud.firestore_v1.types import firestore

from holdfast.ports import DependencyWatch

_ENTRIES_A_READ: Final = 1_000

_BatchGetResponse: Final = firestore.BatchGetDocumentsResponse
_QueryResponse: Final = firestore.RunQueryResponse
_AggregationResponse: Final = firestore.RunAggregationQueryResponse
_CommitRequest: Final = firestore.CommitRequest


class MeteredClient(AsyncClient):
    """The library's client, made with the library's options; its calls are counted on `watch`."""

    def __init__(self, watch: DependencyWatch, **options: Any) -> None:
        super().__init__(**options)
        self._watch = watch
        self._metered: _MeteredApi | None = None

    @property
    def _firestore_api(self) -> "_MeteredApi":
        """What all calls of the library go through; a private place, see `client.connect`."""
        if self._metered is None:
            self._metered = _MeteredApi(super()._firestore_api, self._watch)
        return self._metered


class _MeteredApi:
    """The four calls that this adapter makes; all else is passed on."""

    def __init__(self, api: Any, watch: DependencyWatch) -> None:
        self._api = api
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)

    async def commit(self, *, request: Any, **options: Any) -> Any:
        answer = await self._api.commit(request=request, **options)
        self._watch.documents(written=_written(request))
        return answer

    async def batch_get_documents(self, **options: Any) -> AsyncIterator[Any]:
        return _Answers(await self._api.batch_get_documents(**options), _gotten, self._watch, at_least=0)

    async def run_query(self, **options: Any) -> AsyncIterator[Any]:
        return _Answers(await self._api.run_query(**options), _found, self._watch, at_least=1)

    async def run_aggregation_query(self, **options: Any) -> AsyncIterator[Any]:
        return _Answers(await self._api.run_aggregation_query(**options), _counted, self._watch, at_least=1)


class _Answers:
    """A stream of answers, counted as they come; no generator, because the library leaves streams before their end."""

    def __init__(self, stream: Any, reads_of: Callable[[Any], int], watch: DependencyWatch, *, at_least: int) -> None:
        self._answers = aiter(stream)
        self._reads_of = reads_of
        self._watch = watch
        self._at_least = at_least

    def __aiter__(self) -> "_Answers":
        return self

    async def __anext__(self) -> Any:
        try:
            answer = await anext(self._answers)
        except StopAsyncIteration:
            if self._at_least:
                self._note(self._at_least)
            raise
        if reads := self._reads_of(answer):
            self._note(reads)
        return answer

    def _note(self, reads: int) -> None:
        self._at_least = 0
        self._watch.documents(read=reads)


def _written(request: Any) -> int:
    """The library's requests are dictionaries; `creates` makes its own, which may hold a `verify`, unknown to Python's types."""
    if isinstance(request, dict):
        return len(request["writes"])
    return sum(write.WhichOneof("operation") is not None for write in _CommitRequest.pb(request).writes)


def _gotten(answer: Any) -> int:
    return int(_BatchGetResponse.pb(answer).WhichOneof("result") is not None)


def _found(answer: Any) -> int:
    return int(_QueryResponse.pb(answer).HasField("document"))


def _counted(answer: Any) -> int:
    values = _AggregationResponse.pb(answer).result.aggregate_fields.values()
    return max((max(1, math.ceil(each.integer_value / _ENTRIES_A_READ)) for each in values), default=0)
