"""The controller's loop: it passes on what it sees while it leads, and keeps quiet otherwise."""

import asyncio
from dataclasses import replace

from holdfast.ports import Pod, PodCondition
from support.controller_scene import A, B, Scene, health_of
from support.virtual_time import in_virtual_time, passed


@in_virtual_time
async def test_what_pods_say_of_themselves_becomes_conditions_and_only_changes_are_written() -> None:
    async with Scene() as scene:
        await passed(10)
        assert sorted(scene.kubernetes.conditions) == [
            ("a", "holdfast.dev/BusLive", True),
            ("a", "holdfast.dev/Draining", False),
            ("b", "holdfast.dev/BusLive", True),
            ("b", "holdfast.dev/Draining", False),
        ]
        scene.kubernetes.conditions.clear()
        scene.kubernetes.healths[A] = health_of("degraded", BusLive=False, Draining=False)
        await passed(4)
        assert scene.kubernetes.conditions == [("a", "holdfast.dev/BusLive", False)]
        await passed(5)
        assert scene.kubernetes.told == [("a", "Degraded")]


@in_virtual_time
async def test_an_outage_of_all_is_one_event_on_the_deployment() -> None:
    async with Scene() as scene:
        for name in (A, B):
            scene.kubernetes.healths[name] = health_of("degraded", BusLive=False)
        await passed(30)
        assert scene.kubernetes.told == [(None, "FleetDegraded")]


@in_virtual_time
async def test_a_pod_that_does_not_answer_is_not_judged() -> None:
    async with Scene() as scene:
        scene.kubernetes.healths[A] = None
        await passed(30)
        assert {name for name, _, _ in scene.kubernetes.conditions} == {"b"}
        assert scene.kubernetes.told == []


@in_virtual_time
async def test_condition_of_a_pod_that_does_not_answer_becomes_unknown_and_returns() -> None:
    """A reader must not take the last word of a pod that hangs for its state of today."""
    async with Scene() as scene:
        await passed(10)
        scene.kubernetes.healths[A] = None
        scene.kubernetes.conditions.clear()
        await passed(20)
        assert [each for each in scene.kubernetes.conditions if each[0] == "a"] == []
        await passed(20)
        unknown = [("a", "holdfast.dev/BusLive", None), ("a", "holdfast.dev/Draining", None)]
        assert [each for each in scene.kubernetes.conditions if each[0] == "a"] == unknown, "once"
        scene.kubernetes.healths[A] = health_of(BusLive=True, Draining=False)
        await passed(4)
        assert ("a", "holdfast.dev/BusLive", True) in scene.kubernetes.conditions


@in_virtual_time
async def test_condition_that_holds_is_observed_anew_every_minute() -> None:
    """Its time shows that a controller still observes: a reader can tell it from the last state written by a controller that
    hangs."""
    async with Scene() as scene:
        await passed(610)
        of_a = [each for each in scene.kubernetes.conditions if each[:2] == ("a", "holdfast.dev/BusLive")]
        assert 9 <= len(of_a) <= 11


@in_virtual_time
async def test_pod_that_does_not_answer_is_not_called_observed() -> None:
    """The minute of a renewal may end while its last word is not half a minute old."""
    async with Scene() as scene:
        await passed(40)
        scene.kubernetes.healths[A] = None
        scene.kubernetes.conditions.clear()
        await passed(28)
        assert [each for each in scene.kubernetes.conditions if each[0] == "a"] == []


@in_virtual_time
async def test_controller_that_takes_over_renews_what_its_predecessor_wrote() -> None:
    """Conditions that are right already would else keep the time of the controller that is gone."""
    scene = Scene()
    for name in (A, B):
        written = {each: PodCondition(each, True, "Because", "") for each in ("holdfast.dev/BusLive",)}
        scene.kubernetes.found[name] = replace(scene.kubernetes.found[name], conditions=written)
        scene.kubernetes.healths[name] = health_of(BusLive=True)
    async with scene:
        await passed(10)
        assert sorted(scene.kubernetes.conditions) == [(name, "holdfast.dev/BusLive", True) for name in ("a", "b")]


@in_virtual_time
async def test_a_container_that_ended_is_told_to_those_who_reap_once() -> None:
    async with Scene() as scene:
        ended = replace(scene.kubernetes.found[A], has_ended=True)
        for event in (("is", ended), ("is", ended), ("gone", ended)):
            await scene.kubernetes.events.put(event)
        await passed(1)
        assert scene.fates.said == [("ended", A)]


@in_virtual_time
async def test_a_pod_that_is_merely_gone_proves_less() -> None:
    async with Scene() as scene:
        await scene.kubernetes.events.put(("gone", scene.kubernetes.found[B]))
        await passed(1)
        assert scene.fates.said == [("removed", B)]


@in_virtual_time
async def test_pod_that_was_removed_between_two_watches_is_forgotten_and_told() -> None:
    """No event tells of it, only the next list. The controller wrote conditions of such a pod every 2 s for ever."""
    async with Scene() as scene:
        await passed(10)
        del scene.kubernetes.found[B]
        scene.kubernetes.healths[B] = None
        await passed(60)
        assert scene.value("pods") == 1
        assert scene.fates.said == [("removed", B)]
        scene.kubernetes.conditions.clear()
        await passed(120)
        assert {name for name, _, _ in scene.kubernetes.conditions} == {"a"}


@in_virtual_time
async def test_pod_that_was_replaced_under_its_name_between_two_watches_is_another_one() -> None:
    """The end of the old pod is told once. The new pod is known, and its own end is told, too."""
    async with Scene() as scene:
        await passed(10)
        scene.kubernetes.found[B] = replace(scene.kubernetes.found[B], uid="uid-new", conditions={})
        await passed(60)
        assert scene.value("pods") == 2
        assert scene.fates.said == [("removed", B)]
        await scene.kubernetes.events.put(("is", replace(scene.kubernetes.found[B], has_ended=True)))
        await passed(1)
        assert scene.fates.said == [("removed", B), ("ended", B)]


@in_virtual_time
async def test_what_could_not_be_said_is_said_when_redis_is_back() -> None:
    async with Scene() as scene:
        scene.fates.is_away = True
        await scene.kubernetes.events.put(("gone", scene.kubernetes.found[B]))
        await passed(5)
        assert scene.fates.said == []
        scene.fates.is_away = False
        await passed(5)
        assert scene.fates.said == [("removed", B)]


@in_virtual_time
async def test_costs_follow_connections() -> None:
    async with Scene() as scene:
        await passed(30)
        assert scene.kubernetes.costs == {"b": 0, "a": 1}


@in_virtual_time
async def test_pod_that_is_removed_while_costs_are_written_fails_no_round() -> None:
    """A scale-in removes pods just then; the round counted as a mistake of the controller, with a traceback."""
    async with Scene() as scene:

        async def write(pod: Pod, cost: int) -> None:
            scene.kubernetes.costs[pod.name] = cost
            await scene.kubernetes.events.put(("gone", scene.kubernetes.found.pop(A)))
            await asyncio.sleep(1)

        scene.kubernetes.set_deletion_cost = write  # type: ignore[method-assign]  # as slow as the API server may be
        await passed(15)
        assert scene.kubernetes.costs == {"b": 0}
        labels = {"loop": "controller_costs"}
        assert scene.telemetry.registry.get_sample_value("holdfast_loop_failures_total", labels) == 0


@in_virtual_time
async def test_who_does_not_lead_says_nothing_until_it_does() -> None:
    """And what it saw meanwhile is not lost with the leader that died of the same cause."""
    scene = Scene()
    scene.kubernetes.is_given = False
    async with scene:
        await scene.kubernetes.events.put(("gone", scene.kubernetes.found[B]))
        await passed(30)
        assert (scene.kubernetes.conditions, scene.kubernetes.told, scene.fates.said) == ([], [], [])
        scene.kubernetes.is_given = True
        await passed(5)
        assert scene.fates.said == [("removed", B)]
        assert scene.kubernetes.conditions
    assert scene.kubernetes.resigned == ["me"]


@in_virtual_time
async def test_without_the_api_server_it_waits_and_goes_on() -> None:
    async with Scene() as scene:
        await passed(5)
        scene.kubernetes.is_away = True
        await passed(60)
        assert not scene.controller.is_leading
        scene.kubernetes.is_away = False
        scene.kubernetes.healths[A] = health_of("degraded", BusLive=False)
        await passed(10)
        assert scene.controller.is_leading
        assert ("a", "holdfast.dev/BusLive", False) in scene.kubernetes.conditions


@in_virtual_time
async def test_a_mistake_in_one_job_ends_none_of_them() -> None:
    """It ended the process: until the restart the pods did not get the facts of Kubernetes."""
    scene = Scene()
    scene.kubernetes.health = None  # type: ignore[assignment]  # a mistake: calling it raises
    scene.kubernetes.is_mistaken = True
    running = asyncio.create_task(scene.controller.run())
    await passed(60)
    assert not running.done()
    failures = scene.telemetry.registry.get_sample_value("holdfast_loop_failures_total", {"loop": "controller_lead"})
    assert failures is not None
    assert failures > 10
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
