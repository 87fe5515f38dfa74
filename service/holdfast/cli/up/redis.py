"""The Redis of `holdfast up`: how it is started and asked, and whether it answers.

Losing Redis costs Holdfast latency only, so `holdfast up` keeps no Redis data on disk.
"""

import asyncio
import shutil
from pathlib import Path

from holdfast.cli.up.part import Recipe
from holdfast.launcher.redis import command, program

DEFAULT_PORT = 6379
_PROBE_SECONDS = 1.0


def cli(port: int) -> str:
    """The command line that talks to the Redis on `port`, without what to say."""
    found = program("redis-cli")
    return f"{'redis-cli' if found is None or shutil.which('redis-cli') else found} -p {port}"


def recipe(server: str, port: int, folder: Path) -> Recipe:
    """A Redis that keeps nothing and listens on the loopback only."""
    return Recipe("redis", port, command(server, port, folder), {}, f"127.0.0.1:{port}", f"{cli(port)} shutdown nosave")


async def answers(port: int) -> bool:
    """Whether a Redis speaks on `port`; refusing us for want of a password is speaking."""
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"PING\r\n")
                return (await reader.readline())[:1] in (b"+", b"-")
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return False
