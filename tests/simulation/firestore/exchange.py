"""One call on its way between a client and the simulated Firestore."""

import asyncio
import contextvars
from dataclasses import dataclass, field

from simulation.firestore.refusals import Refused

Outcome = tuple[list[bytes], Refused | None]


@dataclass(eq=False, slots=True)
class Exchange:
    """A request and the place of its outcome: answers, then an error or none.

    Attributes:
        client: by which the server knows the caller.
        context: of the caller: what its loop runs for it runs in there, so that a killed process hears no answer.
        is_withdrawn: its caller died before it was carried out, so it never is; for watchers.
    """

    client: str
    method: str
    request: bytes
    outcome: asyncio.Future[Outcome]
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    is_withdrawn: bool = False

    def finish(self, answers: list[bytes], refusal: Refused | None) -> None:
        """It is over, unless it was over already."""
        if not self.outcome.done():
            self.outcome.set_result((answers, refusal))
