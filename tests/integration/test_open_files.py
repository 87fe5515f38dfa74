"""The limit of open files that a container runtime hands down to an instance."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import httpx

from holdfast.launcher.open_files import make_room_for
from holdfast.web.http import MAX_KEPT
from support.instances import Instances, Serving, token
from support.raw_socket import Raw

HARD, FITTING = 615, 15  # 500 are for kept HTTP connections, 100 for all else
_SURPLUS = 150


class Limited(Serving):
    """An instance that a shell starts with other limits of open files."""

    ulimit = ""

    def run(self, command: Sequence[str], environ: Mapping[str, str] | None = None, *, has_group: bool = False) -> None:
        """The shell becomes the instance: both have one process id."""
        super().run(["sh", "-c", f'{self.ulimit} && exec "$0" "$@"', *command], environ, has_group=has_group)


async def _limited(instances: Instances, ulimit: str, connections: int) -> Limited:
    instance = Limited("one", instances.environ | {"HOLDFAST_LIMITS__CONNECTIONS": str(connections)}, instances.directory)
    instance.ulimit = ulimit
    instances.all.append(instance)
    await instance.start()
    return instance


def _open_files(pid: int) -> tuple[str, str]:
    """The soft and the hard limit."""
    (line,) = [each for each in Path(f"/proc/{pid}/limits").read_text().splitlines() if each.startswith("Max open files")]
    soft, hard = line.split()[3:5]
    return soft, hard


async def _metric(instance: Serving, name: str) -> float:
    async with httpx.AsyncClient(verify=False, trust_env=False) as client:
        text = (await client.get(f"{instance.internal_url}/metrics")).text
    (line,) = [each for each in text.splitlines() if each.startswith(f"{name} ")]
    return float(line.split()[1])


async def test_instance_raises_its_soft_limit_of_open_files(sqlite_instances: Instances) -> None:
    """Many runtimes hand down 1,024 and allow more: the instance was full at a twentieth of its connections."""
    instance = await _limited(sqlite_instances, "ulimit -S -n 256", 300)
    soft, hard = _open_files(instance.pid)
    assert soft == hard
    assert await _metric(instance, "holdfast_connections_limit") == 300
    assert "open files" not in instance.log()


async def test_sockets_above_a_low_hard_limit_of_open_files_are_refused_as_overloaded(sqlite_instances: Instances) -> None:
    """They were reset without an answer, and Redis and probes had no file left either."""
    instance = await _limited(sqlite_instances, f"ulimit -n {HARD}", 20_000)
    assert await _metric(instance, "holdfast_connections_limit") == FITTING
    assert instance.log().count("open files") == 1
    async with AsyncExitStack() as clients:
        for number in range(FITTING):
            client = await clients.enter_async_context(Raw(instance))
            await client.open(token(f"user-{number}"))
        for _ in range(3):
            async with Raw(instance) as surplus:
                answered = await surplus.upgrade(authorization=f"Bearer {token('late')}")
            assert (answered.status, answered.problem["code"]) == (503, "overloaded")
        assert (await instance.health())["services"]["redis"]["status"] == "connected"


async def test_kept_http_connections_without_a_token_leave_files_for_all_else(sqlite_instances: Instances) -> None:
    """They were counted nowhere: with no file left, the instance neither accepted a probe nor reached Redis again."""
    instance = await _limited(sqlite_instances, f"ulimit -n {HARD}", 20_000)
    assert not make_room_for(MAX_KEPT + _SURPLUS)
    async with AsyncExitStack() as clients:
        kept = 0
        for _ in range(MAX_KEPT + _SURPLUS):
            client = await clients.enter_async_context(Raw(instance))
            client.send(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            answered = await client.answer()
            assert answered.status == 200
            kept += answered.headers.get("connection") != "close"
        assert kept == MAX_KEPT
        for number in range(FITTING):
            client = await clients.enter_async_context(Raw(instance))
            await client.open(token(f"user-{number}"))
        assert (await instance.health())["services"]["redis"]["status"] == "connected"
