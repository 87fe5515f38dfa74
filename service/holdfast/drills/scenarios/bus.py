"""The bus delivers envelopes twice, late, out of order, and of kinds that this version does not know."""

import asyncio
import contextlib
import json
import random

from holdfast.drills.drill import Drill
from holdfast.drills.stage import LocalStage


async def _duplicates(stage: LocalStage) -> None:
    """Whatever was published is published again: shuffled, and old frames after new ones."""
    async with stage.fault("duplicates"):
        until = stage.history.now + stage.seconds
        while stage.history.now < until:
            for conversation in tuple(stage.crowd.conversations):
                for message in await _recent(stage, conversation):
                    await stage.redis("PUBLISH", f"conversation:{conversation}", message)
            await stage.pause(0.3)


async def _recent(stage: LocalStage, conversation: str) -> list[bytes]:
    """Envelopes made of what Redis holds for gap fill, in no order, some of them twice."""
    found = await stage.redis("ZRANGE", f"recent:{conversation}", 0, -1)
    if not isinstance(found, list) or not found:
        return []
    frames = [json.loads(each.partition(b" ")[2]) for each in found]  # behind its store's generation
    generation = await _generation(stage)
    envelopes = [
        json.dumps(
            {
                "v": 1,
                "kind": "messages",
                "c": conversation,
                "seq": frame["seq"],
                "generation": generation,
                "instance": "an-echo",
                "age_ms": 0,
                "messages": [frame],
            }
        ).encode()
        for frame in frames[-10:]
    ]
    chosen = envelopes + stage.random.sample(envelopes, len(envelopes) // 2)
    stage.random.shuffle(chosen)
    return chosen


async def _generation(stage: LocalStage) -> str:
    """The store's, without which nothing on the bus is believed: as an envelope of the instances says it."""
    return await stage.target.generation()


async def _versions(stage: LocalStage) -> None:
    """A newer version is running beside: unknown fields, unknown kinds, an unknown version of the envelope."""
    async with stage.fault("versions"):
        generation = await _generation(stage)
        until = stage.history.now + stage.seconds
        while stage.history.now < until:
            for conversation in tuple(stage.crowd.conversations):
                header = {"c": conversation, "seq": 1, "generation": generation, "colour": "blue"}
                for more in ({"v": 1, "kind": "invented"}, {"v": 9, "kind": "messages", "messages": "folded"}):
                    await stage.redis("PUBLISH", f"conversation:{conversation}", json.dumps(header | more).encode())
            await stage.pause(0.5)


async def _race(stage: LocalStage) -> None:
    """Clients reconnect while others speak: subscribe first, then read, or there is a hole."""
    until = stage.history.now + stage.seconds
    async with stage.fault("race"):
        while stage.history.now < until:
            for user in random.sample(list(stage.crowd.clients), min(5, len(stage.crowd.clients))):
                connection = stage.crowd.clients[user]._link.current  # noqa: SLF001 - as the network would, behind the client's back
                if connection is not None:
                    with contextlib.suppress(OSError):
                        connection.abort()
            await asyncio.sleep(stage.random.uniform(0.05, 0.3))


DRILLS = (
    Drill("duplicates", "F20: the bus delivers twice, out of order, and old frames", _duplicates),
    Drill("versions", "F22: another version speaks on the bus", _versions),
    Drill("race", "F24: clients reconnect while others speak", _race, seconds=10.0),
)
