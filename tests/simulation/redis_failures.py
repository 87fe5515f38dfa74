"""What each kind of fault does to Redis. One at a time: a second one that comes meanwhile does not happen."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final

from simulation.cluster import RedisHost
from simulation.failures import STARTED_SECONDS, Failures, Missed, killed
from simulation.faults import Fault, rng_of
from simulation.redis.server import RedisServer

_NOTICED_SECONDS: Final = 3.0  # a killed instance's last commits must not be told to Redis by itself
_SPLIT_NOTICED_SECONDS: Final = 6.0  # heartbeats are missing for 3.7 s, and the bulletins are read once a second
_HOSTILE: Final = (b"", b"\xff\xfe", b"{", b"[]", b"null", b"-1", b"nan", b"{" * 500, b'{"instance_id": 7}', b"i1:x:y")


@contextlib.asynccontextmanager
async def _redis(failures: Failures) -> AsyncIterator[RedisHost]:
    """The server that instances find.

    Raises:
        Missed: another fault has it.
    """
    host = failures.cluster.redis[failures.redis_name]
    if failures.is_redis_taken or not host.is_running:
        raise Missed
    failures.is_redis_taken = True
    try:
        yield host
    finally:
        failures.is_redis_taken = False


async def _at_its_moment(failures: Failures, fault: Fault, act: Callable[[], None]) -> None:
    """At the event of an instance that the fault is aimed at; nothing happens to the instance itself."""
    running = [each for each in failures.cluster.instances.values() if each.is_running]
    if running:
        chosen = rng_of(fault, failures.context.seed).choice(running)
        await failures.aimed(fault, chosen, lambda _: act())
    else:
        act()


def _server(host: RedisHost) -> RedisServer:
    return host.engine


def _serve(host: RedisHost, server: RedisServer) -> None:
    """The host goes on with that server's data."""
    if host.is_running:
        host.kill()
    host.engine = server
    host.start()


async def _kill(failures: Failures, fault: Fault) -> None:
    """Killed, and back with nothing, with everything, or with what was saved seconds before."""
    async with _redis(failures) as host:
        server, rng = _server(host), rng_of(fault, failures.context.seed)
        saved = server.snapshot() if rng.random() < 0.3 else None

        def act() -> None:
            failures.tell("redis-kill", host.name, on=True)
            host.kill()

        await _at_its_moment(failures, fault, act)
        await asyncio.sleep(fault.lasts)
        server.restart(saved, keeps_data=saved is None and rng.random() < 0.5)
        host.start()
        failures.tell("redis-kill", host.name, on=False)


async def _freeze(failures: Failures, fault: Fault) -> None:
    async with _redis(failures) as host:

        def act() -> None:
            failures.tell("redis-freeze", host.name, on=True)
            host.process.freeze()

        await _at_its_moment(failures, fault, act)
        await asyncio.sleep(fault.lasts)
        host.process.thaw()
        failures.tell("redis-freeze", host.name, on=False)


async def _flush(failures: Failures, fault: Fault) -> None:
    async with _redis(failures) as host:

        def act() -> None:
            failures.tell("redis-flush", host.name, on=True)
            _server(host).flush_all()

        await _at_its_moment(failures, fault, act)
        await asyncio.sleep(fault.lasts)
        failures.tell("redis-flush", host.name, on=False)


async def _failover(failures: Failures, fault: Fault) -> None:
    """The primary dies at the event, a replica without its last moments takes over."""
    rng = rng_of(fault, failures.context.seed)
    await _fail_over(failures, fault, rng.choice([0.05, 0.5, 2.0]), rng.choice([0.0, 0.5, 2.0]))


async def _forgetful_failover(failures: Failures, fault: Fault) -> None:
    """The primary dies when all has been done that follows from the event, a replica takes over that has none of it."""
    await _fail_over(failures, fault, 2.0, 2.0, after_seconds=1.0)


async def _fail_over(
    failures: Failures, fault: Fault, lag_seconds: float, lost_seconds: float, after_seconds: float = 0.0
) -> None:
    async with _redis(failures) as host:
        replica = _server(host).attach_replica(lag_seconds=lag_seconds)
        await asyncio.sleep(STARTED_SECONDS)

        def act() -> None:
            failures.tell("redis-failover", host.name, on=True)
            host.kill()
            replica.promote(lost_seconds=lost_seconds)

        await _at_its_moment(failures, fault, act if not after_seconds else lambda: None)
        if after_seconds:
            await asyncio.sleep(after_seconds)
            act()
        await asyncio.sleep(fault.lasts)
        _succeed(failures, replica)
        failures.tell("redis-failover", host.name, on=False)


def _succeed(failures: Failures, server: RedisServer) -> RedisHost:
    """Another host has that server, and instances that connect find it."""
    name = f"r{len(failures.cluster.redis) + 1}"
    successor = failures.cluster.add_redis(name)
    _serve(successor, server)
    failures.cluster.point_to_redis(name)
    failures.redis_name = name
    return successor


async def _two_primaries(failures: Failures, fault: Fault) -> None:
    """A replica is promoted while the primary goes on; some instances change over at once, the others when the first one dies.

    When every instance has noticed, the store serves and all is promised again: the fault is told for so long only.
    """
    async with _redis(failures) as host:
        rng, network = rng_of(fault, failures.context.seed), failures.context.loop.network
        names = list(failures.cluster.instances)

        def act() -> None:
            failures.tell("two-primaries", host.name, on=True)
            _succeed(failures, _server(host).fork())
            for name in rng.sample(names, rng.randint(1, len(names) - 1)):
                network.reset(name, host.name)

        await _at_its_moment(failures, fault, act)
        await asyncio.sleep(min(fault.lasts, _SPLIT_NOTICED_SECONDS))
        failures.tell("two-primaries", host.name, on=False)
        await asyncio.sleep(max(0.0, fault.lasts - _SPLIT_NOTICED_SECONDS))
        failures.tell("redis-kill", host.name, on=True)
        host.kill()
        failures.tell("redis-kill", host.name, on=False)


async def _full(failures: Failures, fault: Fault) -> None:
    """Out of memory, or loading: writes, or nearly all commands, are refused."""
    async with _redis(failures) as host:
        server = _server(host)
        refuse = rng_of(fault, failures.context.seed).choice([server.set_out_of_memory, server.set_loading])

        def act() -> None:
            failures.tell("redis-refuses", host.name, on=True)
            refuse(True)

        await _at_its_moment(failures, fault, act)
        await asyncio.sleep(fault.lasts)
        refuse(False)
        failures.tell("redis-refuses", host.name, on=False)


async def _subscriber_cut(failures: Failures, fault: Fault) -> None:
    """Redis ends the subscriptions of all instances, as it does with a slow subscriber."""
    async with _redis(failures) as host:

        def act() -> None:
            failures.tell("subscriber-cut", host.name, on=True)
            _server(host).run("CLIENT", "KILL", "TYPE", "pubsub")

        await _at_its_moment(failures, fault, act)
        await asyncio.sleep(fault.lasts)
        failures.tell("subscriber-cut", host.name, on=False)


async def _garbage(failures: Failures, fault: Fault) -> None:
    """Values of the wrong kind, or of no meaning, in keys that are there and in their sets, and on channels that are heard."""
    async with _redis(failures) as host:
        server, rng = _server(host), rng_of(fault, failures.context.seed)

        def act() -> None:
            failures.tell("redis-garbage", host.name, on=True)
            for key in sorted(server.state.keyspace.values):
                if rng.random() < 0.3:
                    _spoil(server, key, rng.choice(_HOSTILE), rng.randrange(4))
            for channel in sorted(server.state.subscribers):
                server.run("PUBLISH", channel, rng.choice(_HOSTILE))

        await _at_its_moment(failures, fault, act)
        await asyncio.sleep(fault.lasts)
        failures.tell("redis-garbage", host.name, on=False)


def _spoil(server: RedisServer, key: bytes, value: bytes, way: int) -> None:
    if way == 0:
        server.run("DEL", key)
        return
    kind = server.run("TYPE", key)
    if way == 1:
        server.run("SET", key, value)
    elif way == 2 and kind in (b"set", b"zset"):
        server.run(*(("SADD", key) if kind == b"set" else ("ZADD", key, 1)), value)
    elif kind == b"hash":
        fields = server.run("HKEYS", key)
        assert isinstance(fields, list)
        server.run("HSET", key, *[part for field in fields for part in (field, value)])
    elif kind == b"string":
        server.run("SET", key, value)
    else:
        server.run("DEL", key)
        server.run("HSET", key, "field", value)


async def _kill_without_redis(failures: Failures, fault: Fault) -> None:
    """Redis dies; an instance is killed around a commit of which Redis never hears; Redis comes back later than the instance."""
    async with _redis(failures) as host, failures.taken(fault) as instance:
        rng = rng_of(fault, failures.context.seed)
        failures.tell("redis-kill", host.name, on=True)
        host.kill()
        await asyncio.sleep(rng.choice([0.01, 1.5, 4.0]))
        await killed(failures, fault, instance, rng)
        await asyncio.sleep(_NOTICED_SECONDS)
        _server(host).restart(keeps_data=rng.random() < 0.5)
        host.start()
        failures.tell("redis-kill", host.name, on=False)
        await asyncio.sleep(STARTED_SECONDS)


REDIS_FAILURES: Final[Mapping[str, Callable[[Failures, Fault], Awaitable[None]]]] = {
    "redis-kill": _kill,
    "redis-freeze": _freeze,
    "redis-flush": _flush,
    "redis-failover": _failover,
    "redis-forgetful-failover": _forgetful_failover,
    "two-primaries": _two_primaries,
    "redis-full": _full,
    "subscriber-cut": _subscriber_cut,
    "redis-garbage": _garbage,
    "kill-without-redis": _kill_without_redis,
}
