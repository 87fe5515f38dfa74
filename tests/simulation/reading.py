"""What the store holds at the end of a run, into its history."""

from functools import partial
from typing import Final

from holdfast.bootstrap import message_store
from holdfast.domain.ids import ConversationId, UserId
from holdfast.domain.notifications import notification_id
from holdfast.drills.history import History, digest
from holdfast.drills.stored import until_answered
from holdfast.ports import Store, Unwatched
from simulation.cluster import Cluster
from simulation.rooms import Rooms

_PAGE: Final = 500


def store_of(cluster: Cluster) -> Store:
    """The cluster's store as instances see it, for a reader of its own. To be used in the root process."""
    settings = next(iter(cluster.instances.values())).settings
    return message_store(settings.store, Unwatched(), cluster.machine(cluster.loop.root))


async def read_store(store: Store, rooms: Rooms, users: list[str], history: History) -> None:
    """Everything of these conversations and users; the store is closed."""
    history.record("reading")
    try:
        await until_answered(store.open)
        for conversation, past in rooms.past.items():
            await _read_conversation(store, conversation, past, history)
        for user in users:
            for row in await until_answered(partial(store.memberships_of, UserId(user))):
                history.record("listed", user=user, conversation=row.conversation_id, seq=row.last_seq)
        for user, presence in (await until_answered(partial(store.read_presence, [UserId(user) for user in users]))).items():
            history.record("stored_presence", user=user, online=presence.online)
    finally:
        await store.close()


async def _read_conversation(store: Store, conversation: str, past: list[str], history: History) -> None:
    conversation_id, after = ConversationId(conversation), 0
    members = [UserId(user) for user in past]
    while page := await until_answered(partial(store.read_messages, conversation_id, after_seq=after, limit=_PAGE)):
        after = page[-1].seq
        for message in page:
            said = {"seq": message.seq, "sender": message.sender, "key": message.client_message_id}
            history.record("stored", conversation=conversation, **said, digest=digest(message.body))
        wanted = {
            notification_id(conversation_id, member, message.seq, len(members)): (message.seq, member)
            for message in page
            for member in members
        }
        ids = list(wanted)
        for start in range(0, len(ids), 300):
            for record in sorted(await until_answered(partial(store.recorded, ids[start : start + 300]))):
                seq, member = wanted[record]
                history.record("stored_notification", conversation=conversation, seq=seq, user=member)
    for user, seq in (await until_answered(partial(store.read_cursors, conversation_id))).items():
        history.record("stored_cursor", user=user, conversation=conversation, seq=seq)
