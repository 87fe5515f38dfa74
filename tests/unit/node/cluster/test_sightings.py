"""An instance that never reached Redis stays out of the Service while others see it, and only then."""

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import Epoch, InstanceId
from holdfast.node.cluster.sightings import Sightings
from support.fakes import ManualClock

ALL_WELL = {"one": "ok", "two": "ok", "three": "ok"}


class Scene:
    """An instance that starts among others; it reads their bulletins and decides once a second."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.sightings = Sightings(self.clock)
        self.seconds = 0

    def pass_(
        self, seconds: int, modes: dict[str, str], *, frozen: str = "", out: tuple[str, ...] = (), sees_redis: bool = False
    ) -> "Scene":
        """So many seconds among instances with these modes; the beat of `frozen` stands still, those of `out` start or drain."""
        for _ in range(seconds):
            self.clock.now += 1
            self.seconds += 1
            self.sightings.note([self._bulletin(name, mode, name == frozen, name in out) for name, mode in modes.items()])
            self.sightings.look(has_store=True, sees_redis=sees_redis)
        return self

    def _bulletin(self, name: str, mode: str, is_frozen: bool, is_out: bool) -> Bulletin:
        return Bulletin(InstanceId(name), Epoch("1"), 1 if is_frozen else self.seconds // 3, mode, is_out=is_out)


def test_instance_that_cannot_reach_redis_waits_while_others_see_it() -> None:
    """A rollout with a wrong address stops at its first pod."""
    scene = Scene().pass_(600, ALL_WELL)
    assert not scene.sightings.is_settled
    assert scene.sightings.reason == "3 of 3 other instances see Redis, this one has not reached it since its start"


def test_instance_that_reaches_redis_is_settled_for_good() -> None:
    """`HOLDFAST_READINESS__ON_REDIS_LOSS` decides what happens to it later."""
    scene = Scene().pass_(60, ALL_WELL).pass_(1, ALL_WELL, sees_redis=True)
    assert (scene.sightings.is_settled, scene.sightings.reason) == (True, None)
    assert scene.pass_(60, ALL_WELL).sightings.is_settled


def test_without_redis_for_all_an_instance_is_settled_within_the_time_a_start_waits_for_redis() -> None:
    """Without Redis no client is refused."""
    assert Scene().pass_(9, dict.fromkeys(ALL_WELL, "redis")).sightings.is_settled
    assert Scene().pass_(9, {}).sightings.is_settled, "the first instance of all"


def test_short_outage_of_redis_lets_no_isolated_instance_in() -> None:
    """A restart of Redis takes seconds: a rollout with a wrong address must not go on because of it."""
    scene = Scene().pass_(30, ALL_WELL).pass_(8, dict.fromkeys(ALL_WELL, "redis")).pass_(30, ALL_WELL)
    assert not scene.sightings.is_settled
    assert scene.pass_(15, dict.fromkeys(ALL_WELL, "redis")).sightings.is_settled


def test_bulletins_of_dead_instances_say_nothing() -> None:
    """After the end of all instances their last words are still in the store."""
    assert Scene().pass_(9, {"dead": "ok"}, frozen="dead").sightings.is_settled


def test_instance_is_let_in_where_fewer_than_half_of_all_see_redis() -> None:
    """One instance with Redis cannot carry what four of them carried."""
    modes = {"one": "ok", "two": "redis", "three": "redis"}
    assert Scene().pass_(9, modes).sightings.is_settled
    assert not Scene().pass_(9, modes | {"two": "recovering"}).sightings.is_settled


def test_draining_instance_keeps_no_starting_one_out() -> None:
    """Where two instances are all there are, else none would be ready until the drained one is forgotten."""
    assert Scene().pass_(9, {"old": "ok"}, out=("old",)).sightings.is_settled


def test_instances_that_stay_out_themselves_do_not_outvote_those_that_serve() -> None:
    """A rollout that starts twice as many pods as serve, all of them with a wrong address, must stop all the same."""
    modes = {"old": "ok", "new-1": "redis", "new-2": "redis"}
    assert not Scene().pass_(60, modes, out=("new-1", "new-2")).sightings.is_settled


def test_instance_knows_whether_others_serve_without_redis() -> None:
    """A Redis that refuses all of them is no fault of this one."""
    assert Scene().pass_(9, {"one": "redis", "two": "redis"}).sightings.is_shared
    assert not Scene().pass_(9, {}).sightings.is_shared, "the first instance of all"
    assert not Scene().pass_(9, {"new": "redis"}, out=("new",)).sightings.is_shared, "all start at once"
    assert not Scene().pass_(9, {"one": "ok"}).sightings.is_shared


def test_nothing_is_decided_before_the_store_answered() -> None:
    """The states of others are read there."""
    sightings = Scene().sightings
    for _ in range(60):
        sightings.look(has_store=False, sees_redis=False)
    assert not sightings.is_settled
