"""The name of this instance, and the epoch: which start of it this is. Every part reads one object; only the lease changes it."""

import secrets

from holdfast.domain.ids import Epoch, InstanceId
from holdfast.domain.presence import presence_entry
from holdfast.ports import Clock


def own_epoch(clock: Clock) -> Epoch:
    """An epoch until Redis gives one, of a form that Redis never gives."""
    return Epoch(f"{clock.now_ms() * 1000:016d}-{secrets.token_hex(4)}")


class Identity:
    """The name and the epoch of this instance.

    Attributes:
        instance_id: its `INSTANCE_ID`, unless a younger process has that.
        epoch: this start of it; another one after the lease was lost.
        is_unique: no other live process has its `INSTANCE_ID`.
    """

    def __init__(self, instance_id: InstanceId, epoch: Epoch) -> None:
        self.instance_id = instance_id
        self.epoch = epoch
        self.is_unique = True
        self._configured_id = instance_id

    @property
    def presence_entry(self) -> str:
        """The entry in the store of each user with a connection here."""
        return presence_entry(self.instance_id, self.epoch)

    @property
    def mark_owner(self) -> str:
        """The owner as the marks of this instance in Redis name it."""
        return f"{self.instance_id}|{self.epoch}"

    def yield_name(self) -> None:
        """A younger process has the `INSTANCE_ID`: this one goes on as `{name}.{epoch}`, which no client can choose."""
        self.is_unique = False
        self.instance_id = InstanceId(f"{self._configured_id}.{self.epoch}")
