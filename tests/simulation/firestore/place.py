"""Firestore as the store of a simulated cluster: faults and aims as of `simulation.sqlite.SimulatedStore`, on another store."""

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from google.cloud.firestore_v1.types import firestore

from holdfast.node.health.store_calls import OPERATION
from holdfast.telemetry import OTHER
from simulation.firestore.client import Connect, connecting
from simulation.firestore.documents import Backup
from simulation.firestore.exchange import Exchange
from simulation.firestore.faults import HARMLESS, Fault, Faults
from simulation.firestore.refusals import Status
from simulation.firestore.server import FirestoreServer, Moment
from simulation.loop import EPOCH_SECONDS, SimulatedLoop
from simulation.process import Process, process_of
from simulation.sqlite import StoreDelays

PROJECT: Final = "simulated"
_DATABASE: Final = f"projects/{PROJECT}/databases/(default)"
ROOT: Final = f"{_DATABASE}/documents"
_WRITES: Final = frozenset({
    "add_presence", "advance_cursors", "append", "block", "change_members", "claim_notifications", "clear_notification",
    "create_conversation", "create_notifications", "declare_dead", "finish_catch_up", "mark_notifications", "note_activity",
    "remove_bulletin", "remove_presence", "renew", "revoke", "revoke_token", "unblock", "update_conversation", "write_bulletin",
})  # fmt: skip


class SharedFaults(Faults):
    """Those that wait for a call, and shares of all others; may be changed at any time.

    Attributes:
        lost_before: the share of calls that are not carried out, with an error.
        lost_after: the share of calls that are, and whose answer is an error or is lost.
        extra_seconds: up to so much more for each call.
    """

    def __init__(self, randomness: random.Random) -> None:
        super().__init__(randomness)
        self.lost_before = 0.0
        self.lost_after = 0.0
        self.extra_seconds = 0.0

    def of(self, call: Exchange) -> Fault:
        """See `Faults.of`."""
        fault = super().of(call)
        return self._drawn() if fault is HARMLESS else fault

    def _drawn(self) -> Fault:
        fate, chance = self._randomness.random(), self._randomness.random()
        delay_seconds = self.extra_seconds * chance
        if fate < self.lost_before:
            return Fault(code=Status.UNAVAILABLE, is_done=False, delay_seconds=delay_seconds)
        if fate < self.lost_before + self.lost_after:
            is_lost = self._randomness.random() < 0.5
            return Fault(code=None if is_lost else Status.UNAVAILABLE, is_lost=is_lost, delay_seconds=delay_seconds)
        return Fault(delay_seconds=delay_seconds) if delay_seconds else HARMLESS


class SimulatedFirestore(FirestoreServer):
    """In a process `store` of the loop. Freeze that process, and the store hangs; cut it off the network, and calls wait.

    Attributes:
        process: of the name `store`.
        faults: of single calls, and shares of all calls.
        delays: how long a way takes.
    """

    faults: SharedFaults

    def __init__(self, loop: SimulatedLoop, seed: int) -> None:
        """Empty."""
        self.process = loop.process("store")
        randomness = random.Random(f"firestore-{seed}")
        self.delays = StoreDelays()
        self._loop = loop
        self._chance = randomness
        super().__init__(self._now, randomness, context=self.process.context, faults=SharedFaults(randomness))

    def connecting(self, client: str) -> Connect:
        """For the machine of the process of that name."""
        return connecting(self, client)

    def latency(self, call: Exchange) -> float:
        """See `FirestoreServer.latency`."""
        return self.delays.draw(self._chance) + super().latency(call)

    def reaches(self, client: str, *, is_answer: bool) -> bool:
        """See `FirestoreServer.reaches`."""
        way = (self.process.name, client) if is_answer else (client, self.process.name)
        return not self._loop.network.is_cut(*way)

    def aim(
        self,
        process: str,
        action: Callable[[Process], None],
        *,
        moment: Moment,
        calls: int = 1,
        operations: tuple[str, ...] = (),
    ) -> Callable[[], None]:
        """Do something at a call to come, once; see `SimulatedStore.aim`.

        An operation of the store is several calls here. One that writes is counted, after it is done, when it commits.
        """
        left = calls

        def watch(call: Exchange, at: Moment) -> None:
            nonlocal left
            if at != moment or call.client != process or not _counts(call, at, operations):
                return
            left -= 1
            if left == 0:
                forget()
                caller = process_of(call.context, self._loop.root)
                was_dead = caller.is_dead
                action(caller)
                call.is_withdrawn = caller.is_dead and not was_dead

        def forget() -> None:
            with suppress(ValueError):
                self.watchers.remove(watch)

        self.watchers.append(watch)
        return forget

    def snapshot(self) -> Backup:
        """A backup."""
        return self.backup()

    def restore(self, backup: Backup, generation: str | None = None) -> None:
        """Put a backup back while instances run; `generation`: as `holdfast store renew` sets it afterwards."""
        super().restore(backup)
        if generation is not None:
            fields = {"id": {"string_value": generation}}
            renewed = {"update": {"name": f"{ROOT}/meta/generation", "fields": fields}}
            request = firestore.CommitRequest(database=_DATABASE, writes=[renewed])
            self.service.call("Commit", firestore.CommitRequest.serialize(request))

    def _now(self) -> float:
        return EPOCH_SECONDS + self._loop.now + self.process.clock_offset_seconds


def _counts(call: Exchange, at: Moment, operations: tuple[str, ...]) -> bool:
    operation = call.context.get(OPERATION, OTHER)
    if operations and operation not in operations:
        return False
    return at == "before" or call.method == "Commit" or operation not in _WRITES
