"""The store put back to an earlier state, with instances, clients and Redis running."""

import asyncio

from holdfast.drills.drill import Drill
from holdfast.drills.hindsight import every_cursor_is_reset
from holdfast.drills.local.restoring import put_back, renew, tails_of
from holdfast.drills.stage import LocalStage

_ANEW_SECONDS = 5.0
_HEALTHY_SECONDS = 15.0
_REGISTERED_SECONDS = 10.0


async def _store_restore(stage: LocalStage) -> None:
    """A backup is made, all talk on, the backup is restored, and the store is renewed as by `holdfast store renew`."""
    async with stage.fault("store-restore"):
        await stage.pause(1.0)  # earlier messages are stored by now: they are in the backup
        began = await _starts(stage)
        tails = await tails_of(stage.target, list(stage.crowd.conversations))
        await stage.pause(stage.seconds)
        for conversation, tail in tails.items():  # from now on: on Firestore it takes a while
            stage.history.record("restored", conversation=conversation, seq=tail)
        lost = await put_back(stage.target, tails)
        for each in lost:
            stage.history.record("lost", conversation=each.conversation, seq=each.seq, sender=each.sender, key=each.key)
        stage.history.record("renewed", generation=await renew(stage.target))
        stage.say(f"{len(lost)} messages are gone, and the store is renewed")

        async def all_are_anew() -> bool:
            return all(began[name] != started for name, started in (await _starts(stage)).items())

        await stage.expect("all instances begin anew", _ANEW_SECONDS, all_are_anew)

        async def all_are_healthy() -> bool:
            return await stage.every(stage.instances, "healthy")

        await stage.expect("healthy", _HEALTHY_SECONDS, all_are_healthy)
        await stage.expect("all connections registered", _REGISTERED_SECONDS, stage.all_registered)


async def _starts(stage: LocalStage) -> dict[str, object]:
    """When each instance began; nothing of those that do not answer."""
    answers = await asyncio.gather(*(instance.health() for instance in stage.instances))
    return {
        instance.name: answer.get("started_at")
        for instance, answer in zip(stage.instances, answers, strict=True)
        if "started_at" in answer
    }


DRILLS = (
    Drill(
        "store-restore",
        "a backup of the store is restored under running instances",
        _store_restore,
        looks_back=(every_cursor_is_reset,),
    ),
)
