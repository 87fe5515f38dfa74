"""Who an instance of a unit test is."""

from holdfast.domain.ids import Epoch, InstanceId
from holdfast.node.identity import Identity


def identity_of(name: str = "one", epoch: str = "1") -> Identity:
    """An instance with that name, at that start."""
    return Identity(InstanceId(name), Epoch(epoch))
