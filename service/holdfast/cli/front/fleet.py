"""The picture of the fleet asks the front here: how each part does now, and orders to break and mend parts."""

import asyncio
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, Protocol

from holdfast.cli.front import answers, forms
from holdfast.cli.front.head import Head

_STATE: Final = "/fleet/state"
_ORDERS: Final = "/fleet/orders"
PATHS: Final = (_STATE, _ORDERS)


class Order(StrEnum):
    """An order to a part; it does nothing where there is nothing to do."""

    KILL = "kill"
    STOP = "stop"
    FREEZE = "freeze"
    THAW = "thaw"
    START = "start"


class Fleet(Protocol):
    """The parts of the local cluster."""

    async def state(self) -> Mapping[str, Any]:
        """How all of them do now, as JSON takes it."""

    async def obey(self, part: str, order: Order) -> bool:
        """Carry out an order; False: there is no such part."""


async def answer(fleet: Fleet, head: Head, reader: asyncio.StreamReader) -> bytes:
    """The answer to a request for one of `PATHS`.

    Raises:
        HeadRefused: the form is none, or may come from a page of another site.
    """
    forms.check_host(head)
    if head.path == _STATE:
        if head.method != "GET":
            return answers.problem(405, "GET")
        return answers.json_answer(200, await fleet.state())
    part, text = await forms.fields(head, reader, "part", "order")
    try:
        order = Order(text)
    except ValueError:
        return answers.problem(400, f"order: one of {', '.join(Order)}")
    if not await fleet.obey(part, order):
        return answers.problem(404, "there is no such part")
    return answers.json_answer(200, await fleet.state())
