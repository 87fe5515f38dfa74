"""Real `holdfast serve` processes for tests: started, killed, frozen and started again, each by its process id."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from holdfast.launcher.instance import LocalInstance
from holdfast.launcher.process import stop_all
from holdfast.web.auth import issue

SECRET = "a-secret-of-tests-that-is-long-enough"
_END_SECONDS = 10.0


def token(
    user_id: str, ttl_seconds: float = 3600, *, is_admin: bool = False, secret: str = SECRET, ahead_seconds: float = 0.0
) -> str:
    """A token that the instances of tests believe; `ahead_seconds`: how wrong the clock of its issuer is."""
    issued_at = time.time() + ahead_seconds
    return issue(secret, user_id, ttl_seconds, issuer="holdfast", audience="holdfast", is_admin=is_admin, issued_at=issued_at)


class Serving(LocalInstance):
    """One instance; its log is kept in a file and read by tests that care what was said."""

    READY_SECONDS = 60.0  # a busy machine starts several at once

    @property
    def ws_url(self) -> str:
        """The socket."""
        return f"ws://127.0.0.1:{self.port}/ws"

    def launch(self, module: str = "holdfast", environ: Mapping[str, str] | None = None) -> None:
        """Run it; with `ALTERED` among its variables it is another program, see `support.altered`."""
        if "ALTERED" in self.environ:
            module, environ = "support.altered", {"PYTHONPATH": str(Path(__file__).parents[1]), **(environ or {})}
        super().launch(module, environ)


class Instances:
    """The instances of one test, on one Redis and one store. `close` ends what still runs."""

    def __init__(self, directory: Path, redis_url: str, store_url: str, **environ: str) -> None:
        self.directory = directory
        self.environ = {
            "HOLDFAST_REDIS__URL": redis_url,
            "HOLDFAST_STORE__URL": store_url,
            "HOLDFAST_AUTH__SECRET": SECRET,
            "HOLDFAST_DRAIN__WINDOW_SECONDS": "1",
            "HOLDFAST_LOG__FORMAT": "text",
            **environ,
        }
        self.all: list[Serving] = []

    async def start(self, *names: str, **environ: str) -> list[Serving]:
        """Start instances, at the same time."""
        serving = [Serving(name, self.environ | environ, self.directory) for name in names]
        self.all += serving
        await asyncio.gather(*(each.start() for each in serving))
        return serving

    def close(self) -> None:
        """End everything, by process id."""
        stop_all(self.all, _END_SECONDS)

    def assert_quiet(self) -> None:
        """No instance logged a traceback."""
        for each in self.all:
            assert "Traceback" not in each.log(), each.log()[-6000:]
