"""The simulated Firestore is held to the emulator: the same calls have the same answers, but for the times in them."""

import time
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc  # type: ignore[import-untyped]  # ships no types
import pytest
from google.cloud.firestore_v1.types import firestore

from simulation.firestore.named_calls import named_calls
from simulation.firestore.random_calls import Call, RandomCalls
from simulation.firestore.refusals import Refused
from simulation.firestore.service import Service
from support.emulator import Emulator

CALLS: Final = 1_000
SERVER_TIMES_FROM: Final = 1_600_000_000  # seconds since 1970: random values are before it
ANSWERS: Final = {
    "Commit": firestore.CommitResponse.pb(),
    "BatchGetDocuments": firestore.BatchGetDocumentsResponse.pb(),
    "RunQuery": firestore.RunQueryResponse.pb(),
    "RunAggregationQuery": firestore.RunAggregationQueryResponse.pb(),
}
STREAMS: Final = {"BatchGetDocuments", "RunQuery", "RunAggregationQuery"}

Answer = tuple[str, list[Any]]


class Side:
    """One of the two, with the times that it told of its documents."""

    def __init__(self) -> None:
        self._times: dict[str, Any] = {}

    async def answer(self, call: Call) -> Answer:
        """The code and what is comparable of the answers."""
        request = type(call.request)()
        request.CopyFrom(call.request)
        for position in call.unchanged:
            each = request.writes[position]
            if (told := self._times.get(_written(each))) is not None:
                each.current_document.update_time.CopyFrom(told)
        code, raw = await self.call(call.method, request.SerializeToString())
        answers = [ANSWERS[call.method].FromString(one) for one in raw]
        if call.method == "Commit" and code == "OK":
            for each, result in zip(request.writes, answers[0].write_results, strict=True):
                if each.WhichOneof("operation") == "update":
                    self._times[each.update.name] = result.update_time
        return code, comparable(call, answers)

    async def call(self, method: str, request: bytes) -> tuple[str, list[bytes]]:
        """The code and the answers."""
        raise NotImplementedError


class Real(Side):
    """The emulator."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__()
        self._channel = channel

    async def call(self, method: str, request: bytes) -> tuple[str, list[bytes]]:
        """Over the network."""
        path = f"/google.firestore.v1.Firestore/{method}"
        try:
            if method in STREAMS:
                return "OK", [answer async for answer in self._channel.unary_stream(path)(request, timeout=30)]
            return "OK", [await self._channel.unary_unary(path)(request, timeout=30)]
        except grpc.aio.AioRpcError as error:
            return error.code().name, []


class Simulated(Side):
    """Ours."""

    def __init__(self) -> None:
        super().__init__()
        self._service = Service(time.time)

    async def call(self, method: str, request: bytes) -> tuple[str, list[bytes]]:
        """In this process."""
        try:
            return "OK", self._service.call(method, request)
        except Refused as refusal:
            return refusal.code.name, []


def _written(each: Any) -> str:
    """The document of a write; a `verify` is of none."""
    return str(each.update.name or each.delete)


def comparable(call: Call, answers: list[Any]) -> list[Any]:
    """The parts that must be the same: documents in order, missing ones, numbers, results of transforms."""
    if call.method == "Commit":
        return [[plain(value) for value in result.transform_results] for each in answers for result in each.write_results]
    if call.method == "BatchGetDocuments":
        return sorted((each.missing or each.found.name, fields_of(each.found)) for each in answers)
    if call.method == "RunQuery":
        return [(each.document.name, fields_of(each.document)) for each in answers if each.HasField("document")]
    return [plain(value) for each in answers for value in each.result.aggregate_fields.values()]


def fields_of(document: Any) -> str:
    """Its fields, and whether it was changed since it was created."""
    is_changed = document.create_time != document.update_time
    return repr(sorted((name, plain(value)) for name, value in document.fields.items())) + f" changed={is_changed}"


def plain(value: Any) -> Any:
    """A value in Python's terms; the server's own times are all one."""
    kind = value.WhichOneof("value_type")
    if kind == "map_value":
        return sorted((name, plain(one)) for name, one in value.map_value.fields.items())
    if kind == "array_value":
        return [plain(one) for one in value.array_value.values]
    if kind == "timestamp_value" and value.timestamp_value.seconds > SERVER_TIMES_FROM:
        return "now"
    return kind, str(getattr(value, kind))


@pytest.fixture
async def real(firestore_emulator: Emulator) -> AsyncIterator[Real]:
    """The emulator, without the library."""
    async with grpc.aio.insecure_channel(firestore_emulator.address) as channel:
        await channel.channel_ready()
        yield Real(channel)


async def test_calls_at_the_edges_have_the_answers_that_the_emulator_gives(real: Real) -> None:
    """Each by its name: refusals too are answers that the adapter understands."""
    simulated = Simulated()
    for name, call in named_calls(f"truth-{time.time_ns()}"):
        told, shown = await real.answer(call), await simulated.answer(call)
        assert shown == told, name


@pytest.mark.parametrize("seed", [1])
async def test_random_calls_have_the_answers_that_the_emulator_gives(real: Real, seed: int) -> None:
    """What the simulation finds is worth as much as its store is like the real one."""
    simulated = Simulated()
    calls = RandomCalls(seed, f"truth-{seed}-{time.time_ns()}")
    for number in range(CALLS):
        call = calls.next()
        told, shown = await real.answer(call), await simulated.answer(call)
        assert shown == told, f"call {number}: {call.method} {call.request}"
