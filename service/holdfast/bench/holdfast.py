"""A Redis and an instance of our own, with the limits for abuse off, to be measured."""

import asyncio
import json
import os
import secrets
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from holdfast.bench.dialects import DIALECTS, Dialect
from holdfast.launcher.instance import LocalInstance
from holdfast.launcher.process import stop_all
from holdfast.launcher.redis import RedisServer, require_server
from holdfast.web.auth import issue

NAME: Final = "Holdfast"
_LIMITS_OFF: Final = {
    "HOLDFAST_LIMITS__SENDS_PER_SECOND": "0",
    "HOLDFAST_LIMITS__FRAMES_PER_SECOND": "0",
    "HOLDFAST_LIMITS__CREATES_PER_MINUTE": "0",
    "HOLDFAST_LIMITS__ADDS_PER_MINUTE": "0",
    "HOLDFAST_LIMITS__INFLIGHT_SENDS": "100000",
    "HOLDFAST_LOG__FORMAT": "text",
    "HOLDFAST_DRAIN__WINDOW_SECONDS": "0",
    "HOLDFAST_PRESENCE__GRACE_SECONDS": "300",  # no user of one turn goes offline in a turn of another server
}
_END_SECONDS: Final = 15.0


def sign(secret: str, user: str) -> str:
    """A token for an hour, as Holdfast and those peers that check tokens want it."""
    return issue(secret, user, 3600, issuer="holdfast", audience="holdfast", issued_at=time.time())


@dataclass(frozen=True, slots=True)
class HoldfastServer:
    """A running instance; see `play.Server`."""

    port: int
    pid: int
    secret: str
    name: str = NAME
    dialect: Dialect = DIALECTS["holdfast"]
    checks_tokens: bool = True
    acknowledges: bool = True
    has_one_order: bool = True

    def token(self, user: str) -> str:
        """Of that user."""
        return sign(self.secret, user)

    def new_room(self, users: Sequence[str]) -> str:
        """A conversation of these users."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/conversations",
            json.dumps({"members": list(users)}).encode(),
            {"Authorization": f"Bearer {self.token(users[0])}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own instance
            told: dict[str, Any] = json.load(answer)
        return str(told["conversation_id"])


@contextmanager
def holdfast_server(directory: Path, store: str | None, environ: Mapping[str, str] = os.environ) -> Iterator[HoldfastServer]:
    """Until the block ends. `store`: the URL of another one than a fresh SQLite file in `directory`. Settings in `environ` count
    where the bench has none.

    Raises:
        TargetFailed: no Redis is here, or one of both does not start.
    """
    secret = secrets.token_hex(16)
    redis = RedisServer(require_server())
    variables = {
        **{name: value for name, value in environ.items() if name.startswith("HOLDFAST_")},
        **_LIMITS_OFF,
        "HOLDFAST_HTTP__HOST": "127.0.0.1",
        "HOLDFAST_REDIS__URL": redis.url,
        "HOLDFAST_STORE__URL": store or f"sqlite:///{directory}/bench.db",
        "HOLDFAST_AUTH__SECRET": secret,
    }
    instance = LocalInstance("bench-1", variables, directory)
    try:
        asyncio.run(_start(redis, instance))
        yield HoldfastServer(instance.port, instance.pid, secret)
    finally:
        stop_all([instance], _END_SECONDS)
        redis.close()


async def _start(redis: RedisServer, instance: LocalInstance) -> None:
    await redis.start()
    await instance.start()
