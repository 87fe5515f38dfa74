"""All instances according to Redis: those that hold a lease, their state, their number of connections."""

import time
from dataclasses import dataclass
from typing import Final

from rich.table import Table

from holdfast import settings
from holdfast.adapters.redis.link import RedisLink
from holdfast.adapters.redis.registry import LEASE_MS
from holdfast.bootstrap import redis_link

_MICROS: Final = 16  # digits of an epoch's beginning, the clock of its machine


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """One instance. `state`: as its health; `gone` when its lease is. `renewed_ms`: how long ago, None without a lease."""

    instance_id: str
    state: str
    connections: int
    is_registered: bool
    renewed_ms: int | None
    up_seconds: int | None
    epoch: str


@dataclass(frozen=True, slots=True)
class FleetStatus:
    """All of them. `unpublished`: marks of commits that are not published, or whose notifications are not decided yet."""

    instances: list[InstanceStatus]
    connections: int
    unpublished: int
    oldest_unpublished_ms: int


async def read(redis: settings.RedisSettings) -> FleetStatus:
    """The leases in Redis now.

    Raises: RedisUnavailable: Redis does not answer.
    """
    link = redis_link(redis, "holdfast-status")
    try:
        names = sorted(name.decode(errors="replace") for name in await link.call("SMEMBERS", "instances"))
        instances = [await _instance(link, name) for name in names]
        oldest = await link.call("ZRANGE", "dirty", 0, 0, "WITHSCORES")
        age = int(time.time() * 1000 - float(oldest[1])) if oldest else 0
        count = int(await link.call("ZCARD", "dirty"))
        return FleetStatus(instances, sum(each.connections for each in instances), count, max(0, age))
    finally:
        await link.close()


async def _instance(link: RedisLink, name: str) -> InstanceStatus:
    found: dict[bytes, bytes] = await link.call("HGETALL", f"instance:{name}")
    lease = {field.decode(errors="replace"): value.decode(errors="replace") for field, value in found.items()}
    if not lease:
        return InstanceStatus(name, "gone", 0, False, None, None, "")
    left_ms = int(await link.call("PTTL", f"instance:{name}"))
    epoch = lease.get("epoch", "")
    began = _number(epoch[:_MICROS]) / 1_000_000 or time.time()
    return InstanceStatus(
        instance_id=name,
        state=lease.get("state", ""),
        connections=_number(lease.get("connections", "0")),
        is_registered=lease.get("registered") == "1",
        renewed_ms=max(0, LEASE_MS - left_ms),
        up_seconds=max(0, int(time.time() - began)),
        epoch=epoch,
    )


def _number(text: str) -> int:
    """0 where another program wrote another value."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MICROS else 0


def table(fleet: FleetStatus) -> Table:
    """For people."""
    told = f"{len(fleet.instances)} instances, {fleet.connections} connections"
    if fleet.unpublished:
        told += f", {fleet.unpublished} marks of unfinished commits (the oldest {fleet.oldest_unpublished_ms / 1000:.1f} s)"
    shown = Table(title=told, title_justify="left", box=None, pad_edge=False)
    for column in ("instance", "state", "connections", "registered", "lease renewed", "since", "epoch"):
        shown.add_column(column, justify="right" if column in ("connections", "lease renewed", "since") else "left")
    for each in fleet.instances:
        is_well = each.state == "healthy" and each.is_registered
        shown.add_row(
            each.instance_id,
            each.state,
            str(each.connections),
            "yes" if each.is_registered else "no",
            "" if each.renewed_ms is None else f"{each.renewed_ms / 1000:.1f} s ago",
            "" if each.up_seconds is None else f"{each.up_seconds} s",
            each.epoch,
            style="" if is_well else "yellow",
        )
    return shown
