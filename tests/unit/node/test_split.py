"""Others at another Redis: believed of those who are alive, and no sooner than one failover is over for everybody."""

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import Epoch, InstanceId
from holdfast.node.split import Split
from support.fakes import ManualClock


class Scene:
    """This instance meets others at `mine`."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.split = Split(self.clock)
        self.beat = 0

    def hear(self, server: str, *, mine: str = "mine", seconds: int = 9, beats: bool = True) -> "Scene":
        """Instance `two` says where it is, once a second; its beat rises every three."""
        for second in range(seconds):
            self.clock.now += 1
            self.beat += beats and second % 3 == 0
            self.split.note([Bulletin(InstanceId("two"), Epoch("1"), self.beat, "ok", server=server)], mine)
        return self


def test_who_beats_elsewhere_for_longer_than_a_failover_takes_is_out_of_reach() -> None:
    """And is not any more when it has come over, or we have."""
    scene = Scene().hear("mine")
    assert not scene.split.is_split
    assert scene.hear("theirs").split.is_split
    assert not scene.hear("mine", seconds=1).split.is_split
    assert scene.hear("theirs").split.is_split
    assert not scene.hear("theirs", mine="theirs", seconds=1).split.is_split


def test_one_failover_is_followed_by_some_seconds_later_than_by_others() -> None:
    """That is no split."""
    assert not Scene().hear("mine").hear("theirs", seconds=5).split.is_split
    assert not Scene().hear("mine").hear("theirs", mine="theirs").hear("newest", mine="theirs", seconds=4).split.is_split


def test_the_dead_are_nowhere() -> None:
    """What they left behind names the Redis of their days."""
    dead = Scene().hear("theirs", beats=False, seconds=1).split
    assert dead.is_suspected
    assert not Scene().hear("theirs", beats=False, seconds=60).split.is_split
    scene = Scene().hear("theirs")
    scene.clock.now += 8
    assert not scene.split.is_split


def test_who_does_not_know_where_they_are_is_not_judged() -> None:
    """Cut from Redis, or of a version that does not say."""
    assert not Scene().hear("").split.is_split
    assert not Scene().hear("theirs", mine="").split.is_split
