"""The devices of simulated users, each a process of its own: the Python client, or a raw device by the protocol's letter."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from holdfast.client import Client, ClientStopped, SendFailed
from holdfast.drills.history import DeviceHistory
from simulation.context import Context
from simulation.process import Process
from simulation.raw_device import RawDevice

_READ_SHARE: Final = 0.1
KINDS: Final = ("client", "client", "client", "raw")
"""What a user's next device is drawn from."""


class Program(Protocol):
    """A program that runs on a device."""

    @property
    def cursors(self) -> dict[str, int]:
        """How far the device has shown each conversation."""
        ...

    @property
    def generation(self) -> str:
        """Of the store that the cursors are of; empty where it is not known yet."""
        ...

    async def run(self) -> None:
        """Until it is told to stop for good."""
        ...

    def send(self, conversation: str, body: str, key: str) -> None:
        """Send a message, until it is answered."""
        ...

    def typing(self, conversation: str) -> None:
        """Show that the user types."""
        ...

    async def close(self) -> None:
        """Leave as an application does."""
        ...


class Watched:
    """A device's history that knows the device's open connections: a device that crashes cannot write down their end.

    A send that has no answer when the device ends is written down as `abandoned`: nothing says when it is answered.

    Attributes:
        is_late: the device stands still, or has just thawed: what it reads of others' presence is old, and not written down.
        open, ended: connection -> since when it is open, or at an end; the loop's time.
    """

    def __init__(self, history: DeviceHistory, clock: Callable[[], float]) -> None:
        self.is_late = False
        self.open: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self._history = history
        self._clock = clock
        self._unanswered: dict[str, None] = {}

    def record(self, event: str, **fields: Any) -> None:
        """See `Observer.record`."""
        if event == "opened":
            self.open[fields["connection"]] = self._clock()
        elif event == "closed":
            self.open.pop(fields["connection"], None)
            self.ended[fields["connection"]] = self._clock()
        elif event == "presence" and self.is_late:
            return
        elif event == "send":
            self._unanswered[fields["key"]] = None
        elif event in ("ack", "refused"):
            self._unanswered.pop(fields["key"], None)
        self._history.record(event, **fields)

    def end(self) -> None:
        """The device's program is over, and its connections with it."""
        for key in self._unanswered:
            self._history.record("abandoned", key=key)
        self._unanswered.clear()
        for connection in tuple(self.open):
            self.record("closed", connection=connection, code=1006, clean=False)


class ClientProgram:
    """The Python client, read by an application that marks some messages as read."""

    def __init__(self, client: Client, rng: random.Random) -> None:
        self._client = client
        self._rng = rng
        self._work: set[asyncio.Task[None]] = set()

    @property
    def cursors(self) -> dict[str, int]:
        """See `Program.cursors`."""
        return self._client.cursors

    @property
    def generation(self) -> str:
        """See `Program.generation`."""
        return self._client.generation

    async def run(self) -> None:
        """See `Program.run`."""
        with contextlib.suppress(ClientStopped):
            async with self._client:
                async for message in self._client.messages():
                    if self._rng.random() < _READ_SHARE:
                        self._soon(self._client.read(message.conversation_id, message.message_id))

    def send(self, conversation: str, body: str, key: str) -> None:
        """See `Program.send`."""
        self._soon(self._client.send(conversation, body, client_message_id=key))

    def typing(self, conversation: str) -> None:
        """See `Program.typing`."""
        self._soon(self._client.typing(conversation))

    async def close(self) -> None:
        """See `Program.close`."""
        await self._client.close()

    def _soon(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.get_running_loop().create_task(_quietly(work))
        self._work.add(task)
        task.add_done_callback(self._work.discard)


class RawProgram:
    """The raw device."""

    def __init__(self, device: RawDevice) -> None:
        self._device = device
        self._task: asyncio.Task[int] | None = None

    @property
    def cursors(self) -> dict[str, int]:
        """See `Program.cursors`."""
        return dict(self._device.cursors)

    @property
    def generation(self) -> str:
        """See `Program.generation`."""
        return self._device.generation

    async def run(self) -> None:
        """See `Program.run`."""
        self._task = asyncio.get_running_loop().create_task(self._device.run())
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def send(self, conversation: str, body: str, key: str) -> None:
        """See `Program.send`."""
        self._device.send(conversation, body, key)

    def typing(self, conversation: str) -> None:
        """See `Program.typing`."""
        self._device.typing(conversation)

    async def close(self) -> None:
        """See `Program.close`."""
        if self._task is not None:
            self._device.leave()
            self._task.cancel()


class Device:
    """One device of one user: `start`, then `close` or `crash`, then `start` again where it was.

    Attributes:
        name: in the history, the same through all its lives.
        process: of its present life.
        is_busy: it is leaving or away: not to be chosen for anything else.
        is_over: its program has ended by itself, because the service told it to stop.
    """

    def __init__(self, context: Context, user: str, name: str, kind: str) -> None:
        """`kind`: of `KINDS`."""
        self.user, self.name, self.kind = user, name, kind
        self.cursors: dict[str, int] | None = {}
        self.generation = ""
        self.is_busy = self.is_over = False
        self._context = context
        self._rng = context.randomness(name)
        self._lives = 0
        self.process: Process | None = None
        self._program: Program | None = None
        self.watched = Watched(context.history.device(name, user), context.loop.time)

    @property
    def is_on(self) -> bool:
        """Whether it can be used now."""
        return self._program is not None and not self.is_busy and not self.is_over

    def start(self, first: int) -> None:
        """Begin a life. `first`: which of the URLs is tried first."""
        self._lives += 1
        self.is_over = False
        self.process = self._context.loop.process(self.name if self._lives == 1 else f"{self.name}.{self._lives}")
        self.process.spawn(self._live(first))

    async def _live(self, first: int) -> None:
        urls = self._context.urls()
        program = self._program = self._new_program(urls[first % len(urls) :] + urls[: first % len(urls)])
        await program.run()
        self.is_over = True
        self._keep(program)
        if self._program is program:  # else it was closed, and the device may have another life by now
            self.watched.end()

    def _new_program(self, urls: list[str]) -> Program:
        def token() -> str:
            return self._context.token(self.user)

        async def new_token() -> str:
            return token()

        if self.kind == "raw":
            return RawProgram(RawDevice(urls, token, self.cursors, self.watched, self._rng, self.generation))
        client = Client(
            urls, new_token, cursors=self.cursors, generation=self.generation, observer=self.watched, name="simulation"
        )
        return ClientProgram(client, self._rng)

    def say(self, conversation: str, body: str, key: str) -> None:
        """By this device, in its own process."""
        self._do(lambda program: program.send(conversation, body, key))

    def type_in(self, conversation: str) -> None:
        """The user types on this device."""
        self._do(lambda program: program.typing(conversation))

    async def close(self) -> None:
        """The application leaves; its cursors are kept."""
        program, process = self._program, self.process
        if program is None or process is None:
            return
        self._program = None
        await process.spawn(program.close())
        self._keep(program)
        self.watched.end()

    def crash(self) -> None:
        """As by kill -9, with the cursors that were stored together with the messages."""
        program, process = self._program, self.process
        if program is None or process is None:
            return
        self._program = None
        self._keep(program)
        process.kill()
        self.watched.end()

    def _keep(self, program: Program) -> None:
        self.cursors, self.generation = program.cursors, program.generation

    def _do(self, what: Callable[[Program], None]) -> None:
        program, process = self._program, self.process
        if program is not None and process is not None and not self.is_over:
            process.call_soon(what, program)


async def _quietly(work: Coroutine[Any, Any, object]) -> None:
    """A refusal, or a missing answer, is in the history."""
    with contextlib.suppress(SendFailed, ClientStopped):
        await work
