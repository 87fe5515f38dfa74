"""A simulated Redis, held to the truth by a real one. `README.md` says how to use it and where it lies."""

from simulation.redis.keyspace import Snapshot
from simulation.redis.replies import Refused, Unsupported
from simulation.redis.server import RedisServer

__all__ = ["RedisServer", "Refused", "Snapshot", "Unsupported"]
