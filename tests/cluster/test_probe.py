"""`holdfast probe` against real instances: it is quiet while promises are kept, whatever fails, and notices when they are not."""

from functools import partial
from pathlib import Path

import httpx
import pytest

from holdfast.probe.measures import STEPS
from support.eventually import eventually
from support.instances import Instances, Serving, token
from support.probing import Plant, Probe, Tamperer, altered

NONE = {"lost": 0, "doubled": 0, "disordered": 0, "changed": 0}


async def _conversations(instance: Serving, user: str) -> list[str]:
    async with httpx.AsyncClient(verify=False, trust_env=False) as http:
        answer = await http.get(f"{instance.url}/api/conversations", headers={"Authorization": f"Bearer {token(user)}"})
    return [each["conversation_id"] for each in answer.json()["conversations"]]


async def _has(probe: Probe, count: int, *steps: str) -> bool:
    return all([await probe.attempts(step) >= count for step in steps])


async def test_every_step_is_counted_and_the_death_of_an_instance_is_no_violation(
    sqlite_instances: Instances, tmp_path: Path
) -> None:
    """Attempts fail and recover. A false violation would page an engineer at night for a restart."""
    one, two = await sqlite_instances.start("one", "two")
    fast = {"INTERVAL_SECONDS": "0.1", "ROUND_SECONDS": "1", "ANSWER_SECONDS": "3", "LOSS_SECONDS": "10"}
    async with Probe(tmp_path, [one.url, two.url], **fast) as probe:
        await eventually(partial(_has, probe, 2, *STEPS), within=60)
        values = await probe.values()
        assert values["instances"] == 2
        assert all(values[f"{name}_seconds_count"] >= 2 for name in ("connect", "ack", "delivery", "resume"))
        failed = await probe.attempts("connect", "failed")
        two.kill()

        async def fails() -> bool:
            return await probe.attempts("connect", "failed") > failed

        await eventually(fails, within=30)
        sent = await probe.attempts("send")
        await eventually(partial(_has, probe, sent + 20, "send", "deliver"), within=60)
        await two.start()

        async def are_apart() -> bool:
            return (await probe.values())["instances"] == 2

        await eventually(are_apart, within=60)
        rounds = await probe.attempts("first_message")
        await eventually(partial(_has, probe, rounds + 2, "first_message"), within=60)
        assert await probe.violations() == NONE
        assert probe.stop() == 0
    assert "Traceback" not in probe.log()
    for user in ("probe-1", "probe-2"):  # the conversation for good, and one that was begun when the signal came
        assert len(await _conversations(one, user)) <= 2


PLANTED: dict[str, Plant] = {
    "lost": lambda frames: [],  # nothing of it is passed on
    "doubled": lambda frames: [*frames, *frames],
    "disordered": lambda frames: frames[::-1] if len(frames) == 2 else None,
    "changed": lambda frames: [altered(frame, body="another") for frame in frames],
}


@pytest.mark.parametrize("kind", PLANTED)
async def test_a_planted_mistake_is_noticed(sqlite_instances: Instances, tmp_path: Path, kind: str) -> None:
    """A probe that never finds anything may be one that cannot."""
    one, two = await sqlite_instances.start("one", "two")
    often = {"INTERVAL_SECONDS": "0.2", "ROUND_SECONDS": "3600", "ANSWER_SECONDS": "5", "LOSS_SECONDS": "2"}
    async with Tamperer(two.port) as tamperer:
        urls = [one.url, f"http://127.0.0.1:{tamperer.port}"]
        async with Probe(tmp_path, urls, **often) as probe:
            # The first round ends with two new connections, one of each user: a frame lost before that comes again with them.
            await eventually(partial(_has, probe, 2, "resume"), within=30)
            await eventually(partial(_has, probe, 10, "deliver"), within=30)
            assert await probe.violations() == NONE
            tamperer.plant = PLANTED[kind]

            async def is_noticed() -> bool:
                return (await probe.violations())[kind] == 1

            await eventually(is_noticed, within=20)
            assert await probe.violations() == NONE | {kind: 1}
            assert "violation" in probe.log()


async def test_one_instance_alone_is_said(sqlite_instances: Instances, tmp_path: Path) -> None:
    """Nothing between instances is measured then: a green panel would say more than is known."""
    (one,) = await sqlite_instances.start("one")
    async with Probe(tmp_path, [one.url], INTERVAL_SECONDS="0.2") as probe:
        await eventually(partial(_has, probe, 2, "send"), within=30)
        assert (await probe.values())["instances"] == 1
        assert "only one instance can be reached" in probe.log()


async def test_a_probe_that_starts_before_the_service_waits_for_it(sqlite_instances: Instances, tmp_path: Path) -> None:
    """Both are rolled out at the same time."""
    one, two = await sqlite_instances.start("one", "two")
    one.kill()
    two.kill()
    async with Probe(tmp_path, [one.url, two.url], INTERVAL_SECONDS="0.2") as probe:

        async def fails() -> bool:
            return await probe.attempts("create", "failed") >= 2

        await eventually(fails, within=20)
        await one.start()
        await two.start()
        await eventually(partial(_has, probe, 2, "send", "deliver"), within=40)
        assert await probe.violations() == NONE
