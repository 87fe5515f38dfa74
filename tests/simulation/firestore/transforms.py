"""What a write makes of a field's value on the server: the time, a bound, a set of elements."""

from typing import Any, Final

from simulation.firestore import values
from simulation.firestore.refusals import invalid, unimplemented
from simulation.firestore.values import Value

_REQUEST_TIME: Final = 1


def apply(fields: Any, transforms: Any, micros: int) -> list[Any]:
    """Change the fields, one transform after the other.

    Args:
        micros: the commit's time, in microseconds since 1970.

    Returns:
        The answer to each.
    """
    results = []
    for transform in transforms:
        path = values.parsed(transform.field_path)
        after, result = _changed(values.found(fields, path), transform, micros)
        values.put(fields, path, after)
        results.append(result)
    return results


def _changed(before: Any | None, transform: Any, micros: int) -> tuple[Any, Any]:
    """The value after it, and what the answer says."""
    kind = transform.WhichOneof("transform_type")
    if kind == "set_to_server_value":
        if transform.set_to_server_value != _REQUEST_TIME:
            raise invalid("Unknown server value.")
        now = _server_time(micros)
        return now, now
    if kind is None:
        raise invalid("The transform has no type.")
    operand = getattr(transform, kind)
    if kind == "maximum":
        if not values.is_number(operand):
            raise invalid(f"{kind} needs a number.")
        after = _maximum(before, operand)
        return after, after
    if kind in {"append_missing_elements", "remove_all_from_array"}:
        elements = list(before.array_value.values) if before is not None and before.HasField("array_value") else []
        return _LISTS[kind](elements, operand.values), Value(null_value=0)
    raise unimplemented(f"transform {kind}")


def _server_time(micros: int) -> Any:
    now = Value()
    now.timestamp_value.FromMilliseconds(micros // 1_000)  # as Firestore: no finer
    return now


def _maximum(before: Any | None, operand: Any) -> Any:
    is_less = before is None or not values.is_number(before) or values.key(before) < values.key(operand)
    return operand if is_less else before


def _united(elements: list[Any], more: Any) -> Any:
    known = {values.key(each) for each in elements}
    for each in more:
        if values.key(each) not in known:
            known.add(values.key(each))
            elements.append(each)
    return _array(elements)


def _without(elements: list[Any], some: Any) -> Any:
    unwanted = {values.key(each) for each in some}
    return _array([each for each in elements if values.key(each) not in unwanted])


def _array(elements: list[Any]) -> Any:
    array = Value()
    array.array_value.SetInParent()
    array.array_value.values.extend(elements)
    return array


_LISTS: Final = {"append_missing_elements": _united, "remove_all_from_array": _without}
