"""A device that reads nothing for a while: what it is sent waits in its kernel, then at its instance, which closes it at last."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from simulation.devices import Device
from simulation.failures import READ_UP_SECONDS, Failures, Missed
from simulation.faults import Fault, rng_of

_LONG_BYTES: Final = 15_000
_SENDS: Final = 110  # of long bodies: more than 256 KB in the kernel and 1 MB at the instance
_SEND_SECONDS: Final = 0.03


async def _slow_reader(failures: Failures, fault: Fault) -> None:
    """Shorter than the keepalive: see `client-freeze`, which it is to the history. In half of the faults others write a lot."""
    rng, context = rng_of(fault, failures.context.seed), failures.context
    ready = [device for device in failures.people.devices if device.is_on and not device.watched.is_late]
    if not ready:
        raise Missed
    device = rng.choice(ready)
    assert device.process is not None
    name = device.process.name
    with context.history.fault("client-freeze", name):
        device.watched.is_late = device.is_busy = True  # its user does not close it either: it would not notice when that was
        paused = context.loop.network.connections(name)
        for transport in paused:
            transport.pause_reading()
        began = context.loop.now
        if rng.random() < 0.5:
            await _write_a_lot(failures, fault, device)
        await asyncio.sleep(max(0.0, fault.lasts - (context.loop.now - began)))
        for transport in paused:
            transport.resume_reading()
    await asyncio.sleep(READ_UP_SECONDS)
    device.watched.is_late = device.is_busy = False


async def _write_a_lot(failures: Failures, fault: Fault, device: Device) -> None:
    """Another user writes long messages into one of the user's conversations."""
    rng, rooms = rng_of(fault, failures.context.seed), failures.people.rooms
    pairs = [
        (conversation, other)
        for conversation in rooms.of(device.user)
        for other in failures.people.devices
        if other.is_on and other.user != device.user and other.user in rooms.members[conversation]
    ]
    if not pairs:
        return
    conversation, writer = rng.choice(pairs)
    for _ in range(_SENDS):
        if writer.is_on and writer.user in rooms.members[conversation] and not failures.context.is_stopping:
            number = next(failures.context.numbers)
            writer.say(conversation, f"{number} " + "x" * _LONG_BYTES, f"k{number}")
        await asyncio.sleep(_SEND_SECONDS)


READING_FAILURES: Final[Mapping[str, Callable[[Failures, Fault], Awaitable[None]]]] = {"slow-reader": _slow_reader}
