"""The local side of all conversations: the connections, what is known of the conversations, and the delivery between them."""

from dataclasses import dataclass

from holdfast.node.connections.hub import Hub
from holdfast.node.conversations.cache import Conversations
from holdfast.node.conversations.delivery import Delivery


@dataclass(frozen=True, slots=True, eq=False)
class LocalSide:
    """Of one instance. `hub`: its connections. `conversations`: with their members, as far as it knows them."""

    hub: Hub
    conversations: Conversations
    delivery: Delivery
