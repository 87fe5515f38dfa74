"""Collectors of our own, for what prometheus_client's do not do."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar


@dataclass(frozen=True, slots=True)
class Example:
    """The trace of one observation, and when it was made (Unix seconds)."""

    trace_id: str
    at: float


class WeightedHistogram(Collector):
    """A histogram that takes many equal observations in one step: a fan-out observes once for all its recipients."""

    def __init__(self, name: str, help_text: str, label: str, values: Sequence[str], buckets: Sequence[float]) -> None:
        self._name, self._help, self._label = name, help_text, label
        self._buckets = tuple(buckets)
        self._counts = {value: [0] * (len(buckets) + 1) for value in values}
        self._sums = dict.fromkeys(values, 0.0)
        self._exemplars: dict[str, dict[int, Exemplar]] = {value: {} for value in values}

    def observe(self, value: str, seconds: float, times: int, example: Example | None = None) -> None:
        """Record `times` observations of `seconds` under label value `value`. Each bucket keeps its latest example."""
        bucket = bisect_left(self._buckets, seconds)
        self._counts[value][bucket] += times
        self._sums[value] += seconds * times
        if example is not None:
            self._exemplars[value][bucket] = Exemplar({"trace_id": example.trace_id}, seconds, example.at)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """For prometheus_client."""
        family = HistogramMetricFamily(self._name, self._help, labels=[self._label])
        for value, counts in self._counts.items():
            total, cumulative = 0, list[tuple[str, float] | tuple[str, float, Exemplar]]()
            exemplars = self._exemplars[value]
            for bucket, (bound, count) in enumerate(zip((*map(str, self._buckets), "+Inf"), counts, strict=True)):
                total += count
                cumulative.append((bound, total, exemplars[bucket]) if bucket in exemplars else (bound, total))
            family.add_metric([value], cumulative, self._sums[value])
        yield family


class CountersView(Collector):
    """Numbers that are counted elsewhere, as one counter with the label `event`; `read` gives them when they are scraped."""

    def __init__(self, name: str, help_text: str, events: Sequence[str], read: Callable[[], Mapping[str, int]]) -> None:
        self._name, self._help, self._events, self._read = name, help_text, events, read

    def collect(self) -> Iterator[CounterMetricFamily]:
        """For prometheus_client."""
        family = CounterMetricFamily(self._name, self._help, labels=["event"])
        counts = self._read()
        for event in self._events:
            family.add_metric([event], counts.get(event, 0))
        yield family
