"""Instances that are killed, stopped, frozen and started again."""

import asyncio
from functools import partial

from holdfast.drills.drill import Drill
from holdfast.drills.stage import LocalStage

_REAPED_SECONDS = 20.0
_FREEZE_WHY = "a process frozen while it holds SQLite's write lock stops the others"


async def _pod_kill(stage: LocalStage) -> None:
    """Without a word; somebody leaves at the same moment and does not come back."""
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
    """Under the same name, at once: its predecessor's connections are nobody's."""
    victim = stage.instances[0]
    async with stage.fault("container-restart", victim.name):
        victim.kill()
        await victim.start()
    await stage.pause(stage.seconds)
    await stage.expect("everybody registered", 10.0, stage.all_registered)


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
    await stage.expect("everybody registered", 10.0, stage.all_registered)


async def _freeze(stage: LocalStage) -> None:
    """Long enough to be taken for dead; when it wakes it must notice before it says anything."""
    victim = stage.instances[0]
    async with stage.fault("freeze", victim.name):
        victim.freeze()
        await stage.pause(stage.seconds)
        victim.thaw()
        await asyncio.sleep(0)
    await stage.expect("healthy after the thaw", 15.0, partial(stage.every, stage.instances, "healthy"))
    await stage.expect("everybody registered", 15.0, stage.all_registered)


DRILLS = (
    Drill("pod-kill", "F1: an instance is killed", _pod_kill, linger_seconds=32.0, reconnect_p99=2.0),
    Drill("pod-kill-three", "F1: three instances are killed, one after the other", _three_in_a_row, seconds=9.0),
    Drill("container-restart", "F1: an instance is killed and starts again under its name", _container_restart),
    Drill("pod-delete", "F3: an instance is told to stop", _pod_delete, reconnect_p99=2.0),
    Drill("rolling-restart", "F3: all instances are replaced, one after the other", _rolling_restart, reconnect_p99=2.0),
    Drill("freeze-short", "F4: an instance stands still for 5 s", _freeze, ("firestore",), _FREEZE_WHY, seconds=5.0),
    Drill("freeze-long", "F4: an instance stands still for 20 s", _freeze, ("firestore",), _FREEZE_WHY, seconds=20.0),
)
