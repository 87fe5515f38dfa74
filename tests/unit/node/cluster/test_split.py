"""Others at another Redis: judged of live instances only, and no sooner than one failover is over for all."""

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import Epoch, InstanceId
from holdfast.node.cluster.split import Split
from support.fakes import ManualClock


class Scene:
    """This instance meets others at `mine`. `deaths`: how often an instance died that was out of reach."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.split = Split(self.clock)
        self.beat = self.deaths = 0

    def hear(
        self, server: str, *, mine: str = "mine", seconds: int = 9, beats: bool = True, is_cut: bool = False, every: int = 1
    ) -> "Scene":
        """Instance `two` says where it is, and is looked at every so many seconds; its beat rises every three."""
        for second in range(seconds):
            self.clock.now += 1
            self.beat += beats and second % 3 == 0
            if second % every == 0:
                self.look(Bulletin(InstanceId("two"), Epoch("1"), self.beat, "ok", server=server, is_cut=is_cut), mine=mine)
        return self

    def look(self, *bulletins: Bulletin, mine: str = "mine", is_complete: bool = True) -> "Scene":
        """At these bulletins."""
        self.deaths += self.split.note(bulletins, mine, is_complete=is_complete)
        return self

    @property
    def seen(self) -> tuple[bool, bool, int]:
        """Suspected, split, and how many died of those out of reach."""
        return self.split.is_suspected, self.split.is_split, self.deaths


def test_who_beats_elsewhere_for_longer_than_a_failover_takes_is_out_of_reach() -> None:
    """And is not any more when it has come over, or we have: what it did there it tells itself."""
    scene = Scene().hear("mine")
    assert scene.seen == (False, False, 0)
    assert scene.hear("theirs").seen == (True, True, 0)
    assert scene.hear("mine", seconds=1).seen == (False, False, 0)
    assert scene.hear("theirs").seen == (True, True, 0)
    assert scene.hear("theirs", mine="theirs", seconds=1).seen == (False, False, 0)


def test_one_failover_is_followed_by_some_seconds_later_than_by_others() -> None:
    """That is no split, though it is suspected; nor is a beat after a long silence."""
    assert Scene().hear("mine").hear("theirs", seconds=5).seen == (True, False, 0)
    assert Scene().hear("mine").hear("theirs", mine="theirs").hear("newest", mine="theirs", seconds=4).seen == (True, False, 0)
    assert Scene().hear("theirs", beats=False, seconds=20).hear("theirs", seconds=4).seen == (True, False, 0)


def test_the_dead_are_nowhere() -> None:
    """Their last bulletins name the Redis of their time: soon no instance looks every second because of them."""
    dead = Scene().hear("theirs", beats=False, seconds=1)
    assert dead.seen == (True, False, 0)
    assert dead.hear("theirs", beats=False, seconds=60).seen == (False, False, 0)
    assert Scene().hear("theirs", seconds=3).look().seen == (False, False, 0)


def test_who_dies_out_of_reach_may_not_have_told_what_they_did() -> None:
    """Silent for long, or reaped; told once."""
    assert Scene().hear("theirs").hear("theirs", beats=False, seconds=30).seen == (False, False, 1)
    assert Scene().hear("theirs").look().look().seen == (False, False, 1)


def test_who_is_cut_from_redis_altogether_is_not_elsewhere() -> None:
    """It says so in its mode, its last Redis may have been started anew since, and others look after it by that."""
    assert Scene().hear("", seconds=30).seen == (False, False, 0), "a version that does not say"
    assert Scene().hear("theirs", is_cut=True, seconds=30).seen == (False, False, 0)
    assert Scene().hear("theirs").hear("theirs", is_cut=True, seconds=1).seen == (False, False, 0)


def test_nothing_is_judged_while_we_do_not_know_or_see() -> None:
    """Nor does that time pass: not before our first lease, not without Redis, not while the store does not answer."""
    assert Scene().hear("theirs", mine="", seconds=60).seen == (False, False, 0)
    assert Scene().hear("theirs").hear("theirs", mine="", seconds=60).seen == (True, True, 0)
    blind = Scene().hear("theirs")
    blind.clock.now += 60
    assert blind.hear("theirs", seconds=1, beats=False).seen == (True, True, 0)
    assert Scene().hear("theirs").look(is_complete=False).seen == (True, True, 0)


def test_looks_far_apart_notice_it_later_and_all_the_same() -> None:
    """A read may take long until it is judged."""
    assert Scene().hear("theirs", seconds=60, every=4).seen == (True, True, 0)
    assert Scene().hear("theirs", seconds=100, every=30).seen == (True, True, 0)
