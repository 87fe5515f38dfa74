"""Everything that is not a message: what `Client.events` yields, and what an observer is told."""

from dataclasses import dataclass
from typing import Protocol

from holdfast.protocol import frames


@dataclass(frozen=True, slots=True)
class Connected:
    """Replay is over on a new connection. `resumed`: it went on where an earlier one had ended."""

    instance_id: str
    connection_id: str
    resumed: bool


@dataclass(frozen=True, slots=True)
class Disconnected:
    """There is no connection now and the client tries again by itself.

    `code`: RFC 6455, 1006 when nothing was said. `error`: the code of the error that the server named before; empty where none.
    """

    code: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Unreachable:
    """No connection is accepted now, or there is no token; the client tries again by itself. `code`: as of a `ClientStopped`."""

    code: str
    detail: str


Told = (
    frames.ConversationNotice
    | frames.Degraded
    | frames.PresenceNotice
    | frames.Receipt
    | frames.Reset
    | frames.Restored
    | frames.TypingNotice
)
"""Frames of the service that are handed on as they are."""

Event = Connected | Disconnected | Unreachable | Told


class Observer(Protocol):
    """Is told everything that happens, as it happens; drills write their history by it. Must not block or raise."""

    def record(self, event: str, **fields: object) -> None:
        """What each says besides is in docs/drills.md.

        Args:
            event: send, ack, refused, received, shown, truncated, reset, notice, opening, opened, synced, closed, presence,
                cursor or read.
            fields: of the event.
        """
        ...


class Nobody:
    """Observes nothing."""

    def record(self, event: str, **fields: object) -> None:
        """Nothing."""
