"""A Redis that refuses this instance's password or some of its rights: a start ends, a running instance says so and goes on."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Collection, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from support.eventually import eventually
from support.instances import Instances, Serving
from support.redis_server import SYSTEM, RedisServer, require_binary

ALL_RIGHTS = ("~*", "+@all", "&*")
NO_CHANNELS = ("~*", "+@all", "resetchannels")
NO_KEYS = ("~other:*", "+@all", "&*")
NO_SCRIPTS = ("~*", "+@all", "-evalsha", "-eval", "&*")
CHANNELS_DENIED = "Redis denies its user the channels, which instances meet on (ACL rule &*)"
KEYS_DENIED = "Redis denies its user keys that instances need (ACL rule ~*)"
COMMAND_DENIED = "Redis denies its user a command that instances need"
PASSWORD_DENIED = "Redis denies the user or password"


class Scene:
    """A Redis with the password `first` and the user `chat`, a store, and instances that share nothing with other scenes."""

    def __init__(self, directory: Path, rights: tuple[str, ...] = ALL_RIGHTS) -> None:
        """Starts nothing yet. `rights`: those of `chat`."""
        directory.mkdir()
        user = ("--user", "chat", "on", ">pass", *rights)
        self.redis = RedisServer(require_binary(SYSTEM), "--requirepass", "first", *user)
        self.instances = Instances(directory, self.redis.url, f"sqlite:///{directory}/holdfast.db")

    @property
    def url_of_chat(self) -> str:
        """Of Redis, for the user `chat`."""
        return self.redis.url.replace("redis://", "redis://chat:pass@")

    def launch(self, name: str, url: str | None = None, **environ: str) -> Serving:
        """Run an instance; returns at once."""
        variables = self.instances.environ | {"HOLDFAST_REDIS__URL": url or self.redis.url} | environ
        serving = Serving(name, variables, self.instances.directory)
        self.instances.all.append(serving)
        serving.launch()
        return serving

    @contextlib.asynccontextmanager
    async def operator(self) -> AsyncIterator["Redis"]:
        """What an operator with `redis-cli` sees; its connection outlives a change of the password."""
        client = Redis(port=self.redis.port, password="first", decode_responses=True, socket_timeout=None)
        try:
            yield client
        finally:
            await client.aclose()

    def close(self) -> None:
        """End everything."""
        try:
            self.instances.close()
        finally:
            self.redis.close()


def _close_all(scenes: Collection[Scene]) -> None:
    """Whatever happens to one of them, all are closed; no instance may have logged a traceback."""
    with contextlib.ExitStack() as stack:
        for scene in scenes:
            stack.callback(scene.instances.assert_quiet)
        for scene in scenes:
            stack.callback(scene.close)  # they are called in reverse: all are closed, then all are looked at


async def _health(serving: Serving) -> str:
    try:
        async with httpx.AsyncClient(verify=False) as client:
            return (await client.get(f"{serving.internal_url}/api/health", timeout=2)).text
    except httpx.HTTPError:
        return ""


async def _conditions(serving: Serving) -> dict[str, str]:
    health = await _health(serving)
    return {each["type"]: each["message"] for each in json.loads(health)["conditions"]} if health else {}


async def _says(serving: Serving, condition: str, text: str) -> bool:
    return text in (await _conditions(serving)).get(condition, "")


async def _is_healthy(serving: Serving) -> bool:
    return '"healthy"' in await _health(serving)


async def _is_beyond_its_start(serving: Serving) -> bool:
    """Healthy, and older than the time in which a denial ends it."""
    health = json.loads(await _health(serving) or "{}")
    if health.get("status") != "healthy":
        return False
    return time.time() - datetime.fromisoformat(health["started_at"]).timestamp() > 11


async def _has_ended(serving: Serving) -> bool:
    return serving.exit_code == 2


async def test_wrong_password_or_missing_right_at_the_start_ends_it_with_one_line(tmp_path: Path) -> None:
    """A rollout with a wrong Secret stops at its first pod, and the pod's log says which setting to mend.

    Redis 6 and later give a new user no channels: everything else works, and messages between instances take seconds. Each start
    asks for seconds whether other instances are denied, too: so all begin at the same time, each in a scene of its own.
    """
    scenes: dict[str, Scene] = {}
    expected: dict[Serving, str] = {}
    try:
        for name, environ in (("wrong", {"HOLDFAST_REDIS__PASSWORD": "wrong"}), ("none", {})):
            scenes[name] = Scene(tmp_path / name)
            await scenes[name].redis.start()
            serving = scenes[name].launch("instance-1", **environ)
            expected[serving] = f"{PASSWORD_DENIED} (HOLDFAST_REDIS__URL, HOLDFAST_REDIS__PASSWORD)"
        for name, rights, says in (
            ("channels", NO_CHANNELS, CHANNELS_DENIED),
            ("keys", NO_KEYS, KEYS_DENIED),
            ("scripts", NO_SCRIPTS, COMMAND_DENIED),
        ):
            scenes[name] = Scene(tmp_path / name, rights)
            await scenes[name].redis.start()
            expected[scenes[name].launch("instance-1", scenes[name].url_of_chat)] = says
        for serving, says in expected.items():
            await eventually(partial(_has_ended, serving), within=40)
            assert serving.log().splitlines()[-1].startswith(f"holdfast: {says}")
            assert "wrong" not in serving.log().replace("wrongpass", "")
    finally:
        _close_all(scenes.values())


RIGHTS = {
    "channels": (NO_CHANNELS, CHANNELS_DENIED, "BusLive"),
    "keys": (NO_KEYS, KEYS_DENIED, "RedisConnected"),
    "scripts": (NO_SCRIPTS, COMMAND_DENIED, "RedisConnected"),
}
"""The right that a user of Redis loses -> its rights then, the words of the instance, and the condition that has them."""


async def _start_all(scenes: dict[str, Scene]) -> None:
    for name, scene in scenes.items():
        await scene.redis.start()
        if name in RIGHTS:
            scene.launch("instance-1", scene.url_of_chat)
        else:
            scene.launch("instance-1", HOLDFAST_REDIS__PASSWORD="first")
    for scene in scenes.values():
        await eventually(partial(_is_beyond_its_start, scene.instances.all[0]), within=40)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Scene]]:
    """One for each right and one for the password, with an instance that has served for longer than a denial may end it.

    They begin at the same time, since each has to wait. Each test leaves its own with the rights and the password of before.
    """
    directory = tmp_path_factory.mktemp("scenes")
    found = {name: Scene(directory / name) for name in (*RIGHTS, "password")}
    try:
        asyncio.run(_start_all(found))
        yield found
    finally:
        _close_all(found.values())


@pytest.fixture
def lasting(scenes: dict[str, Scene]) -> Iterator[dict[str, Scene]]:
    """The scenes; none of their instances may have logged a traceback in this test."""
    yield scenes
    for scene in scenes.values():
        scene.instances.assert_quiet()


@pytest.mark.parametrize("right", RIGHTS)
async def test_right_that_a_running_instance_loses_is_named_and_ends_nothing(lasting: dict[str, Scene], right: str) -> None:
    """An instance that serves goes on without Redis; it is healthy when the right is given back."""
    rights, says, condition = RIGHTS[right]
    serving = lasting[right].instances.all[0]
    async with lasting[right].operator() as operator:
        await operator.execute_command("ACL", "SETUSER", "chat", "resetkeys", *rights)
        await eventually(partial(_says, serving, condition, says), within=20)
        assert says in json.loads(await _health(serving))["services"]["redis"]["error"]
        assert says in serving.log()
        await operator.execute_command("ACL", "SETUSER", "chat", *ALL_RIGHTS)
        await eventually(partial(_is_healthy, serving), within=20)


@pytest.fixture
async def rotated(lasting: dict[str, Scene]) -> AsyncIterator[tuple[Serving, "Redis"]]:
    """An instance that has served with the first password, and the operator of its Redis.

    Redis wants the second password now, also of connections that it had.
    """
    serving = lasting["password"].instances.all[0]
    async with lasting["password"].operator() as operator:
        try:
            await operator.config_set("requirepass", "second")
            for each in await operator.client_list():
                if each["name"].startswith("holdfast"):
                    await operator.client_kill_filter(_id=each["id"])
            yield serving, operator
        finally:
            await operator.config_set("requirepass", "first")
            await eventually(partial(_is_healthy, serving), within=20)


async def test_password_that_is_renewed_ends_no_running_instance(rotated: tuple[Serving, "Redis"]) -> None:
    """A rotation must not end all instances at once; they serve without Redis until they are given the new password."""
    serving, operator = rotated
    await eventually(partial(_says, serving, "RedisConnected", PASSWORD_DENIED), within=20)
    assert serving.is_running
    assert await serving.is_ready()
    await operator.config_set("requirepass", "first")
    await eventually(partial(_is_healthy, serving), within=20)


async def test_instance_starts_while_redis_denies_all(lasting: dict[str, Scene], rotated: tuple[Serving, "Redis"]) -> None:
    """After a rotation that went wrong, a pod that is replaced must serve as the others do, not restart for ever."""
    serving, _ = rotated

    async def is_cut() -> bool:
        return bool((await _conditions(serving)).get("RedisConnected"))

    await eventually(is_cut, within=20)
    replaced = lasting["password"].launch("instance-2", HOLDFAST_REDIS__PASSWORD="first")
    try:
        await eventually(replaced.is_ready, within=40)
        assert PASSWORD_DENIED in (await _conditions(replaced))["RedisConnected"]
    finally:
        replaced.stop()


async def test_a_renewed_password_file_is_used_for_the_next_connection(tmp_path: Path) -> None:
    """Tokens of ElastiCache live for 15 minutes, its connections for 12 hours: the token of the start serves no second one."""
    file = tmp_path / "token"
    file.write_text("first")
    scene = Scene(tmp_path / "scene")
    try:
        await scene.redis.start()
        serving = scene.launch("instance-1", HOLDFAST_REDIS__PASSWORD_FILE=str(file))
        async with scene.operator() as operator:
            await _renew(serving, operator, file)
    finally:
        _close_all([scene])


async def _renew(serving: Serving, operator: "Redis", file: Path) -> None:
    async def is_live() -> bool:
        conditions = json.loads(await _health(serving) or "{}").get("conditions", ())
        return {"RedisConnected", "BusLive"} <= {each["type"] for each in conditions if each["status"] == "True"}

    await eventually(is_live, within=20)
    known = {each["id"] for each in await operator.client_list() if each["name"].startswith("holdfast")}
    await operator.config_set("requirepass", "second")
    file.write_text("second")
    for each in known:
        await operator.client_kill_filter(_id=each)

    async def is_live_again() -> bool:
        now = {each["id"] for each in await operator.client_list() if each["name"].startswith("holdfast")}
        return bool(now) and not now & known and await is_live()

    assert known
    await eventually(is_live_again, within=20)
