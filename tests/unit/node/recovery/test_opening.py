"""The look at the store, once a second: what it notices, and what it does not mistake for a replaced store."""

import dataclasses

import pytest

from holdfast.domain.ids import UserId
from holdfast.errors import CommandError, StoreUnavailable
from holdfast.node.node import STORE_REPLACED
from support.node_scene import NodeScene
from support.virtual_time import in_virtual_time, passed


@pytest.mark.parametrize("found", ["g2", "g0", ""], ids=["renewed", "older", "emptied"])
def test_another_generation_is_noticed_within_seconds_and_shows_in_health(found: str) -> None:
    """Whatever the run remembers of the store may be wrong."""

    @in_virtual_time
    async def scenario() -> None:
        scene = NodeScene()
        await scene.start()
        await passed(5)
        assert not scene.node.recovery.store_contact.replaced.is_set()
        scene.store.stored_generation = found
        await passed(3)
        assert scene.node.recovery.store_contact.replaced.is_set()
        condition = scene.node.health.conditions["StoreCurrent"]
        assert (condition.status, condition.reason) == (False, "Replaced")
        await scene.close()

    scenario()


@in_virtual_time
async def test_store_that_was_restored_without_a_new_generation_is_renewed_and_the_run_ends() -> None:
    """Its own bulletin shows it. Else clients would keep messages that are gone, and skip the new ones with the same numbers."""
    scene = NodeScene()
    await scene.start()
    await passed(20)
    store, run = scene.store, scene.node.identity.run
    assert not scene.node.recovery.store_contact.replaced.is_set()
    store.fail("renew", StoreUnavailable("away"))
    store._put(dataclasses.replace(store.bulletins[run], beat=1))
    await passed(6)
    assert scene.node.recovery.store_contact.replaced.is_set()
    assert store.stored_generation == "g1+"
    assert await scene.node.ended() == STORE_REPLACED
    await scene.close()


@in_virtual_time
async def test_outage_of_the_store_does_not_end_the_run() -> None:
    """A store that does not answer proves nothing about its generation."""
    scene = NodeScene()
    await scene.start()
    await passed(5)
    scene.store.fail("generation", *[StoreUnavailable("away")] * 20)
    await passed(30)
    assert not scene.node.recovery.store_contact.replaced.is_set()
    assert scene.node.health.conditions["StoreCurrent"].status
    await scene.close()


@in_virtual_time
async def test_instance_starts_when_it_knows_whose_tokens_are_revoked() -> None:
    """Ready before that, it would refuse every token, or accept one that was revoked."""
    scene = NodeScene()
    scene.store.fail("read_revocations", *[StoreUnavailable("away")] * 20)
    await scene.start()
    await passed(5)
    assert scene.node.health.state == "starting"
    with pytest.raises(CommandError, match="store_unavailable"):
        scene.node.users.revocations.check(UserId("alice"), 1_700_000_000)
    await passed(10)
    assert scene.node.health.state == "healthy"
    scene.node.users.revocations.check(UserId("alice"), 1_700_000_000)
    await scene.close()
