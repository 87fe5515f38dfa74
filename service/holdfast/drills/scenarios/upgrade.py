"""A rolling upgrade from an older version to this one and back, under load, with failures while both versions run.

All instances begin with the older version, and one after another is replaced. The last one keeps it while an instance of each
version is killed, Redis is emptied, and Redis is away. Then the last one is replaced too, and all return to the older version.

The seed draws the kills. It draws which version is killed first. One of the two instances starts again at once, the other one
when it has been reaped. Either both start again in their own version, or each in that of the other.
"""

from functools import partial
from typing import Final

from holdfast.adapters.sqlite.schema import VERSION as SQLITE_LAYOUT
from holdfast.drills.drill import STORES, Drill
from holdfast.drills.local.target import Layout
from holdfast.drills.local.versions import THIS, Version
from holdfast.drills.stage import LocalStage
from holdfast.launcher.instance import LocalInstance

_HEALTHY_SECONDS: Final = 15.0
_REAPED_SECONDS: Final = 20.0
_REGISTERED_SECONDS: Final = 10.0
_REDIS_AWAY_SECONDS: Final = 20.0  # longer than a lease: each instance judges the others without Redis
_CALM_SECONDS: Final = 3.0


def upgrade(older: Version) -> Drill:
    """From that version to this one, and back.

    Not on SQLite where the layouts of its files differ: a file has one of them. The run excuses features
    that the older version lacks.
    """
    is_same = older.sqlite_layout == SQLITE_LAYOUT
    return Drill(
        "upgrade",
        f"all instances of {older.name} are replaced by this version and back, with failures while both run",
        partial(_upgrade, older),
        stores=STORES if is_same else ("firestore",),
        why="" if is_same else f"its files have layout {older.sqlite_layout} in {older.name}, and {SQLITE_LAYOUT} here",
        seconds=_REDIS_AWAY_SECONDS,
        linger_seconds=10.0,
        layout=Layout(version=older),
        lacks=older.lacks,
    )


async def _upgrade(older: Version, stage: LocalStage) -> None:
    *replaced, last = stage.instances
    for instance in replaced:
        await _replace(stage, instance, THIS)
    await _kill_each(stage, (last, older), (stage.random.choice(replaced), THIS))
    await _empty_redis(stage)
    await _take_redis_away(stage)
    for instance in stage.instances:
        if stage.target.version_of(instance.name) != THIS:
            await _replace(stage, instance, THIS)
    await stage.expect("all connections registered: this version", _REGISTERED_SECONDS, stage.all_registered)
    for instance in stage.instances:
        await _replace(stage, instance, older)
    await stage.expect("all connections registered: the older version", _REGISTERED_SECONDS, stage.all_registered)


async def _replace(stage: LocalStage, instance: LocalInstance, version: Version) -> None:
    """Told to stop, and started again under its name in that version."""
    stage.say(f"{instance.name} is replaced by {_name(version)}")
    async with stage.fault("rolling-restart", instance.name):
        await instance.terminate()
        stage.require(f"{instance.name}: exit status", instance.exit_code or 0, 0)
        stage.target.set_version(instance.name, version)
        await instance.start()
    await stage.pause(_CALM_SECONDS)


async def _kill_each(stage: LocalStage, *victims: tuple[LocalInstance, Version]) -> None:
    """Afterwards both versions still run: both victims start again in their own version, or each in that of the other."""
    (first, first_version), (second, second_version) = stage.random.sample(victims, 2)
    if stage.random.random() < 0.5:
        first_version, second_version = second_version, first_version
    is_first_quick = stage.random.random() < 0.5
    await _kill(stage, first, first_version, is_quick=is_first_quick)
    await _kill(stage, second, second_version, is_quick=not is_first_quick)


async def _kill(stage: LocalStage, victim: LocalInstance, version: Version, *, is_quick: bool) -> None:
    """SIGKILL, at the moment when a user leaves.

    `version`: in which it starts again, at once or when others have removed what it left in Redis.
    """
    killed = stage.target.version_of(victim.name)
    stage.say(f"{victim.name} ({_name(killed)}) is killed, and starts as {_name(version)} {'at once' if is_quick else 'later'}")
    async with stage.fault("container-restart" if is_quick else "pod-kill", victim.name):
        victim.kill()
        await stage.crowd.lose_one()
        if not is_quick:
            await stage.expect(f"{_name(killed)}: reaped", _REAPED_SECONDS, partial(stage.is_reaped, victim.name))
        stage.target.set_version(victim.name, version)
        await victim.start()
    await stage.expect("all connections registered after a kill", _REGISTERED_SECONDS, stage.all_registered)
    await stage.pause(_CALM_SECONDS)


async def _empty_redis(stage: LocalStage) -> None:
    stage.say("Redis is emptied")
    async with stage.fault("flushall"):
        await stage.redis("FLUSHALL")
    await stage.expect("all connections registered after FLUSHALL", _REGISTERED_SECONDS, stage.all_registered)
    await stage.pause(_CALM_SECONDS)


async def _take_redis_away(stage: LocalStage) -> None:
    stage.say(f"Redis is away for {stage.seconds:g} s")
    async with stage.fault("redis-delete"):
        stage.target.redis.kill()
        await stage.pause(stage.seconds)
        await stage.expect("all ready without Redis", 1.0, stage.all_ready)
        await stage.target.redis.start()
    await stage.expect("healthy after Redis is back", _HEALTHY_SECONDS, partial(stage.every, stage.instances, "healthy"))
    await stage.expect("all connections registered after Redis is back", _REGISTERED_SECONDS, stage.all_registered)
    await stage.pause(_CALM_SECONDS)


def _name(version: Version) -> str:
    return version.name or "this version"
