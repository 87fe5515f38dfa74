"""A replica is promoted that lacks the last second: users left in it, and others connected."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from holdfast.client import Client
from holdfast.domain.ids import ConversationId, UserId
from holdfast.domain.notifications import notification_id
from holdfast.drills.crowd import listening
from holdfast.drills.drill import Drill
from holdfast.drills.local.target import environment
from holdfast.drills.scenarios.limits import PROMOTED_SECONDS, WATCHED, check_steady, is_promoted, recover
from holdfast.drills.stage import LocalStage
from holdfast.launcher.waiting import TargetFailed, until

_USERS: Final = 10  # that leave in the last second, and as many that connect
_LAG_SECONDS: Final = 0.8  # Sentinels call a server that is silent for half a second down, which is no matter here
_CONNECTED_SECONDS: Final = 15.0
_OFFLINE_SECONDS: Final = 15.0  # a grace of 5 s, and a registration or two
_TOLD_SECONDS: Final = 10.0


async def _sentinel_lag(stage: LocalStage) -> None:
    """The replica is deaf in the second before the primary is killed: it holds who left in it, and not who came."""
    await check_steady(stage)
    writer = stage.stranger("writer")
    leaving, coming = ([stage.stranger(f"{what}-{n}") for n in range(_USERS)] for what in ("leaving", "coming"))
    conversation = await stage.open_conversation(writer, *leaving, *coming)
    async with contextlib.AsyncExitStack() as present, contextlib.AsyncExitStack() as leavers:
        for user in leaving:
            await leavers.enter_async_context(_connected(stage, user))
        async with stage.fault("sentinel-lag"):
            async with _unheard(stage, leaving):
                await leavers.aclose()
                clients = [await present.enter_async_context(_connected(stage, user)) for user in coming]
                for user in leaving:
                    await until(partial(stage.is_gone, user), _CONNECTED_SECONDS, "users who left are out of the registry")
            await stage.expect("promoted", PROMOTED_SECONDS, partial(is_promoted, stage))
        told = [await _say(stage, writer, conversation, "within the grace")]
        await recover(stage)
        await stage.expect("users who left are offline", _OFFLINE_SECONDS, partial(_are_offline, stage, leaving))
        told += [await _say(stage, writer, conversation, f"after the grace {n}") for n in range(2)]
        await stage.expect(
            "users who left are notified of each message",
            _TOLD_SECONDS,
            partial(_is_recorded, stage, conversation, told, leaving),
        )
        await stage.expect(
            "users who connected have each message",
            _TOLD_SECONDS,
            lambda: all(client.cursors.get(conversation, 0) >= told[-1] for client in clients),
        )
        await stage.pause(stage.seconds)
        stage.require("notifications of who came", await _recorded(stage, conversation, told, coming), 0)


@asynccontextmanager
async def _connected(stage: LocalStage, user: str) -> AsyncIterator[Client]:
    """The user is there, and Redis knows."""
    client = Client([stage.random.choice(stage.instances).url], stage.target.token(user), cursors={})
    async with listening(client):
        await until(partial(stage.is_connected, user), _CONNECTED_SECONDS, "the user is registered")
        yield client


@asynccontextmanager
async def _unheard(stage: LocalStage, leaving: Sequence[str]) -> AsyncIterator[None]:
    """Meanwhile nothing reaches the replica, for 0.8 s at least; at the end the primary is killed.

    Raises:
        TargetFailed: the replica does not hold what has ended meanwhile: the drill would prove nothing.
    """
    watched = stage.target.watched
    assert watched is not None  # noqa: S101 - by the layout of this drill
    began = asyncio.get_running_loop().time()
    await until(partial(_holds, stage, watched.replica.url, leaving), _CONNECTED_SECONDS, "the replica is in step")
    watched.replica.freeze()
    try:
        await stage.redis("CLIENT", "KILL", "TYPE", "replica", url=stage.target.redis.url)
        yield
        await stage.pause(max(0.0, began + _LAG_SECONDS - asyncio.get_running_loop().time()))
        stage.target.redis.kill()
    finally:
        watched.replica.thaw()
    if not await _holds(stage, watched.replica.url, leaving):
        raise TargetFailed("the replica already knew that users had left")


async def _are_offline(stage: LocalStage, users: Sequence[str]) -> bool:
    """What the service says of all of them."""
    return all(await asyncio.gather(*map(stage.is_offline, users)))


async def _holds(stage: LocalStage, url: str, users: Sequence[str]) -> bool:
    """Whether the server there has a connection of each."""
    return await stage.redis("EXISTS", *(f"connections:{user}" for user in users), url=url) == len(users)


async def _say(stage: LocalStage, writer: str, conversation: str, body: str) -> int:
    """The writer says something by REST; its seq."""
    message = {"client_message_id": f"k{stage.random.randrange(10**12)}", "body": body}
    path = f"/api/conversations/{conversation}/messages"
    return int((await stage.crowd.call(stage.target.token(writer), "POST", path, message))["seq"])


async def _is_recorded(stage: LocalStage, conversation: str, told: Sequence[int], users: Sequence[str]) -> bool:
    """Whether each of them has a record of each message."""
    return await _recorded(stage, conversation, told, users) == len(told) * len(users)


async def _recorded(stage: LocalStage, conversation: str, told: Sequence[int], users: Sequence[str]) -> int:
    """How many records these have of these messages."""
    members = 2 * _USERS + 1
    wanted = [notification_id(ConversationId(conversation), UserId(user), seq, members) for seq in told for user in users]
    with environment(stage.target.store_environ):
        store = stage.target.store()
        try:
            await store.open()
            return len(await store.recorded(wanted))
        finally:
            await store.close()


DRILLS = (
    Drill(
        "sentinel-lag",
        "F10: the replica that is promoted lacks the last second, in which users left and others connected",
        _sentinel_lag,
        layout=WATCHED,
    ),
)
