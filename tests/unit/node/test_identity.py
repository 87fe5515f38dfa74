"""What an instance is called, for all parts that write its name."""

from types import SimpleNamespace
from typing import cast

from holdfast.domain.ids import ConversationId, InstanceId
from holdfast.node.sending.append import Appender
from holdfast.ports import MessageStore
from holdfast.telemetry import Telemetry
from support.identities import identity_of
from support.virtual_time import LoopClock, in_virtual_time

C = ConversationId("c1")


def test_an_instance_that_yields_its_name_writes_the_new_one_everywhere() -> None:
    """Two instances that wrote one name would take each other's connections and marks for their own."""
    identity = identity_of("one", "7")
    identity.yield_name()
    assert not identity.is_unique
    assert (identity.instance_id, identity.mark_owner) == ("one.7", "one.7|7")
    assert identity.run == "one:7", "its users stand in the store under this, and need not be written again"


def test_an_instance_that_yields_its_name_twice_adds_one_epoch() -> None:
    """A name that grew at each contest would end beyond every limit."""
    identity = identity_of("one", "7")
    identity.yield_name()
    identity.yield_name()
    assert identity.instance_id == "one.7"


@in_virtual_time
async def test_under_a_new_name_an_instance_waits_for_no_turn_of_the_old_one() -> None:
    """The other instances know the new name only: a turn by the old name would never come."""
    identity, store = identity_of(), cast("MessageStore", SimpleNamespace())
    appender = Appender(identity, store, LoopClock(), Telemetry("test"), lambda _: None)

    async def waited() -> float:
        began = LoopClock().monotonic()
        await appender.turn(C)
        return LoopClock().monotonic() - began

    for number, name in enumerate(("zwo", "two"), 1):
        appender.note_foreign(C, InstanceId(name), number, number)
    assert await waited() > 0
    identity.yield_name()
    assert await waited() == 0
