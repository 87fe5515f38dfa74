"""Every seed in a process of its own, several at a time: what one run leaves behind no other run meets."""

import os
import selectors
import signal
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable

from simulation.outcome import Order, Outcome
from simulation.verdict import Finding

_CHUNK_BYTES = 1 << 20

Play = Callable[[Order], Outcome]


def played(orders: Iterable[Order], play: Play, at_once: int) -> Generator[tuple[Order, Outcome], None, None]:
    """Each order's outcome, as they are done. A process that dies without one is an outcome, too."""
    waiting, running = deque(orders), selectors.DefaultSelector()
    try:
        while waiting or running.get_map():
            while waiting and len(running.get_map()) < at_once:
                order = waiting.popleft()
                reader, pid = _forked(order, play)
                running.register(reader, selectors.EVENT_READ, (order, pid, bytearray()))
            for key, _ in running.select():
                order, pid, data = key.data
                if chunk := os.read(key.fd, _CHUNK_BYTES):
                    data += chunk
                    continue
                running.unregister(key.fd)
                os.close(key.fd)
                os.waitpid(pid, 0)
                yield order, _outcome(order, bytes(data))
    finally:
        for key in list(running.get_map().values()):  # of a caller that has seen enough
            _, pid, _ = key.data
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(key.fd)
        running.close()


def _outcome(order: Order, data: bytes) -> Outcome:
    if data:
        return Outcome.decoded(data)
    return Outcome(profile=order.profile, seed=order.seed, findings=[Finding("run", 0.0, "its process ended without an outcome")])


def _forked(order: Order, play: Play) -> tuple[int, int]:
    """The end of a pipe to read from, and the child."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return reader, pid
    os.close(reader)
    try:
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(_tried(order, play).encoded())
    finally:
        os._exit(0)  # whatever happened: the code of the parent must not run twice


def _tried(order: Order, play: Play) -> Outcome:
    try:
        return play(order)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the outcome of this seed
        broken = Finding("run", 0.0, f"{type(error).__name__}: {error}")
        return Outcome(profile=order.profile, seed=order.seed, findings=[broken], story=traceback.format_exc())
