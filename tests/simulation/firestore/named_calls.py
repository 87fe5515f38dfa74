"""Calls to Firestore at the edges, each with a name: what random calls would hardly meet."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from google.cloud.firestore_v1.types import firestore

from simulation.firestore.random_calls import DATABASE, Call, verify

_ONE: Final = {"integer_value": 1}
_MUST: Final = {"exists": True}
_MUST_NOT: Final = {"exists": False}
_PAST: Final = {"update_time": datetime(2020, 1, 1, tzinfo=UTC)}


def named_calls(project: str) -> Iterator[tuple[str, Call]]:
    """In this order: later ones build on earlier ones."""
    database = DATABASE.format(project=project)
    root = f"{database}/documents"

    def document(path: str, **fields: Any) -> dict[str, Any]:
        return {"name": f"{root}/{path}", "fields": fields}

    def commit(*writes: dict[str, Any]) -> Call:
        return Call("Commit", firestore.CommitRequest.pb(firestore.CommitRequest(database=database, writes=list(writes))))

    def put(path: str, condition: dict[str, Any] | None = None, mask: list[str] | None = None, **fields: Any) -> dict[str, Any]:
        more = {"current_document": condition} if condition is not None else {}
        return {
            "update": document(path, **fields),
            **more,
            **({"update_mask": {"field_paths": mask}} if mask is not None else {}),
        }

    def remove(path: str, condition: dict[str, Any] | None = None) -> dict[str, Any]:
        return {"delete": f"{root}/{path}", **({"current_document": condition} if condition is not None else {})}

    def verifying(path: str, exists: bool | None, *writes: dict[str, Any]) -> Call:
        call = commit(*writes)
        call.request.writes.append(verify(f"{root}/{path}", exists))
        return call

    def query(**asked: Any) -> Call:
        request = firestore.RunQueryRequest(parent=root, structured_query={"from_": [{"collection_id": "a"}], **asked})
        return Call("RunQuery", firestore.RunQueryRequest.pb(request))

    def changes(path: str, *transforms: dict[str, Any], **fields: Any) -> dict[str, Any]:
        return {"update": document(path, **fields), "update_transforms": list(transforms)}

    by_name = {"order_by": [{"field": {"field_path": "__name__"}}]}
    spaced: dict[str, Any] = {"a b": {"map_value": {"fields": {"c": _ONE}}}}
    nameless: dict[str, Any] = {"": _ONE}
    nested = {"array_value": {"values": [{"array_value": {"values": [_ONE]}}]}}
    yield "a creation", commit(put("a/1", _MUST_NOT, x=_ONE))
    yield "a creation of what exists", commit(put("a/1", _MUST_NOT, x=_ONE))
    yield "two creations of one document", commit(put("a/2", _MUST_NOT, x=_ONE), put("a/2", _MUST_NOT, x=_ONE))
    yield "a creation of what was just written", commit(put("a/2", x=_ONE), put("a/2", _MUST_NOT, x=_ONE))
    yield "two writes of one document", commit(put("a/3", x=_ONE), put("a/3", y=_ONE))
    yield "an update of what was just created", commit(put("a/4", _MUST_NOT, x=_ONE), put("a/4", _MUST, y=_ONE))
    yield "a removal, and a creation in its place", commit(remove("a/4"), put("a/4", _MUST_NOT, z=_ONE))
    yield "a refused write behind a good one", commit(put("a/9", x=_ONE), put("a/1", _MUST_NOT))
    yield "an update of what is not there", commit(put("a/9", _MUST, x=_ONE))
    yield "a version of what is not there", commit(put("a/9", _PAST, x=_ONE))
    yield "another version", commit(put("a/1", _PAST, x=_ONE))
    yield "a removal of what is not there", commit(remove("a/9"))
    yield "a removal of what must be there", commit(remove("a/9", _MUST))
    yield "a removal of what must not be there", commit(remove("a/1", _MUST_NOT))
    yield "a removal of another version", commit(remove("a/1", _PAST))
    yield "a verify of what is there", verifying("a/1", True)
    yield "a verify of what is not there", verifying("a/9", True)
    yield "a verify of nothing, that holds", verifying("a/9", False)
    yield "a verify of nothing, that does not", verifying("a/1", False)
    yield "a verify without a condition", verifying("a/1", None)
    yield "a verify of what was just written", verifying("a/1", True, put("a/1", y=_ONE))
    yield "a verify that fails behind a write that fails", verifying("a/9", True, put("a/1", _MUST_NOT))
    yield "a write of what was there before", commit(put("a/3", y=_ONE))
    yield "an update of no field", commit(put("a/3", _MUST, []))
    yield "an update of no field of what is not there", commit(put("a/9", _MUST, []))
    yield "a field that is not given", commit(put("a/3", None, ["x", "y", "q.r"], x=_ONE))
    yield "a path into what is no map", commit(put("a/3", None, ["x.y"], x={"map_value": {"fields": {"y": _ONE}}}))
    yield "a path within a path", commit(put("a/3", None, ["x", "x.y"], x={"map_value": {"fields": {"z": _ONE}}}))
    yield "a quoted path", commit(put("a/3", None, ["`a b`.c"], **spaced))
    yield "a path that is none", commit(put("a/3", None, ["a..b"], x=_ONE))
    yield "a path that begins with a digit", commit(put("a/3", None, ["1a"], x=_ONE))
    yield "the larger of nothing and one", commit(changes("a/5", {"field_path": "n", "maximum": _ONE}))
    yield "the larger of a text and one", commit(changes("a/5", {"field_path": "n", "maximum": _ONE}, n={"string_value": "x"}))
    yield "an element twice", commit(changes("a/5", {"field_path": "l", "append_missing_elements": {"values": [_ONE, _ONE]}}))
    yield "a reserved field", commit(put("a/6", __x__=_ONE))
    yield "a field without a name", commit(put("a/6", **nameless))
    yield "a list in a list", commit(put("a/6", x=nested))
    yield "a value without a type", commit(put("a/6", x={}))
    yield "a collection in place of a document", commit(put("a", x=_ONE))
    yield "a reserved id", commit(put("a/__x__", x=_ONE))
    yield "an id of two dots", commit(put("a/..", x=_ONE))
    yield "an empty id", commit(put("a//b/c", x=_ONE))
    yield "too large a document", commit(put("a/6", x={"string_value": "x" * 1_048_570}))
    yield "all", query()
    yield "none", query(limit=0)
    yield "fewer than none", query(limit=-1)
    yield "no fields", query(select={"fields": [{"field_path": "__name__"}]})
    yield "a name that is a text", query(where=_where("__name__", 1, {"string_value": "a"}))
    yield "behind a name", query(**by_name, start_at={"values": [{"reference_value": f"{root}/a/3"}]}, limit=1)
    yield "behind a text", query(**by_name, start_at={"values": [{"string_value": "3"}]})
    yield "behind too much", query(**by_name, start_at={"values": [{"reference_value": f"{root}/a/3"}, _ONE]})
    yield "names backwards", query(order_by=[{"field": {"field_path": "__name__"}, "direction": 2}])
    yield "backwards", query(order_by=[{"field": {"field_path": "x"}, "direction": 2}])


def _where(field: str, operator: int, value: dict[str, Any]) -> dict[str, Any]:
    return {"field_filter": {"field": {"field_path": field}, "op": operator, "value": value}}
