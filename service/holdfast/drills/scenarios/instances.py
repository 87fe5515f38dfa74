"""Instances that are killed, stopped, frozen and started again."""

import asyncio
from functools import partial

from holdfast.client import Client
from holdfast.drills.crowd import listening
from holdfast.drills.drill import Drill
from holdfast.drills.hindsight import last_words_are_heard, nobody_is_refused
from holdfast.drills.local.clock import missing_faketime, shifted
from holdfast.drills.local.doomed import LAST_WORDS
from holdfast.drills.stage import LocalStage
from holdfast.launcher.instance import LocalInstance
from holdfast.launcher.waiting import until

DOOMED = "holdfast.drills.local.doomed"
_DOOMED_SECONDS = 5.0
_SWEPT_SECONDS = 4.0  # twice what others may wait for the last words
_REAPED_SECONDS = 20.0
_ONLINE_SECONDS = 5.0
_EARLY_SECONDS = 0.5
_SKEWED_SECONDS = 10.0
_LATE_SECONDS = 10.0  # the grace, and as much again
_FREEZE_WHY = "a process frozen while it holds SQLite's write lock stops the others"


async def _pod_kill(stage: LocalStage) -> None:
    """SIGKILL, without a drain; a user leaves at the same moment and does not come back."""
    victim = stage.instances[0]
    async with stage.fault("pod-kill", victim.name):
        victim.kill()
        await stage.crowd.lose_one()
        await stage.pause(stage.seconds)
    await stage.expect("reaped", _REAPED_SECONDS, partial(stage.is_reaped, victim.name))
    await victim.start()


async def _three_in_a_row(stage: LocalStage) -> None:
    for victim in stage.instances[:3]:
        async with stage.fault("pod-kill", victim.name):
            victim.kill()
            await stage.pause(stage.seconds / 3)
        await victim.start()


async def _container_restart(stage: LocalStage) -> None:
    """Under the same name, at once: its predecessor's connections have no owner."""
    victim = stage.instances[0]
    async with stage.fault("container-restart", victim.name):
        victim.kill()
        await victim.start()
    await stage.pause(stage.seconds)
    await stage.expect("all connections registered", 10.0, stage.all_registered)


async def _pod_delete(stage: LocalStage) -> None:
    victim = stage.instances[0]
    async with stage.fault("pod-delete", victim.name):
        took = await victim.terminate()
    stage.require("ended within", took, 15.0, "s")
    stage.require("exit status", victim.exit_code or 0, 0)
    await stage.pause(stage.seconds)
    await victim.start()


async def _rolling_restart(stage: LocalStage) -> None:
    for instance in stage.instances:
        async with stage.fault("rolling-restart", instance.name):
            await instance.terminate()
            await instance.start()
        stage.require(f"{instance.name}: exit status", instance.exit_code or 0, 0)
        await stage.pause(1.0)
    await stage.expect("all connections registered", 10.0, stage.all_registered)


async def _freeze(stage: LocalStage) -> None:
    """Long enough to be taken for dead; when it wakes it must notice before it says anything."""
    victim = stage.instances[0]
    async with stage.fault("freeze", victim.name):
        victim.freeze()
        await stage.pause(stage.seconds)
        victim.thaw()
        await asyncio.sleep(0)
    await stage.expect("healthy after the thaw", 15.0, partial(stage.every, stage.instances, "healthy"))
    await stage.expect("all connections registered", 15.0, stage.all_registered)


async def _commit_kill(stage: LocalStage) -> None:
    """Its last message is in the store and was not published; its sender does not send it again."""
    victim = stage.instances[0]
    conversation, members = stage.stranger("quiet"), list(stage.crowd.clients)[:6]  # where no later message shows the gap
    async with stage.fault("restart", victim.name):
        await victim.terminate()
        await victim.start(DOOMED)
    await stage.crowd.open_conversation(conversation, members)
    await stage.pause(stage.seconds / 2)
    async with stage.fault("commit-kill", victim.name):
        async with stage.crowd.guest(members[0], [victim.url]) as client:
            await client.connected()
            sending = asyncio.create_task(client.send(conversation, LAST_WORDS))
            await until(lambda: not victim.is_running, _DOOMED_SECONDS, "the instance ends by its last words")
        await asyncio.gather(sending, return_exceptions=True)
    await stage.pause(max(_SWEPT_SECONDS, stage.seconds / 2))
    await victim.start()


async def _clock_skew(stage: LocalStage) -> None:
    """Only the restarts count as a failure: under a wrong clock all has to be as in calm. A right clock issues the tokens."""
    victim = stage.instances[0]
    for offset in ("+1h", "-1h"):
        async with stage.fault("restart", victim.name):
            await victim.terminate()
            await victim.start(environ=shifted(offset))
        await asyncio.gather(stage.crowd.talk_at(victim.url, stage.seconds / 2), _come_and_go(stage, victim, offset))
    async with stage.fault("restart", victim.name):
        await victim.terminate()
        await victim.start()
    await stage.expect("all connections registered", 10.0, stage.all_registered)


async def _come_and_go(stage: LocalStage, instance: LocalInstance, offset: str) -> None:
    """A user is online while connected there, and offline when the grace period is over."""
    user, loop = stage.stranger("passer-by"), asyncio.get_running_loop()
    async with listening(Client([instance.url], stage.target.token(user))) as client:
        await client.connected()
        await stage.expect(f"{offset}: REST takes a new token", _ONLINE_SECONDS, partial(_is_accepted, stage, instance, user))
        await stage.expect(f"{offset}: the condition tells", _SKEWED_SECONDS, partial(_is_skewed, instance))
        await stage.expect(f"{offset}: a user who connects is online", _ONLINE_SECONDS, partial(stage.is_online, user))
        leaving_at = loop.time()
    await stage.expect(f"{offset}: a user who leaves is offline", _LATE_SECONDS, partial(stage.is_offline, user))
    early = stage.target.grace_seconds - (loop.time() - leaving_at)
    stage.require(f"{offset}: how much too early", max(0.0, early), _EARLY_SECONDS, "s")


async def _is_accepted(stage: LocalStage, instance: LocalInstance, user: str) -> bool:
    """By a token that was issued this moment."""
    answer = await stage.crowd.calls.once(instance.url, stage.target.token(user), "GET", "/api/conversations")
    return answer is not None and answer.is_success


async def _is_skewed(instance: LocalInstance) -> bool:
    """Whether the instance says that its clock is wrong."""
    conditions = (await instance.health()).get("conditions", ())
    return any(each["type"] == "ClockSkewed" and each["status"] == "True" for each in conditions)


DRILLS = (
    Drill("pod-kill", "F1: an instance is killed", _pod_kill, linger_seconds=32.0, reconnect_p99=2.0),
    Drill("pod-kill-three", "F1: three instances are killed, one after the other", _three_in_a_row, seconds=9.0),
    Drill("container-restart", "F1: an instance is killed and starts again under its name", _container_restart),
    Drill("pod-delete", "F3: an instance is told to stop", _pod_delete, reconnect_p99=2.0),
    Drill("rolling-restart", "F3: all instances are replaced, one after the other", _rolling_restart, reconnect_p99=2.0),
    Drill("freeze-short", "F4: an instance stands still for 5 s", _freeze, ("firestore",), _FREEZE_WHY, seconds=5.0),
    Drill("freeze-long", "F4: an instance stands still for 20 s", _freeze, ("firestore",), _FREEZE_WHY, seconds=20.0),
    Drill(
        "commit-kill",
        "F2: an instance is killed between its commit and the publication",
        _commit_kill,
        looks_back=(last_words_are_heard,),
    ),
    Drill(
        "clock-skew",
        "F17: the wall clock of an instance is an hour ahead, then an hour behind",
        _clock_skew,
        seconds=20.0,
        settings={"HOLDFAST_LIMITS__SENDS_PER_SECOND": "50", "HOLDFAST_LIMITS__FRAMES_PER_SECOND": "100"},
        missing=missing_faketime,
        looks_back=(nobody_is_refused,),
    ),
)
