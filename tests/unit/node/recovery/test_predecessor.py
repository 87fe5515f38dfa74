"""An earlier start of our own name: what it left is taken out, and not forgotten when we are killed meanwhile."""

import asyncio
from typing import Any

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import Epoch, InstanceId, UserId
from holdfast.node.recovery.predecessor import reap_predecessor
from support.fakes import FakeStore
from support.virtual_time import in_virtual_time, passed

ONE, BEN = InstanceId("one"), UserId("ben")


class _Presence:
    """Notes what it is told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def inherit(self, entries: dict[str, int], left: dict[UserId, int]) -> None:
        self.told.append(("inherit", entries, left))

    async def reap(self, entry: str, alive_at_ms: int, left: dict[UserId, int]) -> None:
        self.told.append(("reap", entry, alive_at_ms, left))

    def settle(self) -> None:
        self.told.append(("settle",))


@in_virtual_time
async def test_it_is_inherited_before_our_bulletin_replaces_its_and_settled_after_the_grace() -> None:
    """Its own epoch, and those that it had inherited itself: a kill within seconds of a start forgets no user."""
    store, presence = FakeStore(), _Presence()
    earlier = {"one:1": 700, "one:0": 0}
    store.bulletins["one"] = Bulletin(ONE, Epoch("2"), 3, "ok", left={BEN: 650}, earlier=earlier, written_at_ms=900)
    entries = {"one:2": 900, "one:1": 700, "one:0": 900}
    on_read = lambda _: presence.told.append(("read",))  # noqa: E731 - as short as that
    reaping = asyncio.create_task(reap_predecessor(store, presence, ONE, 5.0, on_read))  # type: ignore[arg-type]  # the parts it uses
    await passed(4)
    assert presence.told == [("inherit", entries, {BEN: 650}), ("read",)]
    await reaping
    assert presence.told[2:] == [*(("reap", entry, ms, {BEN: 650}) for entry, ms in entries.items()), ("settle",)]
