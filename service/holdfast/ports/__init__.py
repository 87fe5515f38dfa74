"""The table of contents: everything that one instance needs from the outside, each method with its promise.

One file for each concept: of the store `messages`, `conversations`, `cursors`, `blocks`, `presence`, `notifications`, `runs`,
`revocations` and `stored_marks` (`store` is all of them, and its life); of Redis `bus`, `marks`, `recent`, `registry`, `rosters`
and `fates`. A part of the node asks for the concepts that it uses, and for no other.

Adapters implement these; `node` has no other access to Redis, Firestore or sockets. Every method that waits is bounded by
its adapter's deadline and raises only what its docstring names (`holdfast.errors`).
"""

from holdfast.ports.blocks import BlockStore
from holdfast.ports.bus import FLEET, Bus, PublishedChange, PublishedCommit
from holdfast.ports.conversations import ConversationStore
from holdfast.ports.cursors import CursorStore
from holdfast.ports.deadline import within
from holdfast.ports.fates import Fates
from holdfast.ports.marks import MARK_SECONDS, Marks
from holdfast.ports.messages import MessageStore
from holdfast.ports.notifications import NotificationStore
from holdfast.ports.orchestrator import Orchestrator, Pod, PodCondition, PodHealth
from holdfast.ports.presence import PresenceStore
from holdfast.ports.process import Clock, DependencyWatch, MachineClock, Memory, MemoryUse, Transport, Unwatched
from holdfast.ports.push import Notifier
from holdfast.ports.recent import RECENT_MESSAGES, RecentMessages
from holdfast.ports.registry import Registry
from holdfast.ports.revocations import RevocationStore
from holdfast.ports.rosters import RosterCache
from holdfast.ports.runs import RunStore
from holdfast.ports.store import Store, StoreLife
from holdfast.ports.stored_marks import MarkStore

__all__ = [
    "FLEET",
    "MARK_SECONDS",
    "RECENT_MESSAGES",
    "BlockStore",
    "Bus",
    "Clock",
    "ConversationStore",
    "CursorStore",
    "DependencyWatch",
    "Fates",
    "MachineClock",
    "MarkStore",
    "Marks",
    "Memory",
    "MemoryUse",
    "MessageStore",
    "NotificationStore",
    "Notifier",
    "Orchestrator",
    "Pod",
    "PodCondition",
    "PodHealth",
    "PresenceStore",
    "PublishedChange",
    "PublishedCommit",
    "RecentMessages",
    "Registry",
    "RevocationStore",
    "RosterCache",
    "RunStore",
    "Store",
    "StoreLife",
    "Transport",
    "Unwatched",
    "within",
]
