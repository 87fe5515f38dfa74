"""The name of this instance, and its run: one life of one node in one process, which begins with an epoch of its own."""

import asyncio
import secrets

from holdfast.domain.ids import Epoch, InstanceId, RunId, run_id
from holdfast.ports import Clock


def own_epoch(clock: Clock) -> Epoch:
    """Unlike any other: the time in microseconds, which an operator can read, and random digits."""
    return Epoch(f"{clock.now_ms() * 1000:016d}-{secrets.token_hex(4)}")


class Identity:
    """The name and the run of this instance.

    Attributes:
        instance_id: its `INSTANCE_ID`, unless a younger process has that.
        epoch: made when the run began; never another one.
        run: what stands in the store with each user who has a connection here; never another one.
        is_written: set once the store holds the bulletin of the run. Before that no user is written there: were the instance
            killed, no other would look for its users.
        declared_dead: set for good when this run was declared dead. From then on no user is written there either.
        is_unique: no other live process has its `INSTANCE_ID`.
    """

    def __init__(self, instance_id: InstanceId, epoch: Epoch) -> None:
        self.instance_id = instance_id
        self.epoch = epoch
        self.run: RunId = run_id(instance_id, epoch)
        self.is_written = asyncio.Event()
        self.declared_dead = asyncio.Event()
        self.is_unique = True

    @property
    def mark_owner(self) -> str:
        """The owner as the marks of this instance in Redis name it."""
        return f"{self.instance_id}|{self.epoch}"

    def yield_name(self) -> None:
        """A younger process has the `INSTANCE_ID`: this one goes on as `{name}.{epoch}`, which no client can choose."""
        if self.is_unique:
            self.is_unique = False
            self.instance_id = InstanceId(f"{self.instance_id}.{self.epoch}")
