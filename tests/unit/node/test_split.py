"""Others at another Redis: believed of those who are alive, and no sooner than one failover is over for everybody."""

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import Epoch, InstanceId
from holdfast.node.split import Split
from support.fakes import ManualClock


class Scene:
    """This instance meets others at `mine`. `ends`: how often a split was over."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.split = Split(self.clock)
        self.beat = self.ends = 0

    def hear(self, server: str, *, mine: str = "mine", seconds: int = 9, beats: bool = True, mode: str = "ok") -> "Scene":
        """Instance `two` says where it is, once a second; its beat rises every three."""
        for second in range(seconds):
            self.beat += beats and second % 3 == 0
            self.look(Bulletin(InstanceId("two"), Epoch("1"), self.beat, mode, server=server), mine=mine)
        return self

    def look(self, *bulletins: Bulletin, mine: str = "mine", is_complete: bool = True) -> "Scene":
        """A second later."""
        self.clock.now += 1
        self.ends += self.split.note(bulletins, mine, is_complete=is_complete)
        return self


def test_who_beats_elsewhere_for_longer_than_a_failover_takes_is_out_of_reach() -> None:
    """And is not any more when it has come over, or we have."""
    scene = Scene().hear("mine")
    assert not scene.split.is_split
    assert scene.hear("theirs").split.is_split
    assert not scene.hear("mine", seconds=1).split.is_split
    assert scene.hear("theirs").split.is_split
    assert not scene.hear("theirs", mine="theirs", seconds=1).split.is_split
    assert scene.ends == 2


def test_one_failover_is_followed_by_some_seconds_later_than_by_others() -> None:
    """That is no split, though it is suspected; nor is a beat after a long silence."""
    assert not Scene().hear("mine").hear("theirs", seconds=5).split.is_split
    assert not Scene().hear("mine").hear("theirs", mine="theirs").hear("newest", mine="theirs", seconds=4).split.is_split
    thawed = Scene().hear("theirs", beats=False, seconds=20).hear("theirs", seconds=4)
    assert (thawed.split.is_suspected, thawed.split.is_split) == (True, False)
    assert thawed.ends == 0


def test_the_dead_are_nowhere() -> None:
    """What they left behind names the Redis of their days: soon nobody looks every second for their sake."""
    dead = Scene().hear("theirs", beats=False, seconds=1)
    assert dead.split.is_suspected
    dead.hear("theirs", beats=False, seconds=60)
    assert (dead.split.is_suspected, dead.split.is_split) == (False, False)
    killed = Scene().hear("theirs").hear("theirs", beats=False, seconds=9)
    assert (killed.split.is_split, killed.ends) == (False, 1), "what it did elsewhere may never be told"
    assert not Scene().hear("theirs").look().split.is_suspected, "it was reaped"


def test_who_is_cut_from_redis_altogether_says_nothing_of_it() -> None:
    """Their last one may have been restarted since. But who was out of reach before does not come back by that."""
    assert not Scene().hear("").split.is_suspected, "a version that does not say"
    assert not Scene().hear("theirs", mode="redis").split.is_suspected
    assert Scene().hear("theirs").hear("theirs", mode="redis").split.is_split


def test_nothing_is_judged_while_we_do_not_know_or_see() -> None:
    """Neither is the end of a split: not before our first lease, and not by a look at some of them."""
    assert not Scene().hear("theirs", mine="").split.is_split
    assert Scene().hear("theirs").hear("theirs", mine="", seconds=60).split.is_split
    assert Scene().hear("theirs").look(is_complete=False).split.is_split
