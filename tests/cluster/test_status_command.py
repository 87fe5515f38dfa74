"""`holdfast status`, as an operator asks it."""

import asyncio
import json
import os
import sys

from holdfast.launcher.ports import free_port
from support.chatting import Chatter
from support.eventually import eventually
from support.instances import Instances
from support.redis_server import RedisServer


async def status(redis_url: str, *arguments: str) -> tuple[int, str, str]:
    """Ask once."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "holdfast", "status", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"HOLDFAST_REDIS__URL": redis_url, "COLUMNS": "160"},
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode or 0, out.decode(), err.decode()


async def test_the_fleet_is_told_as_redis_knows_it(sqlite_instances: Instances, redis7: RedisServer) -> None:
    """Live instances with their connections, and those that are gone; for people and for machines."""
    one, two = await sqlite_instances.start("one", "two")
    async with Chatter(one, "ann"), Chatter(one, "ben"):

        async def is_counted() -> bool:
            _, out, _ = await status(redis7.url, "--json")
            return bool(
                {each["instance_id"]: each["connections"] for each in json.loads(out)["instances"]} == {"one": 2, "two": 0}
            )

        await eventually(is_counted)
        code, out, _ = await status(redis7.url)
        assert code == 0
        assert "2 instances, 2 connections" in out
        two.kill()

        async def is_gone() -> bool:
            _, out, _ = await status(redis7.url, "--json")
            return bool(
                {each["instance_id"]: each["state"] for each in json.loads(out)["instances"]}.get("two", "gone") == "gone"
            )

        await eventually(is_gone)


async def test_without_redis_it_says_so() -> None:
    """One line, and exit code 2."""
    code, out, err = await status(f"redis://127.0.0.1:{free_port()}/0")
    assert (code, out) == (2, "")
    assert err.startswith("holdfast status: ")
    assert "Traceback" not in err
