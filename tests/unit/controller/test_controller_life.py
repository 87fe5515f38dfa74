"""How a controller is watched: its metrics, whether it is alive, and what it may say after it has led before."""

import asyncio

from holdfast.ports import Pod, PodHealth
from support.controller_scene import A, Scene, health_of
from support.virtual_time import in_virtual_time, passed


@in_virtual_time
async def test_controller_that_leads_again_calls_no_pod_unobserved_before_it_has_looked_for_half_a_minute() -> None:
    """It wrote `Unknown` at once when the first look found a pod busy: what it had seen was from its earlier time."""
    async with Scene() as scene:
        await passed(10)
        scene.kubernetes.is_given = False
        await passed(60)
        scene.kubernetes.conditions.clear()
        scene.kubernetes.healths[A] = None
        scene.kubernetes.is_given = True
        await passed(20)
        assert {status for name, _, status in scene.kubernetes.conditions if name == "a"} == set()
        await passed(20)
        assert {status for name, _, status in scene.kubernetes.conditions if name == "a"} == {None}


@in_virtual_time
async def test_controller_that_lost_the_lease_while_it_asked_the_pods_writes_nothing() -> None:
    """A process that was stopped in between wakes up with answers of another time, and another controller leads."""
    async with Scene() as scene:
        await passed(10)
        asked = asyncio.Event()

        async def health(_: Pod) -> PodHealth | None:
            asked.set()
            await asyncio.sleep(60)
            return health_of("degraded", BusLive=False)

        scene.kubernetes.health = health  # type: ignore[method-assign]  # as slow as a process that is stopped
        await asked.wait()
        scene.kubernetes.is_given = False
        scene.kubernetes.conditions.clear()
        await passed(120)
        assert (scene.kubernetes.conditions, scene.kubernetes.told) == ([], [])


@in_virtual_time
async def test_what_it_exports_of_a_leader() -> None:
    """From the first scrape on."""
    async with Scene() as scene:
        await passed(10)
        assert (scene.value("is_leader"), scene.value("pods")) == (1, 2)
        assert scene.value("lease_age_seconds") <= 2
        assert scene.value("conditions_written_total", status="True") == 2
        assert scene.value("conditions_written_total", status="False") == 2
        assert scene.value("conditions_written_total", status="Unknown") == 0
        assert scene.value("api_requests_total", request="lead", result="ok") >= 4
        assert scene.value("api_requests_total", request="set_conditions", result="ok") == 2
        scene.kubernetes.is_away = True
        await passed(20)
        assert scene.value("is_leader") == 0
        assert scene.value("lease_age_seconds") > 15
        assert scene.value("api_requests_total", request="lead", result="failed") >= 8


@in_virtual_time
async def test_a_follower_is_alive_and_ready_while_it_sees_who_leads() -> None:
    """It could take over at any moment; before its first look it could not."""
    scene = Scene()
    assert (scene.controller.is_alive, scene.controller.is_ready) == (True, False)
    scene.kubernetes.is_given = False
    async with scene:
        await passed(600)
        assert (scene.controller.is_alive, scene.controller.is_ready) == (True, True)
        assert scene.value("is_leader") == 0
        assert scene.value("lease_age_seconds") <= 2


@in_virtual_time
async def test_a_controller_whose_renewal_hangs_is_not_alive_after_a_minute() -> None:
    """The probe restarts it; before, only the other controller noticed."""
    async with Scene() as scene:
        await passed(10)
        scene.kubernetes.hang.clear()
        await passed(50)
        assert (scene.controller.is_alive, scene.controller.is_ready) == (True, False)
        await passed(20)
        assert not scene.controller.is_alive


@in_virtual_time
async def test_a_controller_that_meets_nothing_but_mistakes_is_not_alive_after_a_minute() -> None:
    """A restart may help."""
    async with Scene() as scene:
        scene.kubernetes.is_mistaken = True
        await passed(70)
        assert not scene.controller.is_alive


@in_virtual_time
async def test_an_api_server_that_is_away_restarts_no_controller_for_five_minutes() -> None:
    """A restart brings no API server back; after that its client may be what does not work."""
    async with Scene() as scene:
        await passed(10)
        scene.kubernetes.is_away = True
        await passed(280)
        assert (scene.controller.is_alive, scene.controller.is_ready) == (True, False)
        await passed(30)
        assert not scene.controller.is_alive
        scene.kubernetes.is_away = False
        await passed(5)
        assert (scene.controller.is_alive, scene.controller.is_ready) == (True, True)


@in_virtual_time
async def test_a_quiet_watch_is_not_taken_for_a_hung_one() -> None:
    """It ends within a minute by itself; until then nothing need happen."""
    async with Scene() as scene:
        await passed(110)
        assert scene.controller.is_alive
