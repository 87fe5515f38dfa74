"""An instance without Redis stays out of the Service while others see it, and only then."""

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import Epoch, InstanceId
from holdfast.node.cluster.isolation import Isolation
from support.fakes import ManualClock

ALL_WELL = {"one": "ok", "two": "ok", "three": "ok"}


class Scene:
    """An instance that starts among others; it reads their bulletins and decides once a second."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.isolation = Isolation(self.clock)
        self.seconds = 0

    def pass_(
        self, seconds: int, modes: dict[str, str], *, frozen: str = "", out: tuple[str, ...] = (), sees_redis: bool = False
    ) -> "Scene":
        """So many seconds among instances with these modes; the beat of `frozen` stands still, those of `out` start or drain."""
        for _ in range(seconds):
            self.clock.now += 1
            self.seconds += 1
            self.isolation.note([self._bulletin(name, mode, name == frozen, name in out) for name, mode in modes.items()])
            self.isolation.look(has_store=True, sees_redis=sees_redis)
        return self

    def hold(self, seconds: int) -> None:
        """So many seconds without Redis, in which nothing is read."""
        for _ in range(seconds):
            self.clock.now += 1
            self.isolation.look(has_store=True, sees_redis=False)

    def _bulletin(self, name: str, mode: str, is_frozen: bool, is_out: bool) -> Bulletin:
        return Bulletin(InstanceId(name), Epoch("1"), 1 if is_frozen else self.seconds // 3, mode, is_out=is_out)


def test_instance_that_cannot_reach_redis_waits_while_others_see_it() -> None:
    """A rollout with a wrong address stops at its first pod."""
    scene = Scene().pass_(600, ALL_WELL)
    assert not scene.isolation.is_settled
    assert scene.isolation.reason == "3 of 3 other instances see Redis, this one has not reached it since its start"


def test_instance_that_reaches_redis_stays_in_the_service_unless_it_may_leave() -> None:
    """`HOLDFAST_READINESS__ON_REDIS_LOSS` decides that."""
    scene = Scene().pass_(60, ALL_WELL).pass_(1, ALL_WELL, sees_redis=True)
    assert (scene.isolation.is_settled, scene.isolation.reason) == (True, None)
    scene.pass_(60, ALL_WELL)
    assert (scene.isolation.is_settled, scene.isolation.reason) == (True, None)


def started() -> Scene:
    """One that may leave, half a minute after its start."""
    scene = Scene()
    scene.isolation.may_leave = True
    return scene.pass_(30, ALL_WELL, sees_redis=True)


def test_instance_that_alone_lost_redis_leaves_after_ten_seconds_and_comes_back_with_redis() -> None:
    """After a restart of Redis one instance reconnects seconds before another."""
    scene = started().pass_(9, ALL_WELL)
    assert scene.isolation.reason is None
    assert scene.pass_(2, ALL_WELL).isolation.reason == "3 of 3 other instances see Redis, this one has lost it"
    assert (scene.isolation.is_settled, scene.isolation.is_out) == (True, False)
    assert scene.pass_(1, ALL_WELL, sees_redis=True).isolation.reason is None


def test_instance_stays_when_all_lost_redis_or_too_few_see_it() -> None:
    """At least half of all remain, also when several leave in the same moment."""
    for modes in (dict.fromkeys(ALL_WELL, "redis"), {"one": "ok", "two": "redis", "three": "redis"}, {}):
        assert started().pass_(60, modes).isolation.reason is None
    assert started().pass_(60, {"one": "ok", "two": "ok", "three": "redis"}).isolation.reason is not None


def test_instance_that_left_comes_back_when_redis_is_lost_for_all() -> None:
    """Without Redis no client is refused."""
    scene = started().pass_(30, ALL_WELL).pass_(11, dict.fromkeys(ALL_WELL, "redis"))
    assert scene.isolation.reason is None
    assert not scene.isolation.is_shared, "that is asked at the start"


def test_without_redis_for_all_an_instance_is_settled_within_the_time_a_start_waits_for_redis() -> None:
    """Without Redis no client is refused."""
    assert Scene().pass_(9, dict.fromkeys(ALL_WELL, "redis")).isolation.is_settled
    assert Scene().pass_(9, {}).isolation.is_settled, "the first instance of all"


def test_short_outage_of_redis_lets_no_isolated_instance_in() -> None:
    """A restart of Redis takes seconds: a rollout with a wrong address must not go on because of it."""
    scene = Scene().pass_(30, ALL_WELL).pass_(8, dict.fromkeys(ALL_WELL, "redis")).pass_(30, ALL_WELL)
    assert not scene.isolation.is_settled
    assert scene.pass_(15, dict.fromkeys(ALL_WELL, "redis")).isolation.is_settled


def test_bulletins_of_dead_instances_say_nothing() -> None:
    """After the end of all instances their last words are still in the store."""
    assert Scene().pass_(9, {"dead": "ok"}, frozen="dead").isolation.is_settled


def test_instance_is_let_in_where_fewer_than_half_of_all_see_redis() -> None:
    """One instance with Redis cannot carry what four of them carried."""
    modes = {"one": "ok", "two": "redis", "three": "redis"}
    assert Scene().pass_(9, modes).isolation.is_settled
    assert not Scene().pass_(9, modes | {"two": "recovering"}).isolation.is_settled


def test_draining_instance_keeps_no_starting_one_out() -> None:
    """Where two instances are all there are, else none would be ready until the drained one is forgotten."""
    assert Scene().pass_(9, {"old": "ok"}, out=("old",)).isolation.is_settled


def test_instances_that_stay_out_themselves_do_not_outvote_those_that_serve() -> None:
    """A rollout that starts twice as many pods as serve, all of them with a wrong address, must stop all the same."""
    modes = {"old": "ok", "new-1": "redis", "new-2": "redis"}
    assert not Scene().pass_(60, modes, out=("new-1", "new-2")).isolation.is_settled


def test_instance_knows_whether_others_serve_without_redis() -> None:
    """A Redis that refuses all of them is no fault of this one."""
    assert Scene().pass_(9, {"one": "redis", "two": "redis"}).isolation.is_shared
    assert not Scene().pass_(9, {}).isolation.is_shared, "the first instance of all"
    assert not Scene().pass_(9, {"new": "redis"}, out=("new",)).isolation.is_shared, "all start at once"
    assert not Scene().pass_(9, {"one": "ok"}).isolation.is_shared


def test_nothing_is_decided_before_the_store_answered() -> None:
    """The states of others are read there."""
    isolation = Scene().isolation
    for _ in range(60):
        isolation.look(has_store=False, sees_redis=False)
    assert not isolation.is_settled


def test_instance_that_is_out_stays_out_while_the_bulletins_are_not_read() -> None:
    """A comparison with the store may hold up the reading for half a minute. Not for ever."""
    scene = started().pass_(15, ALL_WELL)
    assert scene.isolation.reason is not None
    scene.hold(40)
    assert scene.isolation.reason is not None
    scene.hold(40)
    assert scene.isolation.reason is None


def test_instance_does_not_leave_for_what_was_read_long_ago() -> None:
    """Redis and the store may be gone for all: all would leave at once."""
    scene = started()
    scene.hold(60)
    assert scene.isolation.reason is None
