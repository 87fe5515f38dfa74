"""Random calls to Firestore, for a comparison of two of them.

They are drawn from few names, fields and values, so that they meet: most conditions hold about half the time.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from google.cloud.firestore_v1.types import firestore, query, write

from simulation.firestore.values import Value

DATABASE: Final = "projects/{project}/databases/(default)"
_COLLECTIONS: Final = ("a", "b", "a/1/c")
_IDS: Final = ("1", "2", "3", "10", "x", "é")
_Write: Final = write.Write.pb()


@dataclass(frozen=True, slots=True)
class Call:
    """One call: `stale` are the writes (by position) whose condition is the time last seen of their document."""

    method: str
    request: Any
    unchanged: tuple[int, ...] = ()


class RandomCalls:
    """A sequence that depends on the seed alone."""

    def __init__(self, seed: int, project: str) -> None:
        self._random = random.Random(seed)
        self._database = DATABASE.format(project=project)
        self._root = f"{self._database}/documents"
        self._kinds: list[tuple[Callable[[], Call], int]] = [
            (self._commit, 10),
            (self._batch_get, 3),
            (self._query, 7),
            (self._count, 1),
        ]

    def next(self) -> Call:
        """One more."""
        makers, weights = zip(*self._kinds, strict=True)
        maker: Callable[[], Call] = self._random.choices(makers, weights)[0]
        return maker()

    # --- commits ----------------------------------------------------------------------------------------------------------

    def _commit(self) -> Call:
        request = firestore.CommitRequest.pb()(database=self._database)
        names = self._random.sample(self._names(), self._random.choice((1, 1, 1, 2, 3)))
        unchanged = []
        for position, name in enumerate(names):
            request.writes.append(self._write(name))
            if self._random.random() < 0.15:
                unchanged.append(position)
        return Call("Commit", request, tuple(unchanged))

    def _write(self, name: str) -> Any:
        kind = self._random.choices(("set", "merge", "delete", "verify"), (5, 5, 2, 1))[0]
        each = _Write()
        if kind == "verify":
            return verify(name, exists=True)
        if kind == "delete":
            each.delete = name
        else:
            each.update.name = name
            for field in self._random.sample(("x", "y", "n", "l"), self._random.randint(0, 3)):
                each.update.fields[field].CopyFrom(self._value(2))
            if self._random.random() < 0.4:
                each.update.fields["m"].map_value.fields[self._random.choice("pq")].CopyFrom(self._value(1))
            if kind == "merge":
                each.update_mask.SetInParent()
                each.update_mask.field_paths.extend(self._mask(each.update.fields))
            self._transform(each)
        if self._random.random() < 0.4:
            each.current_document.exists = self._random.random() < 0.6
        return each

    def _mask(self, fields: Any) -> list[str]:
        """The fields that are given, and sometimes others: those are removed."""
        paths = [f"m.{inner}" for inner in fields["m"].map_value.fields] if "m" in fields else []
        paths += [name for name in fields if name != "m"]
        missing = [name for name in ("x", "y", "n", "l") if name not in fields and self._random.random() < 0.2]
        return sorted(paths + missing)

    def _transform(self, each: Any) -> None:
        for field in self._random.sample(("t", "n", "l"), self._random.choice((0, 0, 1, 2))):
            if field in each.update.fields:
                continue
            one = each.update_transforms.add(field_path=field)
            if field == "t":
                one.set_to_server_value = 1
            elif field == "n":
                one.maximum.CopyFrom(self._number())
            else:
                elements = getattr(one, self._random.choice(("append_missing_elements", "remove_all_from_array")))
                elements.values.extend(self._value(0) for _ in range(self._random.randint(1, 3)))

    # --- reads ------------------------------------------------------------------------------------------------------------

    def _batch_get(self) -> Call:
        request = firestore.BatchGetDocumentsRequest.pb()(database=self._database)
        request.documents.extend(self._random.sample(self._names(), self._random.randint(1, 4)))
        if self._random.random() < 0.4:
            request.mask.field_paths.extend(self._random.sample(("x", "y", "m.p", "m"), self._random.randint(1, 2)))
        return Call("BatchGetDocuments", request)

    def _query(self) -> Call:
        return Call("RunQuery", firestore.RunQueryRequest.pb()(parent=self._root, structured_query=self._structured()))

    def _count(self) -> Call:
        request = firestore.RunAggregationQueryRequest.pb()(parent=self._root)
        asked = request.structured_aggregation_query
        asked.structured_query.CopyFrom(self._structured(is_plain=True))
        asked.aggregations.add(alias="all").count.SetInParent()
        return Call("RunAggregationQuery", request)

    def _structured(self, *, is_plain: bool = False) -> Any:
        asked = query.StructuredQuery.pb()()
        asked.from_.add(collection_id=self._random.choice("ab"))
        filters = [self._filter() for _ in range(self._random.choice((0, 1, 1, 2)))]
        if len(filters) == 1:
            asked.where.CopyFrom(filters[0])
        elif filters:
            asked.where.composite_filter.op = 1
            asked.where.composite_filter.filters.extend(filters)
        if not is_plain:
            self._order(asked)
            self._window(asked)
        return asked

    def _filter(self) -> Any:
        one = query.StructuredQuery.Filter.pb()()
        one.field_filter.field.field_path = field = self._random.choice(("x", "y", "m.p", "l", "__name__"))
        one.field_filter.op = self._random.choice((1, 2, 3, 4, 5) if field == "__name__" else range(1, 8))
        if field == "__name__":
            one.field_filter.value.reference_value = self._random.choice(self._names("ab"))
        else:
            one.field_filter.value.CopyFrom(self._value(1, "flag"))
        return one

    def _order(self, asked: Any) -> None:
        for field in self._random.sample(("x", "y", "t", "n"), self._random.choice((0, 0, 1, 1, 2))):
            asked.order_by.add(direction=self._random.choice((1, 2))).field.field_path = field
        if self._random.random() < 0.3:
            asked.order_by.add(direction=self._random.choice((1, 2))).field.field_path = "__name__"

    def _window(self, asked: Any) -> None:
        fields = [each.field.field_path for each in asked.order_by]
        if fields and "t" not in fields and self._random.random() < 0.4:
            cursor = asked.start_at
            cursor.before = self._random.random() < 0.5
            for field in fields[: self._random.randint(1, len(fields))]:
                if field == "__name__":
                    cursor.values.add(reference_value=self._random.choice(self._names("ab")))
                else:
                    cursor.values.append(self._value(0))
        if self._random.random() < 0.3:
            asked.limit.value = self._random.randint(1, 4)
        if self._random.random() < 0.2:
            for field in self._random.sample(("x", "m.p", "__name__"), self._random.randint(1, 2)):
                asked.select.fields.add(field_path=field)

    # --- what they are made of --------------------------------------------------------------------------------------------

    def _names(self, collections: str = "") -> list[str]:
        return [f"{self._root}/{place}/{each}" for place in collections or _COLLECTIONS for each in _IDS]

    def _number(self) -> Any:
        return self._random.choice(
            (Value(integer_value=self._random.randint(-3, 9)), Value(double_value=self._random.choice((0.5, 2.0))))
        )

    def _value(self, depth: int, nothing: str = "null") -> Any:
        """`nothing`: the kind that stands in place of null, which no filter of ours has."""
        kind = self._random.choice((nothing, "flag", "number", "number", "text", "text", "bytes", "time", "name", "list", "map"))
        if kind == "number":
            return self._number()
        value = Value()
        if kind == "null":
            value.null_value = 0
        elif kind == "flag":
            value.boolean_value = self._random.random() < 0.5
        elif kind == "bytes":
            value.bytes_value = self._random.choice((b"", b"a", b"\xff"))
        elif kind == "time":
            value.timestamp_value.FromSeconds(self._random.choice((0, 1, 1_000_000_000)))
        elif kind == "name":
            value.reference_value = self._random.choice(self._names("ab"))
        elif kind == "list" and depth:
            value.array_value.SetInParent()
            value.array_value.values.extend(self._value(0) for _ in range(self._random.randint(0, 2)))
        elif kind == "map" and depth:
            value.map_value.SetInParent()
            for name in self._random.sample("pq", self._random.randint(0, 2)):
                value.map_value.fields[name].CopyFrom(self._value(depth - 1))
        else:
            value.string_value = self._random.choice(("", "a", "b", "é"))
        return value


def verify(name: str, exists: bool | None) -> Any:
    """A write that only states a condition, which Python's types lack; None: it states none."""
    each, raw = _Write(), name.encode()
    each.MergeFromString(b"\x2a" + _length(len(raw)) + raw)
    if exists is not None:
        each.current_document.exists = exists
    return each


def _length(size: int) -> bytes:
    """Of a string field, below 16,384."""
    return bytes((size,)) if size < 0x80 else bytes((size & 0x7F | 0x80, size >> 7))
