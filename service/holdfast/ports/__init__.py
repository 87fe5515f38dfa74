"""The table of contents: everything that one instance needs from the outside, each method with its promise.

Adapters implement these; `node` has no other access to Redis, Firestore or sockets. Every method that waits is bounded by
its adapter's deadline and raises only what its docstring names (`holdfast.errors`).
"""

from holdfast.ports.cluster import (
    RECENT_MESSAGES,
    ClusterBus,
    ConnectionRegistry,
    Fates,
    PublishedChange,
    PublishedCommit,
    RosterCache,
)
from holdfast.ports.deadline import within
from holdfast.ports.orchestrator import Orchestrator, Pod, PodCondition, PodHealth
from holdfast.ports.peers import Peer, Peers
from holdfast.ports.process import Clock, DependencyWatch, MachineClock, Memory, MemoryUse, Transport, Unwatched
from holdfast.ports.push import Notifier
from holdfast.ports.store import MessageStore

__all__ = [
    "RECENT_MESSAGES",
    "Clock",
    "ClusterBus",
    "ConnectionRegistry",
    "DependencyWatch",
    "Fates",
    "MachineClock",
    "Memory",
    "MemoryUse",
    "MessageStore",
    "Notifier",
    "Orchestrator",
    "Peer",
    "Peers",
    "Pod",
    "PodCondition",
    "PodHealth",
    "PublishedChange",
    "PublishedCommit",
    "RosterCache",
    "Transport",
    "Unwatched",
    "within",
]
