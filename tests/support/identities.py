"""Who an instance of a unit test is."""

from holdfast.domain.ids import Epoch, InstanceId
from holdfast.node.identity import Identity


def identity_of(name: str = "one", epoch: str = "1") -> Identity:
    """An instance with that name, in that run, of which the store holds the bulletin."""
    identity = Identity(InstanceId(name), Epoch(epoch))
    identity.is_written.set()
    return identity
