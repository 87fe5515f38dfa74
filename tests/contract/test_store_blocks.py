"""The store's contract, which users block which. Over SQLite and Firestore."""

import pytest

from holdfast.domain.ids import UserId
from holdfast.errors import CommandError
from holdfast.ports import Store

ALICE, BOB, CARL = UserId("alice"), UserId("bob"), UserId("carl")


async def test_blocks_are_kept_by_the_user_who_blocks(store: Store) -> None:
    """Both directions are asked for; a repeated call changes nothing."""
    assert (await store.blocks_of(ALICE), await store.blockers_of(ALICE, 5)) == ([], [])
    await store.unblock(ALICE, BOB)
    for blocked in (CARL, BOB, BOB):
        await store.block(ALICE, blocked, 5)
    await store.block(CARL, BOB, 5)
    assert (await store.blocks_of(ALICE), await store.blocks_of(BOB)) == ([BOB, CARL], [])
    assert sorted(await store.blockers_of(BOB, 5)) == [ALICE, CARL]
    assert len(await store.blockers_of(BOB, 1)) == 1
    assert await store.blockers_among(BOB, [ALICE, BOB]) == {ALICE}
    assert await store.blockers_among(ALICE, [BOB, CARL]) == set()
    for _ in range(2):
        await store.unblock(ALICE, BOB)
    assert (await store.blocks_of(ALICE), await store.blockers_of(BOB, 5)) == ([CARL], [CARL])


async def test_a_user_blocks_a_bounded_number_of_others(store: Store) -> None:
    """The list is read as a whole where presence is told. A repeated block needs no room."""
    await store.block(ALICE, BOB, 1)
    await store.block(ALICE, BOB, 1)
    with pytest.raises(CommandError) as refusal:
        await store.block(ALICE, CARL, 1)
    assert refusal.value.code == "limit_reached"
    assert await store.blocks_of(ALICE) == [BOB]
    await store.unblock(ALICE, BOB)
    await store.block(ALICE, CARL, 1)
