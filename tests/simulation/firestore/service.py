"""Firestore's calls on what is stored: one request in, its answers out. No I/O, no faults, no time but the clock's."""

from collections.abc import Callable
from typing import Any, Final

from google.cloud.firestore_v1.types import firestore

from simulation.firestore import queries
from simulation.firestore.commits import Commit
from simulation.firestore.documents import Documents, check_document_name
from simulation.firestore.refusals import Refused, Status, unimplemented

_BatchGetResponse: Final = firestore.BatchGetDocumentsResponse.pb()
_QueryResponse: Final = firestore.RunQueryResponse.pb()
_REQUESTS: Final = {
    "Commit": firestore.CommitRequest.pb(),
    "BatchGetDocuments": firestore.BatchGetDocumentsRequest.pb(),
    "RunQuery": firestore.RunQueryRequest.pb(),
    "RunAggregationQuery": firestore.RunAggregationQueryRequest.pb(),
    "GetDocument": firestore.GetDocumentRequest.pb(),
}


class Service:
    """All projects and databases. `clock` tells seconds since 1970; the service's own time never goes back, nor stands still."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Nothing is stored yet."""
        self.stored = Documents()
        self._clock = clock
        self._micros = 0
        self._calls: dict[str, Callable[[Any], list[Any]]] = {
            "Commit": self._commit,
            "BatchGetDocuments": self._batch_get,
            "RunQuery": self._query,
            "RunAggregationQuery": self._count,
            "GetDocument": self._get,
        }

    def call(self, method: str, request: bytes) -> list[bytes]:
        """The answers, one for a call that is no stream.

        Raises:
            Refused: nothing was changed.
        """
        if method not in self._calls:
            raise unimplemented(method)
        return [answer.SerializeToString() for answer in self._calls[method](_REQUESTS[method].FromString(request))]

    def _now(self) -> int:
        """Microseconds since 1970, later than at any call before."""
        self._micros = max(self._micros + 1, int(self._clock() * 1_000_000))
        return self._micros

    def _commit(self, request: Any) -> list[Any]:
        return [Commit(self.stored, request, self._now()).run()]

    def _batch_get(self, request: Any) -> list[Any]:
        _refuse_transactions(request)
        now, answers = self._now(), []
        for name in dict.fromkeys(request.documents):
            check_document_name(name, request.database)
            answer = _BatchGetResponse()
            answer.read_time.FromMicroseconds(now)
            found = self.stored.get(name)
            if found is None:
                answer.missing = name
            else:
                answer.found.CopyFrom(_masked(found, request))
            answers.append(answer)
        return answers

    def _query(self, request: Any) -> list[Any]:
        _refuse_transactions(request)
        now = self._now()
        found = queries.run(self.stored, request.parent, request.structured_query)
        answers = [_QueryResponse(document=each) for each in found] or [_QueryResponse()]
        for answer in answers:
            answer.read_time.FromMicroseconds(now)
        return answers

    def _count(self, request: Any) -> list[Any]:
        _refuse_transactions(request)
        now = self._now()
        answer = queries.count(self.stored, request.parent, request.structured_aggregation_query)
        answer.read_time.FromMicroseconds(now)
        return [answer]

    def _get(self, request: Any) -> list[Any]:
        found = self.stored.get(request.name)
        if found is None:
            raise Refused(Status.NOT_FOUND, f'Document "{request.name}" not found.')
        return [_masked(found, request)]


def _masked(found: Any, request: Any) -> Any:
    """The document, with the fields of the request's mask only, where it has one."""
    return queries.projected(found, request.mask) if request.HasField("mask") else found


def _refuse_transactions(request: Any) -> None:
    if request.transaction or request.HasField("new_transaction") or request.HasField("read_time"):
        raise unimplemented("transactions and reads of the past")
