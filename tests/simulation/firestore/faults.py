"""Faults of calls to the simulated Firestore: refusals, lost answers, delays, and a hook between the commit and its answer.

Each fault waits for calls that match it. Faults of the way (frozen, away, cut off) are methods of the server.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

import grpc  # type: ignore[import-untyped]  # ships no types

from simulation.firestore.exchange import Exchange
from simulation.firestore.refusals import Status


@dataclass(slots=True)
class Fault:
    """One kind of trouble, for the calls that match.

    Attributes:
        code: the answer is this error; None: the real answer, or none at all.
        is_done: the request is carried out nonetheless.
        is_lost: no answer ever comes; the caller's deadline ends the call.
        delay_seconds: before the request is carried out, whether a caller still waits for it or not.
        answer_delay_seconds: before the answer leaves.
        kept: so many answers of a stream come before the error.
        hook: called when the request is carried out (if it is), before its answer leaves; it may kill the caller.
        method: of these calls only, `Commit` for example; empty: of all.
        client: of this client only; empty: of all.
        containing: only of requests that contain these bytes.
        after: so many matching calls go by unharmed first.
        times: so many calls are hit, then it is over; None: until it is taken away.
        share: of the matching calls, by chance.
    """

    code: grpc.StatusCode | None = None
    is_done: bool = True
    is_lost: bool = False
    delay_seconds: float = 0.0
    answer_delay_seconds: float = 0.0
    kept: int = 0
    hook: Callable[[Exchange], None] | None = None
    method: str = ""
    client: str = ""
    containing: bytes = b""
    after: int = 0
    times: int | None = 1
    share: float = 1.0

    def matches(self, call: Exchange) -> bool:
        """Whether it is about calls like this one."""
        is_its_method = not self.method or self.method == call.method
        is_its_client = not self.client or self.client == call.client
        return is_its_method and is_its_client and self.containing in call.request

    @property
    def is_over(self) -> bool:
        """It hits nothing any more."""
        return self.times == 0


HARMLESS = Fault(times=None)


def contention(**more: object) -> Fault:
    """Others hold the documents: nothing is done, and the answer says so."""
    return Fault(code=Status.ABORTED, is_done=False, **{"method": "Commit", **more})  # type: ignore[arg-type]  # checked by its users' tests


def unavailable(*, is_done: bool, **more: object) -> Fault:
    """The connection breaks, before the request is carried out or after: the caller cannot tell."""
    return Fault(code=Status.UNAVAILABLE, is_done=is_done, **more)  # type: ignore[arg-type]  # see above


def lost_answer(**more: object) -> Fault:
    """Carried out, and never answered."""
    return Fault(is_lost=True, **more)  # type: ignore[arg-type]  # see above


def lost_request(**more: object) -> Fault:
    """Neither carried out nor answered."""
    return Fault(is_done=False, is_lost=True, **more)  # type: ignore[arg-type]  # see above


def refused(code: grpc.StatusCode, **more: object) -> Fault:
    """Not carried out: RESOURCE_EXHAUSTED, PERMISSION_DENIED, INTERNAL and so on."""
    return Fault(code=code, is_done=False, **more)  # type: ignore[arg-type]  # see above


class Faults:
    """Those that are waiting, the oldest first: a call is hit by the first that matches."""

    def __init__(self, randomness: random.Random) -> None:
        self._randomness = randomness
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """From now on; the fault, to be taken away with `remove`."""
        self._waiting.append(fault)
        return fault

    def remove(self, fault: Fault) -> None:
        """It hits nothing any more."""
        self._waiting = [each for each in self._waiting if each is not fault]

    def clear(self) -> None:
        """No fault is waiting."""
        self._waiting.clear()

    def of(self, call: Exchange) -> Fault:
        """The fault of this call."""
        hit = next((fault for fault in self._waiting if fault.matches(call) and self._hits(fault)), HARMLESS)
        self._waiting = [fault for fault in self._waiting if not fault.is_over]
        return hit

    def _hits(self, fault: Fault) -> bool:
        if fault.after > 0:
            fault.after -= 1
            return False
        if fault.share < 1.0 and self._randomness.random() >= fault.share:
            return False
        if fault.times is not None:
            fault.times -= 1
        return True
