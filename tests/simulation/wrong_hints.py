"""Values of earlier in Redis, as if an operator had put them back: hints that are wrong, in a Redis that is otherwise the same.

Not told in the history: these keys order the work, and decide nothing. `head:`, `member:` and `connections:` are left alone: they
are believed in the world in which they were written, and a Redis that puts something back has another world.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from simulation.failures import Failures, Missed
from simulation.faults import Fault, rng_of
from simulation.instance import SimulatedInstance
from simulation.redis.keyspace import copied

_PREFIXES: Final = (b"recent:", b"dirty", b"subscriptions:")


async def _stale(failures: Failures, fault: Fault) -> None:
    """At the event keys of one kind have the values of some seconds before; new ones may be gone. `lasts`: how many seconds."""
    host = failures.cluster.redis[failures.redis_name]
    running = [each for each in failures.cluster.instances.values() if each.is_running]
    if not host.is_running or not running:
        raise Missed
    rng, state = rng_of(fault, failures.context.seed), host.engine.state
    run_id, prefix, keeps_new = state.run_id, rng.choice(_PREFIXES), rng.random() < 0.5
    keyspace = state.keyspace
    old = {key: copied(value) for key, value in keyspace.values.items() if key.startswith(prefix)}
    deadlines = dict(keyspace.deadlines)
    await asyncio.sleep(fault.lasts)

    def act(_: SimulatedInstance) -> None:
        if state.run_id != run_id:
            return
        for key in [key for key in keyspace.values if key.startswith(prefix) and key not in old and not keeps_new]:
            keyspace.remove(key)
        for key, value in old.items():
            keyspace.put(key, value)
            if key in deadlines:
                keyspace.deadlines[key] = deadlines[key]

    await failures.aimed(fault, rng.choice(running), act)


HINT_FAILURES: Final[Mapping[str, Callable[[Failures, Fault], Awaitable[None]]]] = {"stale-hints": _stale}
