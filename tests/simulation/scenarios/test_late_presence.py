"""A notice of presence that was held up on its way: the user has come back since, and some instances never heard of it."""

import asyncio
from pathlib import Path
from typing import Final

from simulation.process import Process
from simulation.scenarios.scene import Scene, play

_GRACE_SECONDS: Final = 3.0
_CUT_SECONDS: Final = 20.0  # a grace, a return, and more than the checker takes for late


def test_notice_that_waited_out_a_partition_does_not_show_a_returned_user_as_offline(tmp_path: Path) -> None:
    """Its instance was cut off from Redis; another one began to follow the conversation after the return was told."""

    cuts: list[Process] = []

    async def work(scene: Scene) -> None:
        def cut_off(process: Process) -> None:
            """Between the write and its notice, which waits in the socket until the partition ends."""
            cuts.append(process)
            scene.loop.network.cut("i1", "r1")

        await scene.connect("u1", "i2", {})
        bob = await scene.connect("u2", "i1", {})
        await scene.create("c0", "u1", "u2", at="i2")
        await asyncio.sleep(1.0)  # virtual time, here and below: the conversation is known everywhere
        scene.say(bob, "c0", "accepted")
        await asyncio.sleep(1.0)
        scene.cluster.store.aim("i1", cut_off, moment="answered", operations=("remove_presence",))
        with scene.history.fault("cut", "i1"):
            await scene.leave(bob)
            await asyncio.sleep(2 * _GRACE_SECONDS)
            bob.start(1)
            await asyncio.sleep(1.0)
            await scene.connect("u1", "i3", {})
            await asyncio.sleep(_CUT_SECONDS)
            scene.loop.network.heal()
        await asyncio.sleep(10.0)

    assert play(work, tmp_path, grace_seconds=_GRACE_SECONDS) == []
    assert cuts, "the write was never answered: nothing was cut off"
