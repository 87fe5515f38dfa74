"""The simulated Redis behind a real port, with the face of a real server: what the contract's suites say of Redis holds for it.

It is served by an event loop in a thread of its own, so that it answers while a test's loop is busy, and dies at once.
"""

import asyncio
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from holdfast.launcher.redis import RedisServer
from simulation.redis import RedisServer as Engine

Result = TypeVar("Result")
_SECONDS = 30.0  # for a step that takes none


class SimulatedRedis(RedisServer):
    """One server; may be killed, frozen and started again on the same port. Closed by its creator."""

    def __init__(self) -> None:
        """Starts nothing yet. `options` may be set before: `--requirepass`, `…`."""
        super().__init__(Path("simulated"))
        self._engine: Engine | None = None
        self._listening: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="simulated-redis", daemon=True)
        self._thread.start()

    async def start(self) -> None:
        """Run it, with what was saved last, as a real one does; returns when it accepts connections."""
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._begin(), self._loop))

    async def _begin(self) -> None:
        if self._engine is None:
            names = (option.removeprefix("--").encode() for option in self.options[::2])
            options = dict(zip(names, map(str.encode, self.options[1::2]), strict=True))
            self._engine = Engine(time.time, random.Random(self.port), options)
        else:
            self._engine.start()
        self._engine.state.port = self.port
        self._listening = await self._loop.create_server(self._engine.protocol, "127.0.0.1", self.port)

    def kill(self) -> None:
        """All connections end, nothing accepts new ones, all it held is gone."""
        self._do(self._end)

    def _end(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        if self._engine is not None:
            self._engine.stop()

    def freeze(self) -> None:
        """Connections stay, and are accepted; nothing is answered."""
        assert self._engine is not None
        self._do(self._engine.freeze)

    def thaw(self) -> None:
        """Commands that came meanwhile are answered."""
        assert self._engine is not None
        self._do(self._engine.thaw)

    def close(self) -> None:
        """End it and its thread.

        Raises:
            AssertionError: it was asked for something that it does not know, so what the test has shown is worth nothing.
        """
        super().close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_SECONDS)
        self._loop.close()
        assert self._engine is None or self._engine.state.unsupported == []

    def _do(self, act: Callable[[], Result]) -> Result:
        """In the thread of the server."""

        async def call() -> Result:
            return act()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(_SECONDS)
