"""The runs of instances, as the node asks the store for them."""

from typing import Protocol

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import Epoch, InstanceId


class RunStore(Protocol):
    """The bulletin of each run of an instance: its state, and its latest commits.

    What every method promises and raises: see `Store`.
    """

    async def write_bulletin(self, bulletin: Bulletin) -> int:
        """Replace this instance's bulletin; when that was, by the store's own clock (Unix milliseconds)."""
        ...

    async def read_bulletins(self, *, only_unwell: bool = False) -> list[Bulletin]:
        """Everybody's bulletins, or only those whose `mode` is not `ok`: a small query, asked every 2 s by everyone."""
        ...

    async def remove_bulletin(self, instance_id: InstanceId, epoch: Epoch) -> None:
        """Remove an instance's bulletin if it is of that epoch. Idempotent."""
        ...
