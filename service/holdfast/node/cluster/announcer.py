"""Announces the changes that other instances must not miss: new heads, changes of members, and moved read cursors.

Each is noted in the window of the bulletin and published, in one tick. So an instance that misses the publication, for whatever
reason, finds the change in the bulletin. A change that another instance made, and that is published again here, is announced
like an own one: the instance that made it may be dead, and its bulletin without it.

Envelopes about typing, presence and revoked tokens are only published. Typing ends by itself, and the store is asked about the
others at intervals.
"""

from collections.abc import Sequence

from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.node.cluster.window import Window
from holdfast.ports import Bus, Clock, PublishedChange, PublishedCommit
from holdfast.protocol import envelopes


class Announcer:
    """Lives in the loop; nothing is awaited."""

    def __init__(self, bus: Bus, window: Window, clock: Clock) -> None:
        self._bus = bus
        self._window = window
        self._clock = clock

    def head(self, conversation_id: ConversationId, seq: Seq, published: Sequence[PublishedCommit]) -> None:
        """A conversation has reached `seq`.

        Args:
            published: the messages up to there; none while the generation of the store is not known, because other instances
                would drop them.
        """
        self._window.note_head(conversation_id, seq, self._clock.monotonic())
        for each in published:
            self._bus.publish_commit(each)

    def members(self, envelope: envelopes.ConversationEnvelope, member_count: int, affected: Sequence[UserId]) -> None:
        """A conversation changed: to the instances that follow it, and to those where the affected users are.

        Args:
            affected: whose lists of conversations it changes; without any, only the title or metadata changed, which the bulletin
                does not tell.
        """
        conversation_id = ConversationId(envelope.c)
        if affected:
            self._window.note_members(conversation_id, envelope.members_version, affected, self._clock.monotonic())
        payload, generation = envelopes.encode(envelope), envelope.generation
        self._bus.publish_change(PublishedChange(conversation_id, envelope.revision, member_count, payload, affected, generation))

    def receipt(self, envelope: envelopes.ReceiptEnvelope, channel: str) -> None:
        """A read cursor moved, or (`seq` is 0) its user has accepted the conversation, which the bulletin does not tell."""
        if envelope.seq:
            self._window.note_receipt(ConversationId(envelope.c), UserId(envelope.user), envelope.seq, self._clock.monotonic())
        self._bus.publish(channel, envelopes.encode(envelope))
