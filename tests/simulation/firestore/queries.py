"""Queries: which documents of a collection, in which order, from where to where, and which of their fields."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from google.cloud.firestore_v1.types import firestore, query

from simulation.firestore import query_rules, values
from simulation.firestore.documents import Document, Documents
from simulation.firestore.query_rules import NAME, Composite, Operator, Order, Unary
from simulation.firestore.refusals import invalid, unimplemented
from simulation.firestore.values import Key, Path

_DESCENDING: Final = query.StructuredQuery.Direction.DESCENDING
_AggregationResponse: Final = firestore.RunAggregationQueryResponse.pb()

_NULL: Final = values.key(values.Value(null_value=0))
Test = Callable[[Any], bool]


def run(stored: Documents, parent: str, asked: Any) -> list[Any]:
    """The documents that a `StructuredQuery` asks for.

    Raises:
        Refused: the query is wrong, or of a kind that is not simulated.
    """
    if asked.HasField("find_nearest"):
        raise unimplemented("search for nearest vectors")
    orders = _orders(asked)
    query_rules.check(asked, orders)
    test = _filter(asked.where) if asked.HasField("where") else _everything
    chosen = [each for each in _candidates(stored, parent, asked) if test(each)]
    found = _sorted(chosen, orders)
    if asked.HasField("start_at"):
        found = [each for each in found if _place(each, orders, asked.start_at) >= (0 if asked.start_at.before else 1)]
    if asked.HasField("end_at"):
        found = [each for each in found if _place(each, orders, asked.end_at) <= (-1 if asked.end_at.before else 0)]
    end = asked.offset + asked.limit.value if asked.HasField("limit") else len(found)
    return [projected(each, asked.select) if asked.HasField("select") else each for each in found[asked.offset : end]]


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
        most = each.count.up_to.value if each.count.HasField("up_to") else found
        answer.result.aggregate_fields[each.alias or f"field_{number}"].integer_value = min(found, most)
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
    """The documents of the collections in question, in the order of their names."""
    if len(asked.from_) != 1:
        raise invalid("a query has one collection")
    (source,) = asked.from_
    if source.all_descendants:
        last = f"/{source.collection_id}" if source.collection_id else ""
        paths = sorted((path for path in stored.collections(f"{parent}/") if path.endswith(last)), key=values.name_key)
    else:
        paths = [f"{parent}/{source.collection_id}"]
    return (document for path in paths for each in stored.ids(path) if (document := stored.get(f"{path}/{each}")) is not None)


# --- filters --------------------------------------------------------------------------------------------------------------


def _everything(_: Any) -> bool:
    return True


def _nothing(_: Any) -> bool:
    return False


def _filter(asked: Any) -> Test:
    kind = asked.WhichOneof("filter_type")
    if kind == "composite_filter":
        tests = [_filter(each) for each in asked.composite_filter.filters]
        if not tests:
            raise invalid("a composite filter has at least one filter")
        if asked.composite_filter.op == Composite.OR:
            return lambda document: any(test(document) for test in tests)
        return lambda document: all(test(document) for test in tests)
    if kind == "unary_filter":
        return _unary(asked.unary_filter)
    return _field_filter(asked.field_filter)


def _unary(asked: Any) -> Test:
    kind, wanted = {
        Unary.IS_NULL: ("null_value", True),
        Unary.IS_NOT_NULL: ("null_value", False),
        Unary.IS_NAN: ("double_value", True),
        Unary.IS_NOT_NAN: ("double_value", False),
    }[asked.op]
    field = asked.field.field_path

    def test(document: Any) -> bool:
        value = _value(document, field)
        if value is None or (not wanted and value.WhichOneof("value_type") == "null_value"):
            return False
        is_it = value.WhichOneof("value_type") == kind and (kind == "null_value" or value.double_value != value.double_value)
        return is_it is wanted

    return test


def _field_filter(asked: Any) -> Test:
    field, operator, operand = asked.field.field_path, asked.op, asked.value
    if operator not in _TESTS:
        raise invalid("the filter has no operator")
    if field == NAME and not _names(operand):
        raise invalid("__key__ filter value must be a Key")
    if operand.HasField("null_value"):
        return _nothing  # null is asked for by a unary filter only
    judge, wanted = _TESTS[operator], _operand(operator, operand)

    def test(document: Any) -> bool:
        value = _value(document, field)
        return value is not None and judge(value, wanted)

    return test


def _names(operand: Any) -> bool:
    """Whether it is a document's name, or a list of such."""
    if operand.HasField("array_value"):
        return all(each.HasField("reference_value") for each in operand.array_value.values)
    return bool(operand.HasField("reference_value"))


def _operand(operator: int, operand: Any) -> Any:
    if operator in {Operator.IN, Operator.NOT_IN, Operator.ARRAY_CONTAINS_ANY}:
        if not operand.array_value.values:
            raise invalid("the filter needs a list that is not empty")
        keys = {values.key(each) for each in operand.array_value.values}
        return keys if operator == Operator.NOT_IN else keys - {_NULL}  # null is in no list, and with it nothing is not in
    return values.key(operand)


def _is_same_rank(value: Any, wanted: Key) -> bool:
    return bool(values.rank(value) == wanted[0])


def _is_null(value: Any) -> bool:
    return bool(value.HasField("null_value"))


def _elements(value: Any) -> set[Key]:
    return {values.key(each) for each in value.array_value.values}


_TESTS: Final[dict[int, Callable[[Any, Any], bool]]] = {
    Operator.EQUAL: lambda value, wanted: values.key(value) == wanted,
    Operator.NOT_EQUAL: lambda value, wanted: not _is_null(value) and values.key(value) != wanted,
    Operator.LESS_THAN: lambda value, wanted: _is_same_rank(value, wanted) and values.key(value) < wanted,
    Operator.LESS_THAN_OR_EQUAL: lambda value, wanted: _is_same_rank(value, wanted) and values.key(value) <= wanted,
    Operator.GREATER_THAN: lambda value, wanted: _is_same_rank(value, wanted) and values.key(value) > wanted,
    Operator.GREATER_THAN_OR_EQUAL: lambda value, wanted: _is_same_rank(value, wanted) and values.key(value) >= wanted,
    Operator.IN: lambda value, wanted: values.key(value) in wanted,
    Operator.NOT_IN: lambda value, wanted: _NULL not in wanted and not _is_null(value) and values.key(value) not in wanted,
    Operator.ARRAY_CONTAINS: lambda value, wanted: any(values.key(each) == wanted for each in value.array_value.values),
    Operator.ARRAY_CONTAINS_ANY: lambda value, wanted: not wanted.isdisjoint(_elements(value)),
}


# --- order and cursors ----------------------------------------------------------------------------------------------------


def _orders(asked: Any) -> list[Order]:
    """As asked for, then what Firestore adds: fields of inequalities, and the name."""
    orders = [(each.field.field_path, each.direction == _DESCENDING) for each in asked.order_by]
    descends = orders[-1][1] if orders else False
    unequal = {leaf.field.field_path for leaf in query_rules.leaves(asked.where) if query_rules.is_inequality(leaf)}
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
