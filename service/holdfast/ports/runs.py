"""The runs of instances, as the node asks the store for them."""

from typing import Protocol

from holdfast.domain.bulletins import Bulletin, BulletinVersion, StandingBulletin
from holdfast.domain.ids import RunId


class RunStore(Protocol):
    """The bulletin of each run of an instance: its state, and its latest commits.

    The death of a run is one commit: its bulletin is declared dead on condition that the run has not written it since. From then
    on the run itself can write it no more, and any instance may complete its work.

    What every method promises and raises: see `Store`.
    """

    async def write_bulletin(self, bulletin: Bulletin) -> BulletinVersion:
        """Create the bulletin of a run (without `version`), or replace the version that it names.

        Raises:
            StoreConflict: it is there already, is of another version, or is gone. Nothing was written.
        """
        ...

    async def find_bulletin(self, run: RunId) -> StandingBulletin | None:
        """What the store holds under that run; also where it cannot be read as a bulletin."""
        ...

    async def read_bulletins(self, *, only_unwell: bool = False) -> list[Bulletin]:
        """Everybody's bulletins, or only those whose `mode` is not `ok`: a small query, asked every 2 s by everyone."""
        ...

    async def declare_dead(self, bulletin: Bulletin) -> bool:
        """Declare its run dead, if the bulletin is still of the version that was read; whether it was."""
        ...

    async def remove_bulletin(self, bulletin: Bulletin) -> None:
        """Remove it if it is still of the version that was read. Idempotent."""
        ...
