"""The simulated Firestore as a server on an event loop: calls take time, and its faults befall them.

Its work runs in a context of its own, not in its callers': a caller that is killed has sent its request nonetheless. All
waiting is the loop's, so that virtual time will do.
"""

import asyncio
import contextvars
import random
from collections.abc import Callable
from typing import Final, Literal

from simulation.firestore.documents import Backup
from simulation.firestore.exchange import Exchange
from simulation.firestore.faults import Fault, Faults
from simulation.firestore.refusals import Refused, Status
from simulation.firestore.service import Service

Moment = Literal["before", "after", "answered"]
"""Of a call: it has arrived and is not carried out; it is, and was not refused; its answer has reached its caller."""

EVERYONE: Final = "*"  # in place of a client's name
_LATE_SHARE: Final = 0.5  # of the requests without a waiting caller that arrive after all
_AGAIN_SECONDS: Final = (0.2, 0.8)  # until a lost request is sent again
_RESET: Final = Refused(Status.UNAVAILABLE, "recvmsg:Connection reset by peer")
_AWAY: Final = Refused(Status.UNAVAILABLE, "failed to connect to all addresses; last error: Connection refused")


class FirestoreServer:
    """All projects and databases, for all clients.

    Attributes:
        service: what is stored, and Firestore's calls on it.
        faults: what befalls single calls.
        latency_seconds: the mean of each way, there and back.
        slow: more of it for single clients, by name, in seconds.
        watchers: told of each call at each of its moments; the call goes on when they have acted on its caller.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        randomness: random.Random,
        *,
        latency_seconds: float = 0.0,
        context: contextvars.Context | None = None,
        faults: Faults | None = None,
    ) -> None:
        """Empty.

        Args:
            clock: seconds since 1970.
            context: in which the server's own work runs; a copy of the current one, where none is given.
            faults: in place of none.
        """
        self.service = Service(clock)
        self.faults = faults or Faults(randomness)
        self.watchers: list[Callable[[Exchange, Moment], None]] = []
        self.latency_seconds = latency_seconds
        self.slow: dict[str, float] = {}
        self._randomness = randomness
        self._context = context or contextvars.copy_context()
        self._under_way: dict[Exchange, None] = {}
        self._on_the_wire: dict[Exchange, None] = {}  # sent, and not carried out yet
        self._is_frozen = False
        self._refused: set[str] = set()
        self._cut: set[str] = set()
        self._held: list[tuple[Exchange, Callable[[], None]]] = []

    # --- the way of a call ------------------------------------------------------------------------------------------------

    def send(self, call: Exchange) -> None:
        """A request leaves its client."""
        self._under_way[call] = None
        call.outcome.add_done_callback(lambda _: self._under_way.pop(call, None))
        if self._is_among(self._refused, call.client):
            self._later(self.latency(call), lambda: self._tell(call, [], _AWAY))
            return
        self._on_the_wire[call] = None
        self._later(self.latency(call), lambda: self._arrive(call))

    def _arrive(self, call: Exchange) -> None:
        fault = self.faults.of(call)
        self._later(fault.delay_seconds, lambda: self._carry_out(call, fault))

    def _carry_out(self, call: Exchange, fault: Fault) -> None:
        if self._holds(call, lambda: self._carry_out(call, fault), is_answer=False):
            return
        if call not in self._on_the_wire:
            return  # lost with its connection
        del self._on_the_wire[call]
        if call.outcome.done() and self._randomness.random() >= _LATE_SHARE:
            return  # that its caller gave up was heard first
        self._tell_watchers(call, "before")
        if fault.is_done and call.is_withdrawn:
            return
        answers, refusal = self._outcome(call, fault)
        if fault.is_done and refusal is None:
            self._tell_watchers(call, "after")
        if fault.hook is not None:
            fault.hook(call)
        if not fault.is_lost:
            self._later(self.latency(call) + fault.answer_delay_seconds, lambda: self._answer(call, answers, refusal))

    def _outcome(self, call: Exchange, fault: Fault) -> tuple[list[bytes], Refused | None]:
        answers: list[bytes] = []
        if fault.is_done:
            try:
                answers = self.service.call(call.method, call.request)
            except Refused as refusal:
                if fault.code is None:
                    return [], refusal
        if fault.code is not None:
            return answers[: fault.kept], Refused(fault.code, f"{fault.code.name.lower()}, says the simulation")
        return answers, None

    def _answer(self, call: Exchange, answers: list[bytes], refusal: Refused | None) -> None:
        if not self._holds(call, lambda: self._answer(call, answers, refusal), is_answer=True):
            self._tell(call, answers, refusal)

    def _tell(self, call: Exchange, answers: list[bytes], refusal: Refused | None) -> None:
        self._under_way.pop(call, None)
        asyncio.get_running_loop().call_soon(self._told, call, answers, refusal, context=call.context)

    def _told(self, call: Exchange, answers: list[bytes], refusal: Refused | None) -> None:
        """In the caller's context."""
        if refusal is None:
            self._tell_watchers(call, "answered")
        call.finish(answers, refusal)

    def _tell_watchers(self, call: Exchange, moment: Moment) -> None:
        for watch in tuple(self.watchers):
            watch(call, moment)

    def _later(self, delay_seconds: float, work: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(delay_seconds, work, context=self._context)

    def latency(self, call: Exchange) -> float:
        """Seconds of one way."""
        mean = self.latency_seconds + self.slow.get(call.client, 0.0)
        return mean * (0.3 + 1.4 * self._randomness.random()) if mean else 0.0

    # --- faults of the way ------------------------------------------------------------------------------------------------

    def freeze(self) -> None:
        """The server answers no call until `thaw`; connections stay open."""
        self._is_frozen = True

    def thaw(self) -> None:
        """It goes on with what has arrived meanwhile."""
        self._is_frozen = False
        self._go_on()

    def cut(self, client: str = EVERYONE) -> None:
        """Nothing passes between it and this client, until `heal`; requests and answers are held on the way."""
        self._cut.add(client)

    def heal(self, client: str = EVERYONE) -> None:
        """Held requests and answers go on."""
        self._cut.discard(client)
        self._go_on()

    def reset(self, client: str = EVERYONE) -> None:
        """The client's connections break: calls under way end, what is still on the way is lost or arrives just so."""
        for call in [each for each in self._under_way if self._is_among({client}, each.client)]:
            if call in self._on_the_wire and (self._is_held(call) or self._randomness.random() >= _LATE_SHARE):
                del self._on_the_wire[call]
            self._tell(call, [], _RESET)
        for call in [each for each in self._on_the_wire if self._is_among({client}, each.client) and each.outcome.done()]:
            del self._on_the_wire[call]

    def refuse(self, client: str = EVERYONE) -> None:
        """Its connections break, and it gets no new ones until `listen`."""
        self._refused.add(client)
        self.reset(client)

    def listen(self, client: str = EVERYONE) -> None:
        """Connections are accepted again."""
        self._refused.discard(client)

    # --- what operators do ------------------------------------------------------------------------------------------------

    def backup(self) -> Backup:
        """All that is stored now."""
        return self.service.stored.backup()

    def restore(self, backup: Backup) -> None:
        """Documents written since the backup are gone, while instances run."""
        self.service.stored.restore(backup)

    def empty(self) -> None:
        """Nothing is stored any more, the generation neither."""
        self.service.stored.empty()

    def reaches(self, client: str, *, is_answer: bool) -> bool:
        """Whether the network between them carries a request, or an answer; for a simulated network."""
        return True

    def _holds(self, call: Exchange, work: Callable[[], None], *, is_answer: bool) -> bool:
        """Whether it gets no further now; `work` is done when it does."""
        if self._is_held(call):
            self._held.append((call, work))
            return True
        if not self.reaches(call.client, is_answer=is_answer):
            self._later(self._randomness.uniform(*_AGAIN_SECONDS), work)
            return True
        return False

    def _is_held(self, call: Exchange) -> bool:
        return self._is_frozen or self._is_among(self._cut, call.client)

    def _go_on(self) -> None:
        held, self._held = self._held, []
        for _, work in held:
            self._later(0.0, work)

    @staticmethod
    def _is_among(names: set[str], client: str) -> bool:
        return client in names or EVERYONE in names
