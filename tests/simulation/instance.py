"""One simulated instance: what `holdfast serve` does, without its sockets and signals."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from holdfast.bootstrap import Instance, Machine
from holdfast.node.sessions.drain import Drain
from holdfast.settings import Settings
from holdfast.web.gate import Gate, ticking
from holdfast.web.protocols import internal_protocols, public_protocols
from simulation.loop import SimulatedLoop
from simulation.network import Listener
from simulation.process import Process

PUBLIC_PORT: Final = 8_000
INTERNAL_PORT: Final = 9_000
_GRACEFUL_SECONDS: Final = 0.5


@dataclass(eq=False, slots=True)
class SimulatedInstance:
    """A place for an instance: started, killed and started again there.

    Attributes:
        name: of its process, and its `INSTANCE_ID`.
        host: its address.
        settings: of its next start.
        machine: what it runs on, made anew for each start.
        starts: how often it was started.
        process: of the last start.
        gate: of the run that serves; None before the first.
    """

    loop: SimulatedLoop
    name: str
    host: str
    settings: Settings
    machine: Callable[[Process], Machine]
    starts: int = 0
    process: Process = field(init=False)
    gate: Gate | None = field(init=False, default=None)
    _drain: Drain | None = field(init=False, default=None)
    _stop: asyncio.Event = field(init=False)
    _ended: asyncio.Event = field(init=False)

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://{self.host}:{PUBLIC_PORT}"

    @property
    def internal_url(self) -> str:
        """Where neighbours connect."""
        return f"http://{self.host}:{INTERNAL_PORT}"

    @property
    def is_running(self) -> bool:
        """Started, and neither killed nor drained to its end."""
        return self.starts > 0 and not self.process.is_dead

    def start(self) -> Process:
        """Start a process there; the one before it must have ended."""
        assert not self.is_running
        self.starts += 1
        self.process = self.loop.process(self.name)
        self.gate = None
        self._stop, self._ended = asyncio.Event(), asyncio.Event()
        self.process.on_death.append(self._ended.set)
        self.process.spawn(self._serve())
        return self.process

    def kill(self, *, is_silent: bool = False) -> None:
        """See `Process.kill`."""
        self.process.kill(is_silent=is_silent)

    async def drain(self) -> None:
        """SIGTERM, and wait for its end. A process that is killed meanwhile has ended."""
        self._stop.set()
        await self._ended.wait()

    async def ready(self, within_seconds: float = 60.0) -> None:
        """Wait until it is ready for connections, as `/readyz` says.

        Raises:
            TimeoutError: it does not.
        """
        async with asyncio.timeout(within_seconds):
            while self.gate is None or not self.gate.node.health.is_ready:  # noqa: ASYNC110 - nothing tells of a change of health
                await asyncio.sleep(0.05)

    async def _serve(self) -> None:
        """Run after run, as `server.serve`: when one has to end (`Node.ended`), the next begins."""
        while not self._stop.is_set():
            await self._run(Instance(self.settings, on=self.machine(self.process)))
        self.loop.root.call_soon(self.process.kill)

    async def _run(self, instance: Instance) -> None:
        gate = instance.gate
        node = gate.node
        await node.start()
        for each in (ticking(gate), *instance.background):
            node.tasks.start(node.loops.run(each))
        self.gate = gate
        listeners = self._listen(gate)
        drain = Drain(node.hub, node.health, node.clock, node.settings.drain.window_seconds)
        ended, stopped = asyncio.create_task(node.ended()), asyncio.create_task(self._stop.wait())
        await asyncio.wait((ended, stopped), return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            drain.run_at_once(ended.result())
        else:
            await drain.run()
        ended.cancel()
        stopped.cancel()
        for listener in listeners:
            listener.close()
        await asyncio.sleep(_GRACEFUL_SECONDS)
        await node.stop()
        await instance.close()

    def _listen(self, gate: Gate) -> list[Listener]:
        public, internal = public_protocols(gate), internal_protocols(gate)
        network = self.loop.network
        return [
            network.listen(self.host, PUBLIC_PORT, self.process, public),
            network.listen(self.host, INTERNAL_PORT, self.process, internal),
        ]
