"""The other instances, asked directly: what each of them sees. For the one question that Redis itself cannot answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from holdfast.domain.ids import InstanceId


@dataclass(frozen=True, slots=True)
class Peer:
    """One instance, by its own word. `sees_redis`: commands and the bus work; `is_ready`: it gets new connections."""

    instance_id: InstanceId
    sees_redis: bool
    is_ready: bool
    is_draining: bool


class Peers(Protocol):
    """Read only, at most once each; every call is bounded by its adapter's deadline and never raises."""

    async def addresses(self) -> Sequence[str]:
        """The addresses of all instances, the asking one among them, in no order; empty when they cannot be looked up."""
        ...

    async def ask(self, address: str) -> Peer | None:
        """What that instance says of itself; None when it does not answer."""
        ...

    async def close(self) -> None:
        """Release what is held."""
        ...
