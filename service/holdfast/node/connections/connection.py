"""One accepted socket, as the rest of the instance sees it.

`deliver` is the target of fan-out, and depends on the state of the connection: it drops before `hello`, appends to the backlog
during the replay, writes to the socket when live, and drops after the end. So a fan-out needs no checks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from holdfast.domain.ids import ConnectionId, ConversationId, Seq, UserId
from holdfast.ports import Transport

MAX_BACKLOG_BYTES: Final = 256 * 1024  # half of the socket's write limit, which it joins: a slower client is cut off


def _nowhere(data: bytes) -> None:
    """Before `hello` and after the end."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The user whom a token proved. Times are Unix seconds. `token_id`: the claim `jti`; empty where there is none."""

    user_id: UserId
    is_admin: bool
    issued_at: int
    expires_at: int
    token_id: str = ""


class Connection:
    """Lives in the loop. Created by the socket's rim, ended by `end`.

    Attributes:
        conversations: what it hears, and after which message it is live there; None before its `hello` is answered.
        has_been_live: everything that the user had missed was written to it.
        opened_at: when it was accepted, monotonic seconds.
        grant: of its present token; `user_id` stays the same.
        missed: conversations whose membership changed while that answer was being made.
        unlisted_cursors: those of `hello` in conversations that the list of the user's conversations lacked.
        entered: the revision by which it was let into each: that event needs not be told, and no older reading turns it away.
    """

    __slots__ = (
        "_backlog",
        "_backlog_bytes",
        "_is_live",
        "connected_at_ms",
        "connection_id",
        "conversations",
        "deliver",
        "entered",
        "grant",
        "has_been_live",
        "inflight_sends",
        "is_ended",
        "missed",
        "opened_at",
        "transport",
        "unlisted_cursors",
        "user_id",
    )

    def __init__(
        self,
        connection_id: ConnectionId,
        grant: Grant,
        transport: Transport,
        *,
        connected_at_ms: int,
        opened_at: float = 0.0,
    ) -> None:
        self.connection_id = connection_id
        self.user_id = grant.user_id
        self.grant = grant
        self.transport = transport
        self.connected_at_ms = connected_at_ms
        self.opened_at = opened_at
        self.conversations: dict[ConversationId, Seq] | None = None
        self.missed: dict[ConversationId, None] = {}
        self.unlisted_cursors: dict[ConversationId, Seq] = {}
        self.entered: dict[ConversationId, int] = {}
        self.deliver: Callable[[bytes], None] = _nowhere
        self.inflight_sends = 0
        self.has_been_live = False
        self.is_ended = False
        self._backlog: list[bytes] | None = None
        self._backlog_bytes = 0
        self._is_live = False

    def write(self, data: bytes) -> None:
        """Answer this client; the same way out as everything else."""
        self.transport.write(data)

    def hold_back(self) -> None:
        """From now on what is fanned out waits until `go_live`."""
        self._backlog = []
        self._backlog_bytes = 0
        self.deliver = self._keep

    def redirect(self, write: Callable[[bytes], None]) -> None:
        """The socket's way out changed; the live part follows it."""
        if self._is_live:
            self.deliver = write

    def go_live(self) -> None:
        """Write what waited, and from now on straight to the socket."""
        backlog, self._backlog = self._backlog or [], None
        self._is_live = self.has_been_live = True
        self.deliver = self.transport.write
        if backlog:
            self.transport.write(b"".join(backlog))

    def live_since(self, conversation_id: ConversationId) -> Seq | None:
        """Later messages are delivered here as they come; None where nothing is, or the replay is not over."""
        return (self.conversations or {}).get(conversation_id) if self._is_live else None

    def end(self) -> None:
        """Nothing is delivered any more."""
        self.is_ended = True
        self._is_live = False
        self.deliver = _nowhere
        self._backlog = None

    @property
    def is_behind(self) -> bool:
        """It was given more than it may keep while replaying."""
        return self._backlog_bytes > MAX_BACKLOG_BYTES

    def _keep(self, data: bytes) -> None:
        self._backlog_bytes += len(data)
        if self._backlog is not None and not self.is_behind:
            self._backlog.append(data)
