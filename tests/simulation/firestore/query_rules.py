"""Which queries Firestore refuses whatever is stored: combinations of filters and orders that it does not run."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from google.cloud.firestore_v1.types import query

from simulation.firestore.refusals import Refused, Status, invalid

NAME: Final = "__name__"
Operator: Final = query.StructuredQuery.FieldFilter.Operator
Unary: Final = query.StructuredQuery.UnaryFilter.Operator
Composite: Final = query.StructuredQuery.CompositeFilter.Operator
Order = tuple[str, bool]  # the field's path as text, and whether it descends

_INEQUALITIES: Final = {
    Operator.LESS_THAN,
    Operator.LESS_THAN_OR_EQUAL,
    Operator.GREATER_THAN,
    Operator.GREATER_THAN_OR_EQUAL,
    Operator.NOT_EQUAL,
    Operator.NOT_IN,
}
_NEGATIONS: Final = {Operator.NOT_EQUAL, Operator.NOT_IN}
_DISJUNCTIONS: Final = {Operator.IN, Operator.ARRAY_CONTAINS_ANY}
_CONTAINS: Final = {Operator.ARRAY_CONTAINS, Operator.ARRAY_CONTAINS_ANY}
_UNARY_NEGATIONS: Final = {Unary.IS_NOT_NAN, Unary.IS_NOT_NULL}


def leaves(asked: Any) -> Iterator[Any]:
    """The field filters and unary filters in a filter."""
    kind = asked.WhichOneof("filter_type")
    if kind == "composite_filter":
        for each in asked.composite_filter.filters:
            yield from leaves(each)
    elif kind is not None:
        yield getattr(asked, kind)


def is_inequality(leaf: Any) -> bool:
    """Whether Firestore orders by its field; it does not order by fields that are compared with null."""
    if not hasattr(leaf, "value"):
        return leaf.op in _UNARY_NEGATIONS
    operands = leaf.value.array_value.values if leaf.op == Operator.NOT_IN else [leaf.value]
    return leaf.op in _INEQUALITIES and not all(each.HasField("null_value") for each in operands)


def check(asked: Any, orders: Sequence[Order]) -> None:
    """Refuse what Firestore does not run.

    Args:
        asked: the `StructuredQuery`.
        orders: its orders, those that Firestore adds included.

    Raises:
        Refused: with the emulator's code.
    """
    if asked.limit.value < 0 or asked.offset < 0:
        raise invalid("limit is negative")
    every = list(leaves(asked.where))
    _check_negations(asked.where, every)
    _check_names(every, orders)
    if _most_contains(asked.where) > 1:
        raise invalid("A maximum of 1 'ARRAY_CONTAINS' filter is allowed per disjunction.")
    for cursor in (asked.start_at, asked.end_at):
        _check_cursor(cursor, orders)


def _check_negations(where: Any, every: Sequence[Any]) -> None:
    operators = [leaf.op for leaf in every if hasattr(leaf, "value")]
    negations = sum(operator in _NEGATIONS for operator in operators)
    negations += sum(leaf.op in _UNARY_NEGATIONS for leaf in every if not hasattr(leaf, "value"))
    if negations > 1:
        raise invalid("Only a single 'NOT_EQUAL', 'NOT_IN', 'IS_NOT_NAN', or 'IS_NOT_NULL' filter allowed per query.")
    has_or = where.WhichOneof("filter_type") == "composite_filter" and where.composite_filter.op == Composite.OR
    if Operator.NOT_IN in operators and (has_or or not _DISJUNCTIONS.isdisjoint(operators)):
        raise invalid("'NOT_IN' cannot be used in the same query with 'IN', 'ARRAY_CONTAINS_ANY' or 'OR'.")


def _check_names(every: Sequence[Any], orders: Sequence[Order]) -> None:
    if NAME in [field for field, _ in orders[:-1]]:
        raise invalid("order by clause cannot contain more fields after the key")
    unequal = {leaf.field.field_path for leaf in every if is_inequality(leaf)}
    equal = {leaf.field.field_path for leaf in every if not is_inequality(leaf)}
    if NAME in equal and unequal and NAME not in unequal:
        raise invalid(
            "Equality on key is not allowed if there are other inequality fields and key does not appear in inequalities."
        )
    if list(orders) == [(NAME, True)] and (unequal | equal) <= {NAME}:
        raise Refused(Status.FAILED_PRECONDITION, "Firestore does not support descending key scans")


def _most_contains(asked: Any) -> int:
    """How many filters of that kind must hold together."""
    kind = asked.WhichOneof("filter_type")
    if kind == "composite_filter":
        counts = [_most_contains(each) for each in asked.composite_filter.filters]
        return max(counts, default=0) if asked.composite_filter.op == Composite.OR else sum(counts)
    return int(kind == "field_filter" and asked.field_filter.op in _CONTAINS)


def _check_cursor(cursor: Any, orders: Sequence[Order]) -> None:
    if len(cursor.values) > len(orders):
        raise invalid("Cursor has too many values.")
    for (field, _), wanted in zip(orders, cursor.values, strict=False):
        if field == NAME and not wanted.HasField("reference_value"):
            raise invalid("Cursor __key__ value is not a document reference.")
