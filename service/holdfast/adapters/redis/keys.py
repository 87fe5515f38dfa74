"""Every key and channel that Holdfast uses in Redis, in one place; an operator reads these names with `redis-cli`.

Ids have been checked against the id alphabet before they come here, so no id can name another key or channel.
"""

from typing import Final

from holdfast.domain.ids import ConversationId, InstanceId, RunId, UserId

WORLD: Final = "registry:world"
"""A random id and a hash of the server's run id and replication id; another one, or none: this Redis is not the one it was."""

INSTANCES: Final = "instances"
"""SET of the ids of instances that have, or had, a lease."""

DIRTY: Final = "dirty"
"""ZSET of what was committed and is not yet published, by Redis's time in milliseconds."""

ERA: Final = "registry:era"
"""A random id; another one, or none, means that something was not written to Redis, and no roster of before is believed."""

LEASE_PREFIX: Final = "instance:"
HEAD_PREFIX: Final = "head:"
FATE_PREFIX: Final = "fate:"
USER_PREFIX: Final = "user:"


def connections(user_id: UserId) -> str:
    """HASH connection_id -> JSON `{instance_id, registration, connected_at}`, with a secret sealed."""
    return f"connections:{user_id}"


def subscriptions(instance_id: InstanceId) -> str:
    """SET of the channels that the instance is subscribed to."""
    return f"subscriptions:{instance_id}"


def lease(instance_id: InstanceId) -> str:
    """HASH with a TTL: `epoch`, `registered`, `state`, `connections`, `world`, `registration`."""
    return f"{LEASE_PREFIX}{instance_id}"


def lease_for_older(run: RunId) -> str:
    """HASH that stands beside the lease: `epoch`, `registration`.

    Instances of an older version take a run for an instance of that name. Without its lease they would take its users offline
    where the store does not take its beats.
    """
    return f"{LEASE_PREFIX}{run}"


def fate(instance_id: InstanceId) -> str:
    """STRING with a TTL, `ended|EPOCH` or `removed|EPOCH`: what Kubernetes said of that start of the instance."""
    return f"{FATE_PREFIX}{instance_id}"


def recent(conversation_id: ConversationId) -> str:
    """ZSET by seq of `GENERATION MESSAGE`: which store it is of, and the encoded message; with a secret see `kept`."""
    return f"recent:{conversation_id}"


def head(conversation_id: ConversationId) -> str:
    """HASH with a TTL: `generation`, and `seq`, `revision` and number of `members` as last published of the conversation.

    With a secret `seq_stamp` and `revision_stamp` sign them, see `roster_form`. `forgotten`: when a head before it was removed.
    """
    return f"{HEAD_PREFIX}{conversation_id}"


def member(user_id: UserId) -> str:
    """HASH with a TTL, the user's roster: conversation -> its row (`roster_form`), and a few fields that are no ids."""
    return f"member:{user_id}"


def conversation_channel(conversation_id: ConversationId) -> str:
    """Where envelopes of a conversation are published."""
    return f"conversation:{conversation_id}"


def user_channel(user_id: UserId) -> str:
    """Where envelopes for one user are published."""
    return f"{USER_PREFIX}{user_id}"


def control_channel(instance_id: InstanceId) -> str:
    """Where one instance is spoken to, and hears its own echo."""
    return f"control:{instance_id}"


_KINDS: Final = {
    WORLD: "string",
    ERA: "string",
    INSTANCES: "set",
    DIRTY: "zset",
    LEASE_PREFIX: "hash",
    HEAD_PREFIX: "hash",
    FATE_PREFIX: "string",
    "connections:": "hash",
    "subscriptions:": "set",
    "recent:": "zset",
    "member:": "hash",
}


def kind_of(key: str) -> str | None:
    """The type that Redis must have for the key, as `TYPE` answers; None for a key that is none of ours."""
    return _KINDS.get(key) or _KINDS.get(key[: key.find(":") + 1])
