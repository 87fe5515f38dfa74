"""Does Redis carry what the other runs publish? Judged by their heartbeats, and by their bulletins when those are silent.

Each run publishes a heartbeat every period. The beat of its bulletin in the store says whether a silent run lives. While one run
is silent for another, both write their bulletins every second, so that one that stands still is soon told from one that rises.

| a peer is | evidence |
|---|---|
| heard | a heartbeat came lately by the Redis of this run, or its silence is so short that its bulletin is still being judged |
| quiet | silent, and its bulletin stands still: it has ended |
| cut | silent, lives, and says itself that Redis does not work for it: its changes are looked for in its bulletin every 2 s |
| apart | silent, its bulletin rose twice since, and it says nothing of the kind |
| unread | silent, and nothing else is known yet |

Redis is trusted while no peer is unread or apart. Only runs of which the store has a bulletin count, so forged heartbeats add
none. The bulletin of a run of an older version does not say that it publishes heartbeats: such a run is heard while its bulletin
names the Redis of this run. Of any other run that uses this Redis a heartbeat is waited for since its bulletin was first seen.

Pure: time is an argument, in monotonic seconds.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Final

from holdfast.domain.bulletins import Bulletin, StandingBulletin
from holdfast.domain.ids import InstanceId, RunId

MAX_PEERS: Final = 2_000
MAX_READS: Final = 8
"""Bulletins of silent peers that one run reads a second."""

_SHORTEST_PERIOD_SECONDS: Final = 0.5
_HEARTBEATS_A_SECOND: Final = 50  # heard by each run: a tenth of a percent of a core, with signatures
_SILENT_PERIODS: Final = 2.4
_MOMENT_SECONDS: Final = 3.0  # so long may the marks of a dead run wait, however large the fleet
_JUDGE_SECONDS: Final = 2.5  # of silence in which its bulletin is read three times: a run that was killed costs no trust
_URGENT_STILL_SECONDS: Final = 1.5  # a silent run writes its bulletin every second
_STILL_SECONDS: Final = 4.5  # else every 3 s
_APART_STILL_SECONDS: Final = 8.0  # of one that is known to live elsewhere: one late write is no end
_APART_READ_SECONDS: Final = 3.0  # of one that stands still after all
_FOLLOWS_SECONDS: Final = 5.0  # of one failover, one instance hears seconds later than another
_CUT_SECONDS: Final = 5.0  # it is read every 2 s; later its changes are not looked for as often as they have to be
_READ_SECONDS: Final = 1.0
_GAP_SECONDS: Final = 2.0  # what is longer between two reads says nothing: the store was away, for example
_RISES: Final = 2  # one may have been under way when the run ended
_NEVER: Final = float("-inf")
_CUT: Final = frozenset(("redis", "bus"))


def period_of(size: int) -> float:
    """Seconds between two heartbeats of one of so many runs."""
    return max(_SHORTEST_PERIOD_SECONDS, size / _HEARTBEATS_A_SECOND)


class Standing(Enum):
    """The evidence about a peer."""

    HEARD = "heard"
    QUIET = "quiet"
    CUT = "cut"
    APART = "apart"
    UNREAD = "unread"


@dataclass(slots=True)
class _Watch:
    """The beat of a bulletin, since its run is silent. `is_urgent`: the run writes it every second, if it lives."""

    beat: int
    rose_at: float
    read_at: float
    is_urgent: bool
    rises: int = 0

    def note(self, beat: int, read_at: float) -> None:
        if (unread_seconds := read_at - self.read_at - _GAP_SECONDS) > 0:  # it was not seen to stand still meanwhile
            self.rose_at, self.is_urgent = self.rose_at + unread_seconds, False
        self.read_at = max(self.read_at, read_at)
        if beat > self.beat:
            self.beat, self.rose_at, self.rises = beat, read_at, self.rises + 1

    def stands_still(self, seconds: float) -> bool:
        return self.read_at - self.rose_at >= seconds


@dataclass(slots=True)
class _Peer:
    bulletin: Bulletin
    heard_at: float = _NEVER
    asked_at: float = _NEVER
    noted_at: float = _NEVER
    watch: _Watch | None = None

    @property
    def is_cut(self) -> bool:
        return self.bulletin.is_cut or self.bulletin.mode in _CUT

    @property
    def is_still(self) -> bool:
        return self.watch is not None and self.watch.stands_still(self._still_seconds(self.watch))

    def is_read_enough(self, now: float) -> bool:
        """Its bulletin says all that it can say, for now."""
        watch = self.watch
        if watch is None or watch.rises < _RISES:
            return watch is not None and watch.stands_still(_STILL_SECONDS)
        return self.is_still and now - self.asked_at < _APART_READ_SECONDS

    def _still_seconds(self, watch: _Watch) -> float:
        if watch.rises >= _RISES:
            return _APART_STILL_SECONDS
        is_urgent = watch.is_urgent and self.bulletin.beats and not self.is_cut and not watch.rises
        return _URGENT_STILL_SECONDS if is_urgent else _STILL_SECONDS


class Peers:
    """The other runs, as this one knows them.

    Attributes:
        world: the Redis that this run uses; empty while it is not known.
        is_waiting: as of the last `look`, what was heard does not count since a moment ago, and no peer is known to be apart: the
            next heartbeats tell more than the bulletins.
        is_trusted: as of the last `look`, Redis carries here what every other living run publishes to it.
        cut: as of the last `look`, the names of living instances that say themselves that Redis does not work for them.
    """

    def __init__(self, run: RunId) -> None:
        self.world = ""
        self.is_trusted = True
        self.is_waiting = False
        self.cut: tuple[InstanceId, ...] = ()
        self._run = run
        self._peers: dict[RunId, _Peer] = {}
        self._own_heard_at = self._forgot_at = _NEVER
        self._apart: dict[RunId, float] = {}  # since when
        self._is_split = False

    @property
    def period_seconds(self) -> float:
        """Between two heartbeats of this run."""
        return period_of(len(self._peers) + 1)

    @property
    def is_split(self) -> bool:
        """As of the last `look`, a run that publishes where this one does not hear it, and not because of one failover."""
        return self._is_split

    # --- what happens -------------------------------------------------------------------------------------------------

    def hear(self, run: str, world: str, now: float) -> None:
        """A heartbeat came. One that names another Redis came by one that this run is leaving: it proves nothing."""
        if world and self.world not in ("", world):
            return
        if run == self._run:
            self._own_heard_at = now
        elif (peer := self._peers.get(RunId(run))) is not None:
            peer.heard_at, peer.watch = now, None

    def note(self, bulletins: Iterable[Bulletin], asked_at: float, *, is_complete: bool) -> None:
        """Bulletins that were read: some, or all (`is_complete`). This run's own may be among them."""
        living = {each.run: each for each in bulletins if not (each.is_dead or each.is_ended or each.run == self._run)}
        if is_complete:
            known, kept = self._peers, islice(living.items(), MAX_PEERS)
            self._peers = {run: known.get(run) or self._new(each, asked_at) for run, each in kept}
        for run in self._peers.keys() & living.keys():
            peer = self._peers[run]
            peer.bulletin, peer.noted_at = living[run], asked_at
            self._note_beat(peer, peer.bulletin.beat, asked_at)

    def note_standing(self, run: RunId, standing: StandingBulletin | None, asked_at: float) -> None:
        """The bulletin of a silent peer as the store has it now; None: it is gone."""
        if standing is None or standing.is_dead or standing.is_ended:
            self._peers.pop(run, None)
        elif (peer := self._peers.get(run)) is not None and standing.beat is not None:
            self._note_beat(peer, standing.beat, asked_at)

    def use(self, world: str, now: float) -> None:
        """This run uses that Redis now. What it heard by another one proves nothing of this one."""
        if "" not in (world, self.world) and world != self.world:
            self._forgot_at = now
            for peer in self._peers.values():
                peer.heard_at = _NEVER
        self.world = world

    def forget(self, now: float) -> None:
        """This process stood still: what was heard before it says nothing, nor does a bulletin that did not rise meanwhile."""
        self._forgot_at = now
        for peer in self._peers.values():
            peer.heard_at, peer.watch = _NEVER, None

    # --- what follows -------------------------------------------------------------------------------------------------

    def look(self, now: float, *, is_listening: bool) -> bool:
        """Judge all as of now; whether a run ended that was apart, perhaps before it told what it did. While Redis does not work
        here (not `is_listening`), nothing is trusted, and a run that ends then was not apart."""
        standings = self.standings(now) if is_listening else {}
        has_ended_apart = is_listening and any(standings.get(run, Standing.QUIET) is Standing.QUIET for run in self._apart)
        self._apart = {run: self._apart.get(run, now) for run, each in standings.items() if each is Standing.APART}
        self._is_split = any(now - since >= _FOLLOWS_SECONDS for since in self._apart.values())
        self.is_trusted = is_listening and not {Standing.APART, Standing.UNREAD} & set(standings.values())
        self.is_waiting = is_listening and not self._apart and now - self._forgot_at <= self._silent_seconds
        self.cut = tuple(self._peers[run].bulletin.instance_id for run, each in standings.items() if each is Standing.CUT)
        return has_ended_apart

    def standings(self, now: float) -> dict[RunId, Standing]:
        """The standing of each peer."""
        return {run: self._standing(peer, now) for run, peer in self._peers.items()}

    def hears(self, run: RunId, now: float) -> bool:
        """A heartbeat of that run came a moment ago: it lives, and Redis carries here what it publishes.

        In fleets of more than 60 this is not known of each run at each moment.
        """
        return run in self._peers and now - self._peers[run].heard_at <= min(self._silent_seconds, _MOMENT_SECONDS)

    def is_alarmed(self, now: float) -> bool:
        """This run, or a peer, fell silent a moment ago: the bulletin of this run is to be written soon, and again."""
        heard = [self._own_heard_at, *(peer.heard_at for peer in self._peers.values())]
        return any(0 < now - at - self._silent_seconds <= _STILL_SECONDS for at in heard)

    def to_read(self, now: float) -> list[tuple[RunId, str]]:
        """The silent peers whose bulletins are to be read now, and under which keys."""
        due = [
            (peer.asked_at, run, peer)
            for run, peer in self._peers.items()
            if not (self._is_heard(peer, now) or peer.is_cut or peer.is_read_enough(now))
        ]
        left = MAX_READS - sum(now - asked_at < _READ_SECONDS for asked_at, _, _ in due)
        chosen = [each for each in sorted(due, key=lambda each: each[:2]) if now - each[0] >= _READ_SECONDS][: max(0, left)]
        for _, _, peer in chosen:
            peer.asked_at = now
        return [(run, peer.bulletin.key) for _, run, peer in chosen]

    def _new(self, bulletin: Bulletin, asked_at: float) -> _Peer:
        return _Peer(bulletin, asked_at if bulletin.beats and self._is_here(bulletin) else _NEVER)

    def _is_here(self, bulletin: Bulletin) -> bool:
        return "" in (bulletin.server, self.world) or bulletin.server == self.world

    def _note_beat(self, peer: _Peer, beat: int, asked_at: float) -> None:
        if self._is_heard(peer, asked_at):
            peer.watch = None
        elif peer.watch is None:
            is_urgent = asked_at - peer.heard_at <= self._silent_seconds + _JUDGE_SECONDS
            peer.watch = _Watch(beat, asked_at, asked_at, is_urgent)
        else:
            peer.watch.note(beat, asked_at)

    @property
    def _silent_seconds(self) -> float:
        return _SILENT_PERIODS * self.period_seconds

    def _is_heard(self, peer: _Peer, now: float) -> bool:
        """By a heartbeat, or as a run of an older version is."""
        if now - peer.heard_at <= self._silent_seconds:
            return True
        return not peer.bulletin.beats and self._is_here(peer.bulletin) and not peer.is_cut

    def _standing(self, peer: _Peer, now: float) -> Standing:
        if self._is_heard(peer, now):
            return Standing.HEARD
        if peer.is_still:
            return Standing.QUIET
        if peer.is_cut:
            return Standing.CUT if now - peer.noted_at <= _CUT_SECONDS else Standing.UNREAD
        rises = peer.watch.rises if peer.watch is not None else 0
        if rises >= _RISES:
            return Standing.APART
        return Standing.HEARD if now - peer.heard_at <= self._silent_seconds + _JUDGE_SECONDS else Standing.UNREAD
