"""A commit: every write is judged, each after the one before it, then all of them are stored, or none."""

from typing import Any, Final

from google.cloud.firestore_v1.types import firestore, write
from google.protobuf.unknown_fields import UnknownFieldSet  # type: ignore[import-untyped]  # ships no types

from simulation.firestore import transforms, values
from simulation.firestore.documents import Document, Documents, check_document_name
from simulation.firestore.refusals import Refused, Status, invalid, unimplemented

CommitResponse: Final = firestore.CommitResponse.pb()
WriteResult: Final = write.WriteResult.pb()
_VERIFY_FIELD: Final = 5  # of `Write`: the name of a document that is judged and not written; unknown to Python's types
_MAX_DOCUMENT_BYTES: Final = 1_048_576
_MAX_REQUEST_BYTES: Final = 10 * 1_048_576


class Commit:
    """One commit on the way: what it would store lies here until all of its writes are judged."""

    def __init__(self, stored: Documents, request: Any, micros: int) -> None:
        """`micros`: its time, in microseconds since 1970, later than every one before it."""
        self._stored = stored
        self._request = request
        self._micros = micros
        self._after: dict[str, Any | None] = {}

    def run(self) -> Any:
        """Store all of it; the answer.

        Raises:
            Refused: one of its writes; nothing is stored.
        """
        if self._request.transaction:
            raise unimplemented("transactions")
        if self._request.ByteSize() > _MAX_REQUEST_BYTES:
            raise invalid("Request payload size exceeds the limit: 11534336 bytes.")
        answer = CommitResponse()
        answer.commit_time.FromMicroseconds(self._micros)
        for each in self._request.writes:
            answer.write_results.append(self._write(each))
        for name, after in self._after.items():
            if after is None:
                self._stored.drop(name)
            else:
                self._stored.put(after)
        return answer

    def _write(self, each: Any) -> Any:
        kind = each.WhichOneof("operation")
        if kind == "update":
            return self._update(each)
        if kind is None:
            return self._verify(each)
        if kind == "transform":
            raise unimplemented("transforms beside an update")
        self._judged(each.delete, each.current_document)
        self._after[each.delete] = None
        return WriteResult()

    def _verify(self, each: Any) -> Any:
        name = _verified(each)
        if each.current_document.WhichOneof("condition_type") is None:
            raise invalid("a verify must contain a precondition")
        if name in self._after:
            raise invalid("the same document cannot be written and then verified in a single request")
        before = self._judged(name, each.current_document)
        result = WriteResult()
        if before is None:
            result.update_time.FromMicroseconds(self._micros)
        else:
            result.update_time.CopyFrom(before.update_time)
        return result

    def _update(self, each: Any) -> Any:
        name = each.update.name
        values.check_fields(each.update.fields)
        before = self._judged(name, each.current_document)
        if each.HasField("update_mask"):
            wanted = _copied(before)
            _merge(wanted.fields, each.update.fields, each.update_mask.field_paths)
        else:
            wanted = _copied(each.update)
        return self._store(name, before, wanted, each.update_transforms)

    def _store(self, name: str, before: Any | None, wanted: Any, field_transforms: Any) -> Any:
        wanted.name = name
        results = transforms.apply(wanted.fields, field_transforms, self._micros)
        if wanted.ByteSize() > _MAX_DOCUMENT_BYTES:
            raise invalid(f'Document "{name}" cannot be written because its size exceeds the maximum of 1,048,576 bytes.')
        if before is None:
            wanted.create_time.FromMicroseconds(self._micros)
        else:
            wanted.create_time.CopyFrom(before.create_time)
            wanted.update_time.CopyFrom(before.update_time)
        if wanted != before:  # else the time of the last change stays
            wanted.update_time.FromMicroseconds(self._micros)
        self._after[name] = wanted
        return WriteResult(update_time=wanted.update_time, transform_results=results)

    def _judged(self, name: str, condition: Any) -> Any | None:
        """The document as the writes before this one leave it, None where there is none; its condition holds."""
        check_document_name(name, self._request.database)
        before = self._after[name] if name in self._after else self._stored.get(name)
        is_insert = condition.WhichOneof("condition_type") == "exists" and not condition.exists
        if is_insert and before is not None and name in self._after:
            raise invalid("Cannot insert then insert an entity in the same request.")
        _judge(name, before, condition)
        return before


def _verified(each: Any) -> str:
    """The name in a write of kind `verify`."""
    for field in UnknownFieldSet(each):
        if field.field_number == _VERIFY_FIELD:
            return bytes(field.data).decode()
    raise invalid("The write has no operation.")


def _copied(before: Any | None) -> Any:
    copy = Document()
    if before is not None:
        copy.CopyFrom(before)
    return copy


def _merge(fields: Any, given: Any, mask: Any) -> None:
    """Each field of the mask is as given; one that is not given is removed."""
    for text in mask:
        path = values.parsed(text)
        value = values.found(given, path)
        if value is None:
            values.remove(fields, path)
        else:
            values.put(fields, path, value)


def _judge(name: str, before: Any | None, condition: Any) -> None:
    """Refuse a write whose condition does not hold, in the emulator's words: the adapter reads some of them."""
    kind = condition.WhichOneof("condition_type")
    if kind == "exists" and condition.exists and before is None:
        raise Refused(Status.NOT_FOUND, f"no entity to update: {name}")
    if kind == "exists" and not condition.exists and before is not None:
        raise Refused(Status.ALREADY_EXISTS, f"entity already exists: {name}")
    if kind == "update_time" and (before is None or before.update_time != condition.update_time):
        raise Refused(Status.FAILED_PRECONDITION, f"the stored version does not match the required base version: {name}")
