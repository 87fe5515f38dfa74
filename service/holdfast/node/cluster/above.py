"""The questions of this room to the rooms above it, and its news for them."""

from typing import Protocol

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import UserId


class Above(Protocol):
    """Answers at once, but for `take_bulletins`, which is awaited before the next bulletins are read."""

    def state(self) -> str:
        """The health of this instance, as the lease says it to the other instances."""

    def users_within_grace(self) -> dict[UserId, int]:
        """The users whose last connection here has ended, and until when they are waited for (ms)."""

    def on_loss_elsewhere(self) -> None:
        """An instance that met others at another Redis has died, perhaps before it told what it committed."""

    def on_heard_again(self) -> None:
        """Redis is trusted again. What an instance changed while it was not heard may not be known here."""

    async def take_bulletins(self, bulletins: list[Bulletin]) -> None:
        """What the other instances committed lately."""
