"""Queries: which documents of a collection, in which order, from where to where, and which of their fields."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from google.cloud.firestore_v1.types import firestore, query

from simulation.firestore import values
from simulation.firestore.documents import Document, Documents
from simulation.firestore.refusals import Refused, Status, invalid, unimplemented
from simulation.firestore.values import Key, Path

NAME: Final = "__name__"
Operator: Final = query.StructuredQuery.FieldFilter.Operator
_AND: Final = query.StructuredQuery.CompositeFilter.Operator.AND
_DESCENDING: Final = query.StructuredQuery.Direction.DESCENDING
_AggregationResponse: Final = firestore.RunAggregationQueryResponse.pb()

Order = tuple[str, bool]  # the field's path as text, and whether it descends
Test = Callable[[Any], bool]


def run(stored: Documents, parent: str, asked: Any) -> list[Any]:
    """The documents that a `StructuredQuery` asks for.

    Raises:
        Refused: the query is wrong, or of a kind that is not simulated.
    """
    if asked.offset or asked.HasField("end_at") or asked.HasField("find_nearest"):
        raise unimplemented("queries with an offset or an end, and for vectors")
    leaves = list(_leaves(asked.where))
    orders = _orders(asked, leaves)
    _check(asked, leaves, orders)
    test = _filter(asked.where) if asked.HasField("where") else _everything
    chosen = [each for each in _candidates(stored, parent, asked) if test(each)]
    found = _sorted(chosen, orders)
    if asked.HasField("start_at"):
        found = [each for each in found if _place(each, orders, asked.start_at) >= (0 if asked.start_at.before else 1)]
    end = asked.limit.value if asked.HasField("limit") else len(found)
    return [projected(each, asked.select) if asked.HasField("select") else each for each in found[:end]]


def count(stored: Documents, parent: str, asked: Any) -> Any:
    """The answer to a `StructuredAggregationQuery`; counts only.

    Raises:
        Refused: see `run`.
    """
    found = len(run(stored, parent, asked.structured_query))
    answer = _AggregationResponse()
    for number, each in enumerate(asked.aggregations, 1):
        if each.WhichOneof("operator") != "count":
            raise unimplemented("sums and averages")
        if each.count.HasField("up_to"):
            raise unimplemented("counts up to a number")
        answer.result.aggregate_fields[each.alias or f"field_{number}"].integer_value = found
    return answer


def projected(each: Any, projection: Any) -> Any:
    """The document with the fields of a mask or a projection only."""
    paths = projection.field_paths if hasattr(projection, "field_paths") else [one.field_path for one in projection.fields]
    part = Document(name=each.name, create_time=each.create_time, update_time=each.update_time)
    for text in paths:
        if text != NAME and (value := values.found(each.fields, path := values.parsed(text))) is not None:
            values.put(part.fields, path, value)
    return part


def _candidates(stored: Documents, parent: str, asked: Any) -> Iterable[Any]:
    """The documents of the collection, in the order of their names."""
    if len(asked.from_) != 1:
        raise invalid("a query has one collection")
    (source,) = asked.from_
    if source.all_descendants:
        raise unimplemented("queries of all collections of a name")
    path = f"{parent}/{source.collection_id}"
    return (document for each in stored.ids(path) if (document := stored.get(f"{path}/{each}")) is not None)


# --- filters --------------------------------------------------------------------------------------------------------------


def _everything(_: Any) -> bool:
    return True


def _leaves(asked: Any) -> Iterator[Any]:
    """The field filters in a filter; all of them hold together."""
    kind = asked.WhichOneof("filter_type")
    if kind == "composite_filter" and asked.composite_filter.op == _AND:
        for each in asked.composite_filter.filters:
            yield from _leaves(each)
    elif kind == "field_filter":
        yield asked.field_filter
    elif kind is not None:
        raise unimplemented("filters that are joined by OR, and filters for null and NaN")


def _filter(asked: Any) -> Test:
    tests = [_field_filter(each) for each in _leaves(asked)]
    return lambda document: all(test(document) for test in tests)


def _field_filter(asked: Any) -> Test:
    field, operator, operand = asked.field.field_path, asked.op, asked.value
    if operator not in _TESTS:
        raise unimplemented("filters by lists")
    if field == NAME and not operand.HasField("reference_value"):
        raise invalid("__key__ filter value must be a Key")
    if operand.HasField("null_value"):
        raise unimplemented("filters for null")
    judge, wanted = _TESTS[operator], values.key(operand)

    def test(document: Any) -> bool:
        value = _value(document, field)
        return value is not None and judge(value, wanted)

    return test


def _is_same_rank(value: Any, wanted: Key) -> bool:
    return bool(values.rank(value) == wanted[0])


_TESTS: Final[dict[int, Callable[[Any, Any], bool]]] = {
    Operator.EQUAL: lambda value, wanted: values.key(value) == wanted,
    Operator.NOT_EQUAL: lambda value, wanted: not value.HasField("null_value") and values.key(value) != wanted,
    Operator.LESS_THAN: lambda value, wanted: _is_same_rank(value, wanted) and values.key(value) < wanted,
    Operator.LESS_THAN_OR_EQUAL: lambda value, wanted: _is_same_rank(value, wanted) and values.key(value) <= wanted,
    Operator.GREATER_THAN: lambda value, wanted: _is_same_rank(value, wanted) and values.key(value) > wanted,
    Operator.GREATER_THAN_OR_EQUAL: lambda value, wanted: _is_same_rank(value, wanted) and values.key(value) >= wanted,
    Operator.ARRAY_CONTAINS: lambda value, wanted: any(values.key(each) == wanted for each in value.array_value.values),
}
_EQUALITIES: Final = {Operator.EQUAL, Operator.ARRAY_CONTAINS}


# --- what Firestore refuses whatever is stored ----------------------------------------------------------------------------


def _check(asked: Any, leaves: Sequence[Any], orders: Sequence[Order]) -> None:
    """Refuse what Firestore does not run. `orders`: those that it adds included."""
    if asked.limit.value < 0:
        raise invalid("limit is negative")
    if NAME in [field for field, _ in orders[:-1]]:
        raise invalid("order by clause cannot contain more fields after the key")
    operators = [leaf.op for leaf in leaves]
    if operators.count(Operator.NOT_EQUAL) > 1:
        raise invalid("Only a single 'NOT_EQUAL', 'NOT_IN', 'IS_NOT_NAN', or 'IS_NOT_NULL' filter allowed per query.")
    if operators.count(Operator.ARRAY_CONTAINS) > 1:
        raise invalid("A maximum of 1 'ARRAY_CONTAINS' filter is allowed per disjunction.")
    unequal = {leaf.field.field_path for leaf in leaves if leaf.op not in _EQUALITIES}
    equal = {leaf.field.field_path for leaf in leaves if leaf.op in _EQUALITIES}
    if NAME in equal and unequal and NAME not in unequal:
        raise invalid(
            "Equality on key is not allowed if there are other inequality fields and key does not appear in inequalities."
        )
    if list(orders) == [(NAME, True)] and (unequal | equal) <= {NAME}:
        raise Refused(Status.FAILED_PRECONDITION, "Firestore does not support descending key scans")
    if len(asked.start_at.values) > len(orders):
        raise invalid("Cursor has too many values.")
    for (field, _), wanted in zip(orders, asked.start_at.values, strict=False):
        if field == NAME and not wanted.HasField("reference_value"):
            raise invalid("Cursor __key__ value is not a document reference.")


# --- order and cursors ----------------------------------------------------------------------------------------------------


def _orders(asked: Any, leaves: Sequence[Any]) -> list[Order]:
    """As asked for, then what Firestore adds: fields of inequalities, and the name."""
    orders = [(each.field.field_path, each.direction == _DESCENDING) for each in asked.order_by]
    descends = orders[-1][1] if orders else False
    unequal = {leaf.field.field_path for leaf in leaves if leaf.op not in _EQUALITIES}
    known = {field for field, _ in orders}
    orders += [(field, descends) for field in sorted(unequal - known - {NAME})]
    return orders if NAME in known else [*orders, (NAME, descends)]


def _sorted(chosen: list[Any], orders: Sequence[Order]) -> list[Any]:
    """Those that have every field of the order, in it. They come by name; sorting keeps what is equal in its order."""
    if orders == [(NAME, False)]:
        return chosen
    keyed = [(each, _keys(each, orders)) for each in chosen]
    complete = [(each, keys) for each, keys in keyed if keys is not None]
    for position, (_, descends) in reversed(list(enumerate(orders))):
        complete.sort(key=lambda pair, position=position: pair[1][position], reverse=descends)  # type: ignore[misc]  # a default that binds
    return [each for each, _ in complete]


def _keys(document: Any, orders: Sequence[Order]) -> list[Key] | None:
    keys = []
    for field, _ in orders:
        if (value := _value(document, field)) is None:
            return None
        keys.append(values.key(value))
    return keys


def _place(document: Any, orders: Sequence[Order], cursor: Any) -> int:
    """Whether the document lies before (-1), at (0) or behind (1) the cursor."""
    for (field, descends), wanted in zip(orders, cursor.values, strict=False):
        mine, other = values.key(_value(document, field)), values.key(wanted)
        if mine != other:
            return -1 if (mine < other) is not descends else 1
    return 0


def _value(document: Any, field: str) -> Any | None:
    """The document's value of a field, or its name as one."""
    if field == NAME:
        return values.Value(reference_value=document.name)
    path: Path = values.parsed(field)
    return values.found(document.fields, path)
