"""A Redis that knows this instance's user, and not its password or not all of its rights: said in health and in the log."""

import json
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
    return await serving.start(until_ready=False)


@pytest.mark.parametrize(
    ("password", "says"),
    [
        ("wrong", "Redis denies the user or password (HOLDFAST_REDIS__URL, HOLDFAST_REDIS__PASSWORD)"),
        ("", "Redis denies the user or password"),
    ],
)
async def test_a_wrong_password_at_the_start_is_named(
    sqlite_instances: Instances, redis7: RedisServer, operator: "Redis", password: str, says: str
) -> None:
    """The instance works without Redis, slowly: nothing else would tell its operator why."""
    await operator.config_set("requirepass", "right")
    environ = {"HOLDFAST_REDIS__PASSWORD": password} if password else {}
    serving = await _start(sqlite_instances, "instance-1", redis7.url, **environ)

    async def is_said() -> bool:
        conditions = await _conditions(serving)
        return all(says in conditions.get(each, "") for each in ("RedisConnected", "BusLive"))

    await eventually(is_said, within=20)
    redis = json.loads(await _health(serving))["services"]["redis"]
    assert (redis["status"], says in redis["error"]) == ("disconnected", True)
    assert says in serving.log()
    assert "wrong" not in serving.log().replace("wrongpass", "")


@pytest.mark.parametrize(
    ("rules", "says", "condition"),
    [
        (
            ("~*", "+@all", "resetchannels"),
            "Redis denies its user the channels, which instances meet on (ACL rule &*)",
            "BusLive",
        ),
        (("~other:*", "+@all", "&*"), "Redis denies its user keys that instances need (ACL rule ~*)", "RedisConnected"),
        (("~*", "+@all", "-evalsha", "-eval", "&*"), "Redis denies its user a command that instances need", "RedisConnected"),
    ],
)
async def test_a_missing_right_of_the_redis_user_is_named(
    sqlite_instances: Instances, redis7: RedisServer, operator: "Redis", rules: tuple[str, ...], says: str, condition: str
) -> None:
    """Redis 6 and later give a new user no channels: everything else works, and messages between instances take seconds."""
    await operator.execute_command("ACL", "SETUSER", "chat", "on", ">pass", *rules)
    serving = await _start(sqlite_instances, "instance-1", redis7.url.replace("redis://", "redis://chat:pass@"))

    async def is_said() -> bool:
        return says in (await _conditions(serving)).get(condition, "")

    await eventually(is_said, within=20)
    assert says in json.loads(await _health(serving))["services"]["redis"]["error"]
    assert says in serving.log()
    await operator.execute_command("ACL", "SETUSER", "chat", "~*", "+@all", "&*")

    async def is_healthy() -> bool:
        return '"healthy"' in await _health(serving)

    await eventually(is_healthy, within=20)


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
