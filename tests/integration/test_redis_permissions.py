"""A Redis that refuses this instance's password or some of its rights: a start ends, a running instance says so and goes on."""

import json
import time
from datetime import datetime
from functools import partial
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from support.eventually import eventually
from support.instances import Instances, Serving
from support.redis_server import RedisServer


async def _health(serving: Serving) -> str:
    try:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{serving.internal_url}/api/health", timeout=2)).text
    except httpx.HTTPError:
        return ""


async def _conditions(serving: Serving) -> dict[str, str]:
    health = await _health(serving)
    return {each["type"]: each["message"] for each in json.loads(health)["conditions"]} if health else {}


async def _start(instances: Instances, name: str, url: str, **environ: str) -> Serving:
    serving = Serving(name, instances.environ | {"HOLDFAST_REDIS__URL": url} | environ, instances.directory)
    instances.all.append(serving)
    serving.launch()
    return serving


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


@pytest.mark.parametrize("password", ["wrong", ""])
async def test_a_wrong_password_at_the_start_ends_it_with_one_line(
    sqlite_instances: Instances, redis7: RedisServer, operator: "Redis", password: str
) -> None:
    """A rollout with a wrong Secret stops at its first pod, and the pod's log says which setting to mend."""
    await operator.config_set("requirepass", "right")
    environ = {"HOLDFAST_REDIS__PASSWORD": password} if password else {}
    serving = await _start(sqlite_instances, "instance-1", redis7.url, **environ)
    await eventually(partial(_has_ended, serving), within=40)
    last = serving.log().splitlines()[-1]
    assert last.startswith("holdfast: Redis denies the user or password (HOLDFAST_REDIS__URL, HOLDFAST_REDIS__PASSWORD)")
    assert "wrong" not in serving.log().replace("wrongpass", "")
    sqlite_instances.assert_quiet()


RIGHTS = [
    (
        ("~*", "+@all", "resetchannels"),
        "Redis denies its user the channels, which instances meet on (ACL rule &*)",
        "BusLive",
    ),
    (("~other:*", "+@all", "&*"), "Redis denies its user keys that instances need (ACL rule ~*)", "RedisConnected"),
    (("~*", "+@all", "-evalsha", "-eval", "&*"), "Redis denies its user a command that instances need", "RedisConnected"),
]


@pytest.mark.parametrize(("rules", "says"), [(rules, says) for rules, says, _ in RIGHTS])
async def test_a_missing_right_at_the_start_ends_it_with_one_line(
    sqlite_instances: Instances, redis7: RedisServer, operator: "Redis", rules: tuple[str, ...], says: str
) -> None:
    """Redis 6 and later give a new user no channels: everything else works, and messages between instances take seconds."""
    await operator.execute_command("ACL", "SETUSER", "chat", "on", ">pass", *rules)
    serving = await _start(sqlite_instances, "instance-1", redis7.url.replace("redis://", "redis://chat:pass@"))
    await eventually(partial(_has_ended, serving), within=40)
    assert serving.log().splitlines()[-1].startswith(f"holdfast: {says}")


@pytest.mark.parametrize(("rules", "says", "condition"), RIGHTS)
async def test_right_that_a_running_instance_loses_is_named_and_ends_nothing(
    sqlite_instances: Instances, redis7: RedisServer, operator: "Redis", rules: tuple[str, ...], says: str, condition: str
) -> None:
    """An instance that serves goes on without Redis; it is healthy when the right is given back."""
    await operator.execute_command("ACL", "SETUSER", "chat", "on", ">pass", "~*", "+@all", "&*")
    serving = await _start(sqlite_instances, "instance-1", redis7.url.replace("redis://", "redis://chat:pass@"))
    await eventually(partial(_is_beyond_its_start, serving), within=40)
    await operator.execute_command("ACL", "SETUSER", "chat", "resetkeys", *rules)

    async def is_said() -> bool:
        return says in (await _conditions(serving)).get(condition, "")

    await eventually(is_said, within=20)
    assert says in json.loads(await _health(serving))["services"]["redis"]["error"]
    assert says in serving.log()
    await operator.execute_command("ACL", "SETUSER", "chat", "~*", "+@all", "&*")
    await eventually(partial(_is_healthy, serving), within=20)


async def _start_before_a_rotation(instances: Instances, redis7: RedisServer, operator: "Redis") -> Serving:
    """An instance that has served with the first password; Redis wants the second one now, also of connections that it had."""
    await operator.config_set("requirepass", "first")
    serving = await _start(instances, "instance-1", redis7.url, HOLDFAST_REDIS__PASSWORD="first")
    await eventually(partial(_is_beyond_its_start, serving), within=40)
    await operator.config_set("requirepass", "second")
    for each in await operator.client_list():
        if each["name"].startswith("holdfast"):
            await operator.client_kill_filter(_id=each["id"])
    return serving


async def test_password_that_is_renewed_ends_no_running_instance(
    sqlite_instances: Instances, redis7: RedisServer, operator: "Redis"
) -> None:
    """A rotation must not end all instances at once; they serve without Redis until they are given the new password."""
    serving = await _start_before_a_rotation(sqlite_instances, redis7, operator)

    async def is_said() -> bool:
        return "Redis denies the user or password" in (await _conditions(serving)).get("RedisConnected", "")

    await eventually(is_said, within=20)
    assert serving.is_running
    assert await serving.is_ready()
    await operator.config_set("requirepass", "first")
    await eventually(partial(_is_healthy, serving), within=20)


async def test_instance_starts_while_redis_denies_all(
    sqlite_instances: Instances, redis7: RedisServer, operator: "Redis"
) -> None:
    """After a rotation that went wrong, a pod that is replaced must serve as the others do, not restart for ever."""
    serving = await _start_before_a_rotation(sqlite_instances, redis7, operator)

    async def is_cut() -> bool:
        return bool((await _conditions(serving)).get("RedisConnected"))

    await eventually(is_cut, within=20)
    replaced = await _start(sqlite_instances, "instance-2", redis7.url, HOLDFAST_REDIS__PASSWORD="first")
    await eventually(replaced.is_ready, within=40)
    assert "Redis denies the user or password" in (await _conditions(replaced))["RedisConnected"]


async def test_a_renewed_password_file_is_used_for_the_next_connection(
    sqlite_instances: Instances, redis7: RedisServer, operator: "Redis", tmp_path: Path
) -> None:
    """Tokens of ElastiCache live for 15 minutes, its connections for 12 hours: the token of the start serves no second one."""
    file = tmp_path / "token"
    file.write_text("first")
    await operator.config_set("requirepass", "first")
    serving = await _start(sqlite_instances, "instance-1", redis7.url, HOLDFAST_REDIS__PASSWORD_FILE=str(file))

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
