"""Clients that go silent, freeze, flood or do not read, and the proxy in front of all of them."""

import asyncio
from functools import partial

from holdfast.client import Client
from holdfast.drills.crowd import listening
from holdfast.drills.drill import Drill
from holdfast.drills.hindsight import nobody_is_notified_inside_the_grace, others_are_not_slowed, reconnects_are_jittered
from holdfast.drills.local.chatting import ChatProcess
from holdfast.drills.local.proxy import Proxy
from holdfast.drills.local.target import Layout
from holdfast.drills.offenders import Deaf, Flooder, shout
from holdfast.drills.stage import LocalStage
from holdfast.launcher.waiting import until

_FREED_SECONDS = 25.0
_OFFLINE_SECONDS = 40.0
_CONNECTED_SECONDS = 15.0
_CUT_SECONDS = 20.0
_OUTAGE_SECONDS = 1.0  # well inside the grace, the clients' back-off included
_FLOODED_PER_SECOND = 300.0  # of 1,000: a burst of 200 at each instance, and 50 a second there
_LIMITS = {"HOLDFAST_LIMITS__SENDS_PER_SECOND": "50", "HOLDFAST_LIMITS__FRAMES_PER_SECOND": "100"}  # as they are by default


async def _silent_client(stage: LocalStage) -> None:
    """Packets are dropped both ways, and neither side is told."""
    user = stage.stranger("silent")
    async with Proxy(stage.instances[0].port) as network:
        client = Client([f"http://{network.address}"], stage.target.token(user))
        async with listening(client):
            await until(partial(stage.is_connected, user), _CONNECTED_SECONDS, "the client is connected")
            async with stage.fault("silent-client", user):
                network.stall()
                await _is_let_go(stage, user)
            await network.refuse()


async def _frozen_client(stage: LocalStage) -> None:
    """A whole client stands still: its kernel takes incoming data, and no process reads it."""
    user, host = stage.stranger("frozen"), stage.stranger("host")
    conversation = await stage.open_conversation(host, user)
    log_path = stage.target.directory / f"{user}.log"
    chat = ChatProcess(stage.instances[0].url, stage.target.token(user), conversation, log_path)
    try:
        chat.start()
        await until(chat.is_connected, _CONNECTED_SECONDS, "the client is connected")
        await until(partial(stage.is_connected, user), _CONNECTED_SECONDS, "the client is connected")
        async with stage.fault("frozen-client", user):
            chat.freeze()
            await _is_let_go(stage, user)
    finally:
        chat.close()


async def _is_let_go(stage: LocalStage, user: str) -> None:
    """Its connection is freed, and after the grace it is offline."""
    await asyncio.gather(
        stage.expect("freed", _FREED_SECONDS, partial(stage.is_gone, user)),
        stage.expect("offline", _OFFLINE_SECONDS, partial(stage.is_offline, user)),
    )


async def _front_restart(stage: LocalStage) -> None:
    """Everybody loses the connection in the same instant."""
    front = stage.target.front
    assert front is not None  # noqa: S101 - by the layout of this drill
    async with stage.fault("front-restart"):
        await front.refuse()
        await stage.pause(_OUTAGE_SECONDS)
        await front.listen()
    await stage.expect("all connections registered", 10.0, stage.all_registered)
    await stage.pause(stage.seconds)


async def _flood(stage: LocalStage) -> None:
    """One client sends twenty times the limit, another one never reads the messages of a loud conversation."""
    instance = stage.instances[0]
    flooder, loud, deaf = (stage.stranger(name) for name in ("flooder", "loud", "deaf"))
    flooded = await stage.open_conversation(flooder, loud)
    room = await stage.open_conversation(loud, deaf)
    offender = Flooder(instance.url, stage.target.token(flooder), flooded)
    async with Deaf(instance.url, stage.target.token(deaf)):
        await until(partial(stage.is_connected, deaf), _CONNECTED_SECONDS, "the client that will not read is connected")
        speaking = Client([instance.url], stage.target.token(loud), cursors={})
        async with listening(speaking), stage.fault("flood", instance.name):
            tasks = [asyncio.create_task(offender.run()), asyncio.create_task(shout(speaking, room))]
            try:
                await stage.expect("the client that does not read is disconnected", _CUT_SECONDS, partial(stage.is_gone, deaf))
                await stage.pause(stage.seconds)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
    stage.require("accepted sends of the flooding user, a second", offender.accepted_per_second, _FLOODED_PER_SECOND)


DRILLS = (
    Drill("silent-client", "F18: a client's packets are dropped", _silent_client, looks_back=(others_are_not_slowed,)),
    Drill("frozen-client", "F18: a client stands still", _frozen_client, looks_back=(others_are_not_slowed,)),
    Drill(
        "front-restart",
        "F19: the proxy in front of all instances restarts",
        _front_restart,
        layout=Layout(has_front=True),
        looks_back=(reconnects_are_jittered, nobody_is_notified_inside_the_grace),
    ),
    Drill(
        "flood",
        "F21: one user floods, one does not read, one conversation is hot",
        _flood,
        seconds=10.0,
        settings=_LIMITS,
        looks_back=(others_are_not_slowed,),
    ),
)
