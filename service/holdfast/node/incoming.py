"""Envelopes of the other instances: each goes, by its kind, to the part that handles it."""

from holdfast.domain.ids import ConversationId
from holdfast.node.cluster.heartbeats import Heartbeats
from holdfast.node.conversations.parts import ConversationParts
from holdfast.node.foundation import Foundation
from holdfast.node.requests.commands import Commands
from holdfast.node.users.parts import UserParts
from holdfast.ports import FLEET
from holdfast.protocol import envelopes


class Incoming:
    """Lives in the loop; nothing is awaited on the way of a message."""

    def __init__(
        self,
        on: Foundation,
        heartbeats: Heartbeats,
        conversations: ConversationParts,
        users: UserParts,
        commands: Commands,
    ) -> None:
        self._identity, self._telemetry = on.identity, on.telemetry
        self._heartbeats = heartbeats
        self._delivery = conversations.delivery
        self._receipts = users.receipt_fan_out
        self._commands = commands
        self._fan_out = users.presence_fan_out
        self._membership = conversations.membership
        self._revocations = users.revocations

    def take(self, channel: str, payload: bytes) -> None:
        """Act on an envelope; one that is malformed, or does not carry the generation of this store, is counted and dropped.

        Until the store has answered for the first time, its generation is unknown and every envelope is taken. No conversation
        is followed before that.
        """
        envelope, generation = envelopes.decode(payload), self._delivery.generation
        if envelope is None:
            self._telemetry.dropped.labels("malformed_envelope").inc()
            self._telemetry.undecodable.labels("envelope").inc()
        elif isinstance(envelope, envelopes.HeartbeatEnvelope):
            if channel == FLEET:
                self._heartbeats.take(envelope)
        elif generation and envelope.generation != generation:
            self._telemetry.dropped.labels("other_generation").inc()
        elif isinstance(envelope, envelopes.MessagesEnvelope):
            self._delivery.receive(envelope)
        elif isinstance(envelope, envelopes.ReceiptEnvelope):
            self._receipts.receive(channel, envelope)
        elif isinstance(envelope, envelopes.TypingEnvelope):
            if envelope.origin != self._identity.instance_id:
                self._commands.receive_typing(envelope)
        elif isinstance(envelope, envelopes.PresenceEnvelope):
            self._fan_out.receive(envelope)
        elif isinstance(envelope, envelopes.ConversationEnvelope):
            self._membership.take(envelope)
        elif isinstance(envelope, envelopes.RevokedEnvelope):
            self._revocations.receive(envelope)
        elif envelope.c:
            self._delivery.hint(ConversationId(envelope.c), envelope.seq)
