"""`holdfast bench`: start one instance with its limits off, and print figures.

Figures are of this machine, this run; compare them with each other, not with another day's.
"""

import argparse
import asyncio
import json
import os
import secrets
import tempfile
import time
import urllib.request
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvloop

from holdfast.bench import workloads
from holdfast.errors import ConfigurationError
from holdfast.launcher.instance import LocalInstance
from holdfast.launcher.open_files import make_room_for
from holdfast.launcher.process import stop_all
from holdfast.launcher.redis import RedisServer, require_server
from holdfast.launcher.waiting import TargetFailed
from holdfast.web.auth import issue

_LIMITS_OFF = {
    "HOLDFAST_LIMITS__SENDS_PER_SECOND": "0",
    "HOLDFAST_LIMITS__FRAMES_PER_SECOND": "0",
    "HOLDFAST_LIMITS__CREATES_PER_MINUTE": "0",
    "HOLDFAST_LIMITS__ADDS_PER_MINUTE": "0",
    "HOLDFAST_LIMITS__INFLIGHT_SENDS": "100000",
    "HOLDFAST_LOG__FORMAT": "text",
    "HOLDFAST_DRAIN__WINDOW_SECONDS": "0",
}
_END_SECONDS = 15.0


def run(args: argparse.Namespace) -> int:
    """Measure; the exit status."""
    names = args.workloads or ["idle", "accepts", "burst", "acks-1", "acks-64"]
    if {"idle", "accepts"} & set(names) and (problem := make_room_for(args.connections)):
        raise ConfigurationError(f"--connections: {problem}")
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as directory, _instance(Path(directory), args.store) as target:
        for name in names:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                figures = runner.run(_measure(name, target, args.connections))
            _print(figures, as_json=args.json)
    return 0


def _measure(name: str, target: workloads.Target, connections: int) -> Coroutine[Any, Any, workloads.Figures]:
    known: dict[str, Callable[[], Coroutine[Any, Any, workloads.Figures]]] = {
        "idle": lambda: workloads.idle(target, connections),
        "accepts": lambda: workloads.accepts(target, min(connections, 3000)),
        "burst": lambda: workloads.burst(target, 100, 2000),
        "acks-1": lambda: workloads.acks(target, 1, 5),
        "acks-64": lambda: workloads.acks(target, 64, 5),
    }
    if name not in known:
        raise ConfigurationError(f"no such workload: {name}; there are {', '.join(known)}")
    return known[name]()


@contextmanager
def _instance(directory: Path, store: str | None) -> Iterator[workloads.Target]:
    """A Redis and an instance of our own. Settings in the user's environment count where the bench has none."""
    secret = secrets.token_hex(16)
    try:
        redis = RedisServer(require_server())
        environ = {
            **{name: value for name, value in os.environ.items() if name.startswith("HOLDFAST_")},
            **_LIMITS_OFF,
            "HOLDFAST_HTTP__HOST": "127.0.0.1",
            "HOLDFAST_REDIS__URL": redis.url,
            "HOLDFAST_STORE__URL": store or f"sqlite:///{directory}/bench.db",
            "HOLDFAST_AUTH__SECRET": secret,
        }
        instance = LocalInstance("bench-1", environ, directory)
        try:
            asyncio.run(_start(redis, instance))
            yield _target(instance, secret)
        finally:
            stop_all([instance], _END_SECONDS)
            redis.close()
    except TargetFailed as error:
        raise ConfigurationError(str(error)) from error


async def _start(redis: RedisServer, instance: LocalInstance) -> None:
    await redis.start()
    await instance.start()


def _target(instance: LocalInstance, secret: str) -> workloads.Target:
    def token(user: str) -> str:
        return issue(secret, user, 3600, issuer="holdfast", audience="holdfast", issued_at=time.time())

    def new_conversation(users: Sequence[str]) -> str:
        answer = _call(instance.port, "/api/conversations", token(users[0]), {"members": list(users)})
        return str(answer["conversation_id"])

    return workloads.Target("127.0.0.1", instance.port, instance.pid, token, new_conversation)


def _call(port: int, path: str, token: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own instance
        return dict(json.load(answer))


def _print(figures: workloads.Figures, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"name": figures.name, **figures.setup, **figures.values}), flush=True)
        return
    setup = ", ".join(f"{name} {value:,}" for name, value in figures.setup.items())
    print(f"{figures.name} ({setup})", flush=True)
    for name, value in figures.values.items():
        print(f"  {name:<30}{value:>16,.2f}", flush=True)
