"""What the heartbeats and the bulletins of the other runs say of Redis."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.domain.bulletins import Bulletin, StandingBulletin
from holdfast.domain.ids import Epoch, InstanceId, RunId
from holdfast.node.cluster.peers import MAX_PEERS, MAX_READS, Peers, Standing, period_of

ONE, TWO = RunId("one:1"), RunId("two:1")


def bulletin(beat: int, run: RunId = TWO, mode: str = "ok", server: str = "here") -> Bulletin:
    """Of that run, as the store has it."""
    name, _, epoch = run.partition(":")
    return Bulletin(InstanceId(name), Epoch(epoch), beat, mode, server=server, beats=True)


class Scene:
    """Run `one` at the Redis `here` and its peer `two`; a step is a quarter of a second.

    Attributes:
        reads: single bulletins that were read.
        distrusted: seconds without trust.
        ended: how often a run ended that was apart.
    """

    def __init__(self, mode: str = "ok", server: str = "here", *, beats: bool = True) -> None:
        self.now, self.reads, self.distrusted, self.ended = 100.0, 0, 0.0, 0
        self.peers = Peers(ONE)
        self.peers.world = "here"
        self.stored = replace(bulletin(1, mode=mode, server=server), beats=beats)
        self.look_at_all()

    def look_at_all(self, *bulletins: Bulletin) -> None:
        """As every 15 s, and every second while Redis is not trusted."""
        self.peers.note(bulletins or [self.stored], self.now, is_complete=True)

    def pass_(
        self,
        seconds: float,
        *,
        world: str | None = "here",
        beats: float = 0.0,
        is_listening: bool = True,
        has_store: bool = True,
    ) -> "Scene":
        """So much time; `world`: where heartbeats of `two` come from (None: none); `beats`: seconds between its bulletins."""
        for step in range(1, round(seconds * 4) + 1):
            self.now += 0.25
            self.peers.hear(ONE, "here", self.now)
            if world is not None:
                self.peers.hear(TWO, world, self.now)
            if has_store and beats and (step * 0.25) % beats == 0:
                self.stored = replace(self.stored, beat=self.stored.beat + 1)
            for run, key in self.peers.to_read(self.now):
                assert key == run
                if not has_store:
                    continue
                self.reads += 1
                self.peers.note_standing(run, StandingBulletin("v", self.stored.beat, is_dead=False), self.now)
            self.ended += self.peers.look(self.now, is_listening=is_listening)
            if has_store and step % 4 == 0 and not self.peers.is_trusted:
                self.look_at_all()
            self.distrusted += 0.25 * (not self.peers.is_trusted)
        return self

    @property
    def standing(self) -> Standing | None:
        """Of `two`."""
        return self.peers.standings(self.now).get(TWO)


def test_peer_that_is_heard_costs_neither_trust_nor_reads() -> None:
    """The calm day."""
    scene = Scene().pass_(60, beats=3)
    assert (scene.standing, scene.distrusted, scene.reads) == (Standing.HEARD, 0, 0)


def test_peer_that_was_killed_costs_no_trust_and_a_few_reads() -> None:
    """Its bulletin stands still while the silence is short."""
    scene = Scene().pass_(10).pass_(60, world=None)
    assert (scene.standing, scene.distrusted) == (Standing.QUIET, 0)
    assert scene.reads <= 6


def test_peer_that_was_killed_while_it_wrote_its_bulletin_costs_little_trust() -> None:
    """That write may have landed after the first look."""
    scene = Scene().pass_(10).pass_(2, world=None, beats=2).pass_(60, world=None)
    assert scene.standing is Standing.QUIET
    assert scene.distrusted <= 4


@pytest.mark.parametrize("beats", [1.0, 3.0])
def test_peer_that_lives_and_is_silent_ends_the_trust_within_four_seconds(beats: float) -> None:
    """It publishes where this run does not hear it: at another Redis, for example."""
    scene = Scene().pass_(10).pass_(4, world=None, beats=1.0)
    assert not scene.peers.is_trusted
    scene.pass_(20, world=None, beats=beats)
    assert (scene.standing, scene.peers.is_split, scene.peers.cut) == (Standing.APART, True, ())
    assert scene.distrusted >= 20
    scene.pass_(1)
    assert (scene.peers.is_trusted, scene.peers.is_split, scene.ended) == (True, False, 0)


def test_one_failover_is_followed_by_some_seconds_later_than_by_others() -> None:
    """Meanwhile nothing is trusted, and no client is told of it."""
    scene = Scene().pass_(10).pass_(7, world=None, beats=1.0)
    assert (scene.peers.is_trusted, scene.peers.is_split) == (False, False)


def test_heartbeat_that_names_another_redis_proves_nothing() -> None:
    """It came by a Redis that this run is leaving. One of which the Redis is not known counts."""
    assert not Scene().pass_(10).pass_(20, world="elsewhere", beats=1.0).peers.is_trusted
    assert Scene().pass_(10).pass_(20, world="", beats=1.0).peers.is_trusted


def test_peer_that_says_itself_that_redis_does_not_work_for_it_is_named_and_costs_no_trust() -> None:
    """Its changes are looked for in its bulletin every two seconds."""
    scene = Scene().pass_(10)
    scene.stored = replace(scene.stored, mode="redis")
    scene.look_at_all()
    for _ in range(15):
        scene.pass_(2, world=None, beats=1.0)
        scene.look_at_all()
    assert (scene.standing, scene.distrusted, scene.peers.cut) == (Standing.CUT, 0, ("two",))
    scene.look_at_all()
    assert scene.peers.cut == ("two",)
    scene.stored = replace(scene.stored, mode="recovering")
    scene.pass_(5, beats=3.0)
    assert (scene.standing, scene.peers.cut) == (Standing.HEARD, ())


@pytest.mark.parametrize("how", ["stands still", "is gone", "is dead", "has ended"])
def test_end_of_a_peer_that_was_apart_is_told_once(how: str) -> None:
    """Perhaps it did not tell what it did last: that is looked for."""
    scene = Scene().pass_(10).pass_(10, world=None, beats=1.0)
    if how == "stands still":
        scene.pass_(20, world=None)
    else:
        standing = StandingBulletin("v", 9, is_dead=how == "is dead", is_ended=how == "has ended") if how != "is gone" else None
        scene.peers.note_standing(TWO, standing, scene.now)
        scene.ended += scene.peers.look(scene.now, is_listening=True)
    assert scene.peers.is_trusted
    assert scene.ended == 1
    assert not scene.peers.look(scene.now, is_listening=True)


def test_nothing_is_trusted_while_redis_does_not_work_here() -> None:
    """And a run that ends then was not apart: no other was heard."""
    scene = Scene().pass_(10).pass_(10, world=None, beats=1.0, is_listening=False)
    assert not scene.peers.is_trusted
    scene.pass_(20, world=None, is_listening=False)
    assert (scene.peers.is_split, scene.ended) == (False, 0)
    assert scene.pass_(1).peers.is_trusted


def test_run_of_an_older_version_is_heard_while_its_bulletin_names_this_redis() -> None:
    """It sends no heartbeats. Its bulletin names the Redis of its lease."""
    assert Scene(beats=False).pass_(30, world=None, beats=3.0).distrusted == 0
    assert Scene(server="", beats=False).pass_(30, world=None, beats=3.0).distrusted == 0, "while it is not known"
    elsewhere = Scene(server="elsewhere", beats=False).pass_(30, world=None, beats=3.0)
    assert (elsewhere.standing, elsewhere.distrusted) == (Standing.APART, 30)
    assert Scene(server="elsewhere", beats=False).pass_(60, world=None).peers.is_trusted, "its bulletin stands still"


@pytest.mark.parametrize("seconds", [5, 30])
@pytest.mark.parametrize("apart", [0, 3, 10])
def test_time_without_the_store_is_no_silence_of_the_peer(apart: float, seconds: float) -> None:
    """Neither could write meanwhile. If that made it one that has ended, Redis would be trusted while it lives elsewhere."""
    scene = Scene().pass_(10).pass_(apart, world=None, beats=1.0).pass_(seconds, world=None, has_store=False)
    assert not scene.peers.is_trusted
    before = scene.distrusted
    scene.pass_(20, world=None, beats=3.0)
    assert (scene.standing, scene.distrusted - before, scene.ended) == (Standing.APART, 20, 0)


def test_late_write_of_a_peer_that_is_apart_is_no_end_of_it() -> None:
    """Else Redis would be trusted, and the whole other half be taken for dead, because of one slow write."""
    scene = Scene().pass_(10).pass_(10, world=None, beats=1.0)
    before = scene.distrusted
    scene.pass_(7, world=None).pass_(3, world=None, beats=1.0)
    assert (scene.distrusted - before, scene.ended) == (10, 0)


def test_peer_that_was_apart_and_stood_still_is_found_alive_within_four_seconds() -> None:
    """Its bulletin is still read, but not every second."""
    scene = Scene().pass_(10).pass_(10, world=None, beats=1.0).pass_(60, world=None)
    assert (scene.standing, scene.ended) == (Standing.QUIET, 1)
    reads = scene.reads
    assert scene.pass_(60, world=None).reads - reads <= 21
    assert not scene.pass_(4, world=None, beats=1.0).peers.is_trusted


@pytest.mark.parametrize("server", ["here", ""])
def test_run_that_says_that_it_publishes_heartbeats_and_was_never_heard_is_not_trusted_for_long(server: str) -> None:
    """It has another secret, for example, or is at another Redis that does not say which it is."""
    assert Scene(server=server).pass_(1, world=None, beats=1.0).distrusted == 0, "it has only just started"
    scene = Scene(server=server).pass_(30, world=None, beats=3.0)
    assert (scene.standing, scene.peers.is_trusted) == (Standing.APART, False)


def test_forged_heartbeat_of_a_run_of_an_older_version_changes_nothing() -> None:
    """That run sends none: another one is not waited for."""
    scene = Scene(beats=False)
    scene.peers.hear(TWO, "", scene.now)
    assert scene.pass_(30, world=None, beats=3.0).distrusted == 0


def test_standstill_of_this_process_ends_what_was_believed() -> None:
    """Until the next heartbeat of the peer."""
    scene = Scene().pass_(10)
    scene.peers.forget(scene.now)
    scene.peers.look(scene.now, is_listening=True)
    assert not scene.peers.is_trusted
    assert scene.peers.is_waiting, "else each standstill is followed by a read of all bulletins every second"
    assert scene.pass_(0.5).peers.is_trusted
    scene.peers.forget(scene.now)
    assert not scene.pass_(2, world=None).peers.is_waiting


def test_heartbeat_heard_by_the_former_redis_proves_nothing_of_the_next_one() -> None:
    """A run that alone moves to another Redis heard all others a moment ago."""
    scene = Scene().pass_(10)
    scene.peers.use("elsewhere", scene.now)
    scene.peers.look(scene.now, is_listening=True)
    assert not scene.peers.is_trusted
    assert scene.pass_(0.5, world="elsewhere").peers.is_trusted
    scene.peers.use("", scene.now)
    scene.peers.look(scene.now, is_listening=True)
    assert scene.peers.is_trusted, "it is not known for a while which Redis this is"


def test_peer_that_is_cut_is_trusted_only_while_its_bulletin_is_read() -> None:
    """A comparison with the store may hold up the reading for half a minute."""
    scene = Scene(mode="redis").pass_(4, world=None)
    assert (scene.standing, scene.peers.is_trusted) == (Standing.CUT, True)
    scene.pass_(2, world=None, has_store=False)
    assert (scene.standing, scene.peers.is_trusted) == (Standing.UNREAD, False)


def test_both_sides_of_a_silence_write_their_bulletins_soon() -> None:
    """Else each could take the other for one that has ended. Not for ever."""
    scene = Scene().pass_(10)
    assert not scene.peers.is_alarmed(scene.now)
    scene.pass_(2, world=None)
    assert scene.peers.is_alarmed(scene.now)
    scene.pass_(10, world=None)
    assert not scene.peers.is_alarmed(scene.now)
    assert scene.peers.is_alarmed(scene.now + 2), "its own heartbeats are missing"


def test_only_runs_of_which_the_store_has_a_bulletin_count() -> None:
    """A forged heartbeat adds none. Ended runs and dead ones are no peers."""
    scene = Scene().pass_(10)
    for name in range(10):
        scene.peers.hear(f"forged/{name}", "here", scene.now)
    assert list(scene.peers.standings(scene.now)) == [TWO]
    three, four = (bulletin(1, RunId(f"{name}:1")) for name in ("three", "four"))
    scene.look_at_all(scene.stored, replace(three, is_ended=True), replace(four, is_dead=True), bulletin(1, ONE))
    assert list(scene.peers.standings(scene.now)) == [TWO]
    scene.peers.note([three], scene.now, is_complete=False)
    assert list(scene.peers.standings(scene.now)) == [TWO], "some, not all"


def test_peers_and_reads_are_bounded() -> None:
    """Whatever the store holds."""
    scene = Scene()
    scene.look_at_all(*(bulletin(1, RunId(f"i{number}:1"), server="elsewhere") for number in range(MAX_PEERS + 10)))
    assert len(scene.peers.standings(scene.now)) == MAX_PEERS
    assert scene.peers.period_seconds == period_of(MAX_PEERS + 1)
    reads = [len(scene.peers.to_read(scene.now + step / 4)) for step in range(40)]
    assert max(reads) <= MAX_READS
    assert sum(reads) <= 10 * MAX_READS


def test_run_is_heard_for_a_moment_after_each_heartbeat() -> None:
    """Longer in larger fleets, whose heartbeats are rarer, and never for more than 3 s: its marks wait for that."""
    for size, least, most in ((2, 1.0, 1.3), (50, 2.2, 2.5), (300, 2.9, 3.1)):
        scene = Scene()
        scene.look_at_all(scene.stored, *(bulletin(1, RunId(f"i{number}:1")) for number in range(size - 2)))
        scene.now += 20.0
        assert not scene.peers.hears(TWO, scene.now)
        scene.peers.hear(TWO, "here", scene.now)
        assert [scene.peers.hears(TWO, scene.now + seconds) for seconds in (0.0, least, most)] == [True, True, False]
    assert not scene.peers.hears(RunId("unknown:1"), scene.now)


EVENTS = st.lists(st.tuples(st.sampled_from(["hear", "rise", "still", "fault", "gone", "forget"]), st.floats(0.1, 5.0)))


@given(EVENTS)
def test_a_heartbeat_makes_the_peer_heard_whatever_was_before(events: list[tuple[str, float]]) -> None:
    """No order of events leaves an instance without trust in a Redis that works."""
    scene = Scene()
    for event, seconds in events:
        match event:
            case "fault":
                scene.stored = replace(scene.stored, mode="bus")
            case "gone":
                scene.peers.note_standing(TWO, None, scene.now)
            case "forget":
                scene.peers.forget(scene.now)
            case _:
                scene.pass_(seconds, world="here" if event == "hear" else None, beats=1.0 if event == "rise" else 0.0)
    scene.look_at_all(replace(scene.stored, mode="ok"))
    assert scene.pass_(1).peers.is_trusted
