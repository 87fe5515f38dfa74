"""Receipts of other instances: told once, never back, and only to connections that may see them."""

from holdfast.errors import StoreTimeout
from support.receipts_scene import ALICE, C, Scene, heard
from support.virtual_time import in_virtual_time, settled


@in_virtual_time
async def test_receipt_does_not_go_back_for_a_client_that_reconnects_after_a_crash() -> None:
    """It heard 9 elsewhere; the bulletins that its new instance reads name what was told up to a minute before."""
    scene = Scene()
    scene.store.cursors[C, ALICE] = 9
    listener = scene.listener()
    scene.fan_out.learn(C, ALICE, 5)
    await settled()
    assert heard(listener) == [9]
    scene.fan_out.learn(C, ALICE, 8)
    await settled()
    assert (heard(listener), scene.store.calls["cursors_of"]) == ([9], 1)


@in_virtual_time
async def test_receipt_of_an_instance_that_was_frozen_does_not_go_back() -> None:
    """Its envelope comes after newer ones of others, which this instance did not follow yet. A prompt one costs no read."""
    scene = Scene()
    listener = scene.listener()
    scene.receive(3)
    await settled()
    assert (heard(listener), scene.store.calls["cursors_of"]) == ([3], 0)
    scene.store.cursors[C, ALICE] = 9
    scene.receive(5, age_seconds=20)
    await settled()
    assert heard(listener) == [3, 9]


@in_virtual_time
async def test_late_receipt_is_told_once_the_store_answers_again() -> None:
    """The next bulletin names it again; a read waits for nothing else. Unread, a conversation is not taken for a small one."""
    for call in ("read_conversation", "cursors_of"):
        scene = Scene()
        listener = scene.listener()
        scene.store.cursors[C, ALICE] = 9
        scene.store.fail(call, StoreTimeout("away"))
        scene.fan_out.learn(C, ALICE, 5)
        await settled()
        assert heard(listener) == [], call
        scene.fan_out.learn(C, ALICE, 5)
        await settled()
        assert heard(listener) == [9], call


@in_virtual_time
async def test_late_receipt_in_a_conversation_without_local_connections_costs_no_read() -> None:
    """There are no other members to tell."""
    scene = Scene()
    scene.store.cursors[C, ALICE] = 9
    scene.fan_out.learn(C, ALICE, 5)
    scene.receive(5, age_seconds=20)
    await settled()
    assert scene.store.calls["cursors_of"] == 0


def _crowd() -> tuple[str, ...]:
    """Members enough for a large conversation."""
    return tuple(f"user-{number}" for number in range(120))


@in_virtual_time
async def test_late_receipt_of_a_large_conversation_is_not_shown_to_other_members() -> None:
    """Bulletins name it, too. As long as the conversation is not known it is not taken for a small one."""
    scene = Scene(*_crowd())
    listener = scene.listener()
    scene.store.cursors[C, ALICE] = 5
    scene.fan_out.learn(C, ALICE, 5)
    scene.receive(5, age_seconds=20)
    await settled()
    assert heard(listener) == []


@in_virtual_time
async def test_late_receipt_of_a_large_conversation_without_its_reader_here_costs_no_read_of_the_cursor() -> None:
    """Every instance reads every bulletin: a read for each receipt would be as many as there are instances."""
    scene = Scene(*_crowd())
    scene.listener()
    await scene.conversations.get(C)
    scene.store.cursors[C, ALICE] = 5
    scene.fan_out.learn(C, ALICE, 5)
    await settled()
    assert scene.store.calls["cursors_of"] == 0


@in_virtual_time
async def test_late_receipt_of_a_large_conversation_reaches_the_devices_of_its_reader() -> None:
    """One of them is at this instance, and the envelope was lost."""
    scene = Scene(*_crowd())
    listener, own = scene.listener(), scene.listener("alice")
    scene.store.cursors[C, ALICE] = 5
    scene.fan_out.learn(C, ALICE, 5)
    await settled()
    assert (heard(listener), heard(own)) == ([], [5])


@in_virtual_time
async def test_prompt_receipt_of_a_large_conversation_is_not_shown_to_other_members_while_nothing_is_cached() -> None:
    """The channel says it: the instance that sent the receipt knows the members."""
    scene = Scene(*_crowd())
    listener, own = scene.listener(), scene.listener("alice")
    scene.receive(5, channel="user:alice")
    await settled()
    assert (heard(listener), heard(own)) == ([], [5])
    assert (scene.store.calls["read_conversation"], scene.store.calls["cursors_of"]) == (0, 0)
