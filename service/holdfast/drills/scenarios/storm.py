"""Everybody comes back at once, to instances and a Redis that are well: whatever is slow then is no failure of Redis."""

import re
from dataclasses import dataclass
from typing import Final

import httpx

from holdfast.drills.drill import Drill
from holdfast.drills.local.target import Layout
from holdfast.drills.stage import LocalStage
from holdfast.drills.storm import Storm
from holdfast.launcher.instance import LocalInstance
from holdfast.launcher.open_files import make_room_for
from holdfast.launcher.waiting import TargetFailed

_STORMS: Final = 3
_CLIENTS_PER_SECOND: Final = 500  # of the drill's seconds: 3,000 unless the command line says otherwise
_MOST_CLIENTS: Final = 3_000
_REST_SECONDS: Final = 2.0
_BACK_SECONDS: Final = 60.0  # of so many on two cores that everything shares; it is no measure of speed
_FREE_LINES: Final = 5  # of a log, whatever happens: the drill is short
_NOTIFICATION: Final = b"offline notification"  # where no webhook is configured, each is a line: of messages, not of the storm
_DEGRADED: Final = re.compile(r'^holdfast_health_transitions_total\{state="degraded"\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Record:
    """What an instance says of itself. `degraded`: how often it was; `epoch`: of its run; `lines`: of its log."""

    degraded: float
    epoch: str
    lines: int


async def _record_of(instance: LocalInstance) -> _Record:
    async with httpx.AsyncClient(trust_env=False) as client:
        metrics = (await client.get(f"{instance.internal_url}/metrics", timeout=10)).text
    found, epoch = _DEGRADED.search(metrics), (await instance.health()).get("epoch")
    if not isinstance(epoch, str):
        raise TargetFailed(f"{instance.name} does not say how it is")
    lines = sum(_NOTIFICATION not in line for line in instance.log_path.read_bytes().splitlines())
    return _Record(float(found[1]) if found else 0.0, epoch, lines)


async def _storm(stage: LocalStage) -> None:
    """Three times; each time something is said while all are away, and while they come back."""
    count = min(_MOST_CLIENTS, round(_CLIENTS_PER_SECOND * stage.seconds))
    if problem := make_room_for(count + len(stage.crowd.clients)):
        raise TargetFailed(problem)
    storm = Storm(stage.stranger("storm"), count, stage.target.urls, stage.target.token, stage.crowd.call)
    stage.say(f"{count} more clients connect")
    try:
        await storm.gather()
        await stage.pause(_REST_SECONDS)
        before, began = [await _record_of(instance) for instance in stage.instances], stage.history.now
        async with stage.fault("storm"):
            for number in range(1, _STORMS + 1):
                stage.say(f"storm {number}")
                storm.drop()
                await storm.say()
                took = await storm.come_back()
                stage.require(f"storm {number}: all clients are back", took, _BACK_SECONDS, "s")
                await storm.say()
                await stage.pause(_REST_SECONDS)
        stage.require("messages not shown", await storm.missing(), 0)
        stage.require("messages shown twice, or not in order", storm.broken, 0)
        seconds = stage.history.now - began
        for instance, then in zip(stage.instances, before, strict=True):
            now = await _record_of(instance)
            stage.require(f"{instance.name}: times degraded", now.degraded - then.degraded, 0)
            stage.require(f"{instance.name}: runs ended", now.epoch != then.epoch, 0)
            stage.require(f"{instance.name}: lines logged", now.lines - then.lines, _FREE_LINES + round(seconds))
    finally:
        storm.close()


_WHY = "each query of the emulator copies the names of all its documents: with so many users it is the bottleneck"

DRILLS = (
    Drill(
        "storm",
        "3,000 clients come back at once, to a Redis that is well",
        _storm,
        ("sqlite",),
        _WHY,
        layout=Layout(is_direct=True),
    ),
)
