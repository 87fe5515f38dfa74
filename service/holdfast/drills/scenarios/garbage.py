"""Values that no instance wrote, in every kind of key and on every kind of channel of Redis."""

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Final

import httpx

from holdfast.drills.drill import Drill
from holdfast.drills.hindsight import last_words_are_heard
from holdfast.drills.local.doomed import LAST_WORDS
from holdfast.drills.scenarios.instances import DOOMED
from holdfast.drills.stage import LocalStage
from holdfast.launcher.instance import LocalInstance
from holdfast.launcher.waiting import until

_HEALTHY_SECONDS: Final = 15.0
_REAPED_SECONDS: Final = 25.0  # lease 12 s, silence 6 s, two looks of 1.5 s; the rest is what a store of a laptop takes
_REMOVED_SECONDS: Final = 10.0
_DOOMED_SECONDS: Final = 5.0
_ROUNDS: Final = 3
_UNREADABLE: Final = b"\xff"
_HOSTILE: Final = (
    _UNREADABLE,
    b"",
    b"\x00",
    b"NaN",
    b"-1",
    b"1e309",
    b"9" * 400,
    b"[]",
    b"[" * 500,
    b"x" * 100_000,
    "\ud800".encode("utf-8", "surrogatepass"),
    b'{"instance_id":5,"epoch":null}',
    b'{"instance_id":"\\ud800","epoch":"1"}',
)

Command = tuple[str | bytes | int, ...]


async def _garbage(stage: LocalStage) -> None:
    """Then one instance dies between a commit and its publication: it is reaped, and what it left undone is done."""
    victim = stage.instances[0]
    async with stage.fault("restart", victim.name):
        await victim.terminate()
        await victim.start(DOOMED)
    members = list(stage.crowd.clients)[:6]
    conversation = stage.stranger("quiet")
    await stage.crowd.open_conversation(conversation, members)
    async with stage.fault("garbage"):
        for number in range(_ROUNDS):
            stage.say(f"round {number + 1}: hostile values")
            for command in _commands(stage, conversation, members):
                await stage.redis(*command)
            await stage.pause(stage.seconds / _ROUNDS)
    await stage.expect("healthy", _HEALTHY_SECONDS, partial(stage.every, stage.instances, "healthy"))
    await stage.expect("removed", _REMOVED_SECONDS, partial(_is_clean, stage))
    async with stage.fault("commit-kill", victim.name):
        async with stage.crowd.guest(members[0], [victim.url]) as client:
            await client.connected()
            sending = asyncio.create_task(client.send(conversation, LAST_WORDS))
            await until(lambda: not victim.is_running, _DOOMED_SECONDS, "the instance ends by its last words")
        await asyncio.gather(sending, return_exceptions=True)
        await stage.expect("reaped", _REAPED_SECONDS, partial(stage.is_reaped, victim.name))
    living = [instance for instance in stage.instances if instance is not victim]
    failures = [await _failures(instance) for instance in living]
    stage.require("mistakes in background loops", sum(failures), 0)
    await stage.expect("healthy afterwards", _HEALTHY_SECONDS, partial(stage.every, living, "healthy"))
    await victim.start()


def _commands(stage: LocalStage, conversation: str, members: list[str]) -> Iterator[Command]:
    """Hostile values for every kind of key, and a wrong type where nothing is lost by it that instances do not rebuild."""
    names = [instance.name for instance in stage.instances]
    for value in _HOSTILE:
        yield "ZADD", "dirty", 0, value + _UNREADABLE
        yield "SADD", "instances", value + _UNREADABLE
        yield "SET", f"fate:{stage.random.choice(names)}", value
        yield "SET", "registry:era", value
        yield "HSET", f"connections:{members[0]}", _UNREADABLE + value[:20], value
        yield "SADD", f"subscriptions:{stage.random.choice(names)}", value + _UNREADABLE
        for field in ("seq", "revision", "members"):
            yield "HSET", f"head:{conversation}", field, value
        yield "HSET", f"member:{members[1]}", conversation, value
        yield "HSET", f"member:{members[1]}", ".filling", value
        yield "ZADD", f"recent:{conversation}", "+inf", value
        yield "HSET", f"instance:{names[-1]}", "connections", value
    for value in (*_HOSTILE, *_envelopes(conversation)):
        for channel in (f"conversation:{conversation}", f"user:{members[0]}", *(f"control:{name}" for name in names)):
            yield "PUBLISH", channel, value
    yield "HSET", f"instance:{names[-1]}", "epoch", _UNREADABLE
    yield "SET", "registry:world", _UNREADABLE
    of_conversation = (f"head:{conversation}", f"recent:{conversation}", f"member:{members[2]}")
    of_instances = (f"fate:{names[0]}", f"instance:{names[-1]}")
    for key in ("dirty", "instances", "registry:era", *of_conversation, *of_instances):
        yield "DEL", key
        yield "RPUSH", key, "x"


def _envelopes(conversation: str) -> Iterator[bytes]:
    """JSON of the right beginning."""
    head = b'{"v":1,"c":"' + conversation.encode() + b'","generation":"none","seq":'
    for kind in (b"messages", b"receipt", b"typing", b"presence", b"conversation", b"revoked", b"echo"):
        for seq in (b"1", b"-1", b"1e400", b"null", b"9" * 300, b"NaN"):
            yield head + seq + b',"kind":"' + kind + b'"}'
            yield (
                head
                + seq
                + b',"kind":"'
                + kind
                + b'","messages":[{}],"age_ms":'
                + b"9" * 300
                + b',"instance":5,"user":[],"online":2}'
            )


async def _is_clean(stage: LocalStage) -> bool:
    """Whether the unreadable members are out of what every instance works off."""
    found = await asyncio.gather(stage.redis("ZRANGE", "dirty", 0, -1), stage.redis("SMEMBERS", "instances"))
    return not any(_UNREADABLE in member for each in found if isinstance(each, list | set) for member in each)


async def _failures(instance: LocalInstance) -> float:
    """As the instance counts them, all loops together."""
    async with httpx.AsyncClient(trust_env=False) as client:
        lines = (await client.get(f"{instance.internal_url}/metrics", timeout=10)).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("holdfast_loop_failures_total{"))


DRILLS = (
    Drill(
        "garbage",
        "values that no instance wrote stand in every kind of key of Redis, and come on every channel",
        _garbage,
        seconds=9.0,
        looks_back=(last_words_are_heard,),
    ),
)
