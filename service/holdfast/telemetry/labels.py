"""The values of all labels. Each series exists from the start: a counter's first event is an increase, and no panel lacks data.

Codes and frames are those of the protocol. Layers above own some of the other names (routes, states, the store's calls); unit
tests hold these against theirs.
"""

from typing import Final

from holdfast.protocol import codes, frames

PATHS: Final = ("local", "bus", "gap_fill", "poll", "replay", "again")
CONTROLLER_LOOPS: Final = ("controller_conditions", "controller_costs", "controller_lead", "controller_watch")
API_REQUESTS: Final = ("lead", "resign", "set_conditions", "set_deletion_cost", "tell", "watch")
LOOPS: Final = (
    "audit", "bulletins_read", "bulletins_write", "bus_listener", "bus_pipeline", "bus_watch", "catch_ups", "committer",
    "connecting", "heartbeats", "jwks", "lease", "notifications", "peers", "presence", "pushing", "reaper",
    "registration", "revocations", "rosters", "slow_tick", "sockets", "stored_marks", "sweep", "tasks", "tick",
)  # fmt: skip
SOURCES: Final = (
    "bulletin", "connections", "conversation", "cursor", "dirty", "envelope", "head", "instances", "mark", "member", "message",
    "notification", "recent", "revocation", "send", "subscriptions", "user", "wrong_type",
)  # fmt: skip
CODES: Final = tuple(sorted(codes.CODES))
_OF_CLIENTS: Final = ("1001", "1006")  # a page that is left, and a socket that ended without a close
CLOSE_CODES: Final = (*sorted({*(str(int(code)) for code in codes.CloseCode), *_OF_CLIENTS}), "other")
INITIATORS: Final = ("client", "server", "none")
FRAMES: Final = frames.CLIENT_TYPES
DEPENDENCIES: Final = ("store", "redis")
STATES: Final = ("starting", "healthy", "degraded", "saturated", "draining", "unhealthy")
REASONS: Final = {
    "RedisConnected": ("Connected", "Disconnected"),
    "Isolated": ("NotIsolated", "OthersSeeRedis"),
    "BusLive": ("EchoSeen", "Deaf", "Split"),
    "PeerApart": ("AllHeard", "WithoutRedis"),
    "StoreReachable": ("Reachable", "Unreachable"),
    "StoreCurrent": ("Current", "Replaced"),
    "Draining": ("Serving", "Stopping"),
    "Saturated": ("Room", "HighWater"),
    "InstanceIdUnique": ("Unique", "Taken"),
    "ClockSkewed": ("InStep", "Skewed"),
    "LoopsRunning": ("Running", "Failing"),
}
BUS_EVENTS: Final = ("received", "sent", "round_trips", "connections")
BUS_FAILURES: Final = (
    "deaf", "dropped_away", "dropped_full", "failed_calls", "foreign_echoes", "refused", "too_large", "unsigned",
)  # fmt: skip
STORE_OPERATIONS: Final = (
    "active_since", "add_presence", "advance_cursors", "append", "block", "blockers_among", "blockers_of", "blocks_of",
    "catch_ups", "change_members", "claim_notifications", "clear_notification", "create_conversation",
    "create_notifications", "cursors_of", "declare_dead", "find_bulletin", "finish_catch_up", "generation", "heads",
    "mark_notifications", "memberships_of", "messages_since", "note_activity", "page_conversations", "read_bulletins",
    "read_conversation", "read_cursors", "read_marks", "read_messages", "read_presence", "read_revocations",
    "read_revoked_tokens", "recorded", "remove_bulletin", "remove_marks", "remove_presence", "renew", "revoke",
    "revoke_token", "settle", "unblock", "update_conversation", "users_on", "write_bulletin",
)  # fmt: skip
STORE_RESULTS: Final = ("ok", "conflict", "refused", "failed")
OTHER: Final = "other"
ROUTES: Final = (
    ("GET", "/api/blocks"),
    ("PUT", "/api/blocks/{user_id}"),
    ("DELETE", "/api/blocks/{user_id}"),
    ("DELETE", "/api/connections"),
    ("GET", "/api/connections/info"),
    ("GET", "/api/connections/stats"),
    ("GET", "/api/conversations"),
    ("POST", "/api/conversations"),
    ("PUT", "/api/conversations/direct/{user_id}"),
    ("GET", "/api/conversations/{conversation_id}"),
    ("PATCH", "/api/conversations/{conversation_id}"),
    ("PUT", "/api/conversations/{conversation_id}/members/{user_id}"),
    ("DELETE", "/api/conversations/{conversation_id}/members/{user_id}"),
    ("GET", "/api/conversations/{conversation_id}/messages"),
    ("POST", "/api/conversations/{conversation_id}/messages"),
    ("POST", "/api/conversations/{conversation_id}/messages/{message_id}/read"),
    ("POST", "/api/conversations/{conversation_id}/typing"),
    ("GET", "/api/health"),
    ("DELETE", "/api/tokens/current"),
    ("GET", "/api/users/{user_id}/presence"),
    ("DELETE", "/api/users/{user_id}/connections"),
    ("DELETE", "/api/users/{user_id}/tokens/{token_id}"),
    ("POST", "/{conversation_id}/messages/{message_id}/read"),
    ("POST", "/{conversation_id}/typing"),
    (OTHER, OTHER),
)
"""Method and template of each call of the public port; all else (probes, documents, addresses of nothing) is `other`."""
STATUSES: Final = ("2xx", "4xx", "5xx")
