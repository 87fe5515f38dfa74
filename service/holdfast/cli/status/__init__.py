"""`holdfast status`: the live state of all instances, from the API server and its pods (`--namespace`), else from Redis.

Redis is that of `HOLDFAST_REDIS__URL` and related settings, as instances read them. With `--namespace` Redis is only asked for
the leases, and only when it is set in this way. Exit code 2 when the API server or Redis does not answer.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from holdfast import settings
from holdfast.cli.status import leases, pods
from holdfast.errors import OrchestratorUnavailable, RedisUnavailable

_PAUSE_SECONDS: Final = 1.0

Told = tuple[Any, Table]  # for machines, for people


def run(args: argparse.Namespace) -> int:
    """Print it, once or until interrupted.

    Raises:
        ConfigurationError: a setting is wrong, or there is no access to Kubernetes.
    """
    redis = settings.load().redis
    read: Callable[[], Awaitable[Told]]
    if args.namespace:
        view = pods.open_view(args.context, args.namespace, args.release)
        has_redis = any(name.startswith("HOLDFAST_REDIS__") for name in os.environ)

        async def read() -> Told:
            fleet = await pods.read(view, redis if has_redis else None)
            return asdict(fleet), pods.table(fleet)
    else:

        async def read() -> Told:
            fleet = await leases.read(redis)
            return asdict(fleet), leases.table(fleet)

    try:
        asyncio.run(_watch(read) if args.watch else _once(read, as_json=args.json))
    except (RedisUnavailable, OrchestratorUnavailable) as error:
        print(f"holdfast status: {error}; ask an instance itself: curl …/api/health", file=sys.stderr)
        return 2
    return 0


async def _once(read: Callable[[], Awaitable[Told]], *, as_json: bool) -> None:
    for_machines, for_people = await read()
    if as_json:
        print(json.dumps(for_machines, indent=2))
    else:
        Console().print(for_people)


async def _watch(read: Callable[[], Awaitable[Told]]) -> None:
    with Live((await read())[1], auto_refresh=False) as live:
        while True:
            await asyncio.sleep(_PAUSE_SECONDS)
            live.update((await read())[1], refresh=True)
