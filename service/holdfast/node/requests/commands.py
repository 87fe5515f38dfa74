"""The commands of clients: the socket's frames and REST's calls both end here.

Each command checks its ids, then hands itself to the part that owns the effect. Sends and reads answer through a callback, so
that a socket needs no task for them; the rest is awaited.
"""

from dataclasses import dataclass
from typing import Final

from msgspec import UNSET, Raw, UnsetType

from holdfast.domain import ids
from holdfast.domain.conversations import Conversation
from holdfast.domain.ids import ConversationId, UserId
from holdfast.domain.messages import Draft, content_digest, send_key
from holdfast.errors import CommandError, InvalidRequest
from holdfast.node.conversations.delivery import conversation_channel
from holdfast.node.conversations.local_side import LocalSide
from holdfast.node.sending.append import OnSettled, Settled
from holdfast.node.sending.committer import Committer
from holdfast.node.users.reading import Seen
from holdfast.node.users.receipts import OnRead, Receipts
from holdfast.ports import Bus
from holdfast.protocol import envelopes, frames
from holdfast.protocol.jsontext import check_object
from holdfast.settings import LimitSettings
from holdfast.telemetry import Received

TYPING_EXPIRES_MS: Final = 6_000


@dataclass(frozen=True, slots=True)
class Caller:
    """The user of a command. `is_admin`: may act on any conversation, and name a sender."""

    user_id: UserId
    is_admin: bool


class Commands:
    """Lives in the loop."""

    def __init__(
        self,
        committer: Committer,
        receipts: Receipts,
        local: LocalSide,
        bus: Bus,
        limits: LimitSettings,
    ) -> None:
        self._committer = committer
        self._receipts = receipts
        self._conversations = local.conversations
        self._delivery = local.delivery
        self._hub = local.hub
        self._bus = bus
        self._limits = limits

    def send(
        self,
        caller: Caller,
        conversation_id: str,
        client_message_id: str,
        body: str,
        metadata: Raw | UnsetType,
        on_settled: OnSettled,
        seen: Seen | None = None,
        trace: Received | None = None,
    ) -> None:
        """Send a message; `on_settled` is called once.

        Args:
            seen: what the sender had been shown; None: the message was not written by its sender, and marks nothing as read.
            trace: of a sampled send; ended here.

        Raises:
            CommandError: `invalid_request`, `invalid_json` or `body_too_large`, before anything is queued.
        """
        conversation = ids.conversation_id(conversation_id)
        ids.check_id(client_message_id, "client_message_id")
        draft = self._draft(caller.user_id, client_message_id, body, metadata)

        def settled(result: Settled | CommandError) -> None:
            on_settled(result)
            if trace is not None:
                is_error = isinstance(result, CommandError)
                trace.answered(
                    conversation, result.code if isinstance(result, CommandError) else "acknowledged", is_error=is_error
                )
            if seen is not None and isinstance(result, Settled):
                self._receipts.note_sent(conversation, caller.user_id, result.message.seq, seen)

        self._committer.submit(conversation, draft, settled, bypass_membership=caller.is_admin, trace=trace)

    def read(self, caller: Caller, conversation_id: str, message_id: str, on_done: OnRead) -> None:
        """Mark everything up to a message as read; `on_done` is called once.

        Raises:
            CommandError: `invalid_request`, before anything is queued.
        """
        conversation = ids.conversation_id(conversation_id)
        self._receipts.read(conversation, caller.user_id, ids.seq_of(message_id), on_done, bypass_membership=caller.is_admin)

    def typing_now(self, caller: Caller, conversation_id: str, *, is_active: bool) -> bool:
        """Tell the others that a user types; False when the membership has to be read first (`typing`).

        Raises:
            CommandError: `invalid_request`.
        """
        conversation = self._conversations.cached(ids.conversation_id(conversation_id))
        if conversation is None or not (caller.is_admin or caller.user_id in conversation.members):
            return False
        self._tell_typing(conversation, caller.user_id, is_active=is_active)
        return True

    async def typing(self, caller: Caller, conversation_id: str, *, is_active: bool) -> None:
        """Tell the others that a user types.

        Raises:
            CommandError: `invalid_request` or `conversation_not_found`.
            StoreUnavailable: the membership cannot be read.
        """
        if self.typing_now(caller, conversation_id, is_active=is_active):
            return
        conversation = await self._conversations.read(ids.conversation_id(conversation_id))
        if conversation is None or not (caller.is_admin or caller.user_id in conversation.members):
            raise CommandError("conversation_not_found", "no such conversation")
        self._tell_typing(conversation, caller.user_id, is_active=is_active)

    def receive_typing(self, envelope: envelopes.TypingEnvelope) -> None:
        """A user types at another instance."""
        self._show_typing(ConversationId(envelope.c), UserId(envelope.user), is_active=envelope.active)

    def _draft(self, sender: UserId, client_message_id: str, body: str, metadata: Raw | UnsetType) -> Draft:
        size = len(body) if body.isascii() else len(body.encode())
        if not size:
            raise InvalidRequest("a body has at least one character", field="body")
        if size > self._limits.body_bytes:
            raise CommandError("body_too_large", f"at most {self._limits.body_bytes} bytes of UTF-8", field="body")
        text, canonical = checked_metadata(metadata, self._limits.metadata_bytes)
        return Draft(
            sender=sender,
            client_message_id=client_message_id,
            body=body,
            metadata_json=text,
            key=send_key(sender, client_message_id),
            digest=content_digest(body, canonical),
        )

    def _tell_typing(self, conversation: Conversation, user_id: UserId, *, is_active: bool) -> None:
        if len(conversation.members) > self._limits.indicator_members:
            return
        conversation_id = conversation.conversation_id
        envelope = envelopes.TypingEnvelope(
            v=envelopes.VERSION,
            kind="typing",
            c=conversation_id,
            generation=self._delivery.generation,
            user=user_id,
            active=is_active,
            origin=self._delivery.identity.instance_id,
        )
        self._bus.publish(conversation_channel(conversation_id), envelopes.encode(envelope))
        self._show_typing(conversation_id, user_id, is_active=is_active)

    def _show_typing(self, conversation_id: ConversationId, user_id: UserId, *, is_active: bool) -> None:
        local = self._delivery.locals.get(conversation_id)
        if local is not None:
            notice = frames.TypingNotice(
                conversation_id=conversation_id, user_id=user_id, active=is_active, expires_in_ms=TYPING_EXPIRES_MS
            )
            self._hub.tell(local, notice, except_user=user_id)


def checked_metadata(metadata: Raw | UnsetType, max_bytes: int) -> tuple[str | None, bytes | None]:
    """Metadata as text, verbatim, and in the form that comparisons use; (None, None) for none.

    Raises:
        CommandError: `invalid_request` or `invalid_json`.
    """
    if metadata is UNSET or bytes(metadata) == b"null":
        return None, None
    return check_object(bytes(metadata), field="metadata", max_bytes=max_bytes, max_depth=frames.METADATA_LEVELS)
