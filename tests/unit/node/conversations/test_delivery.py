"""From commits and envelopes to sockets: one stream from every path, holes are filled."""

from holdfast.errors import StoreTimeout
from holdfast.node.connections.encoded import encoded
from holdfast.node.sending.append import Commit
from support.delivery_scene import C, Scene, delivered, seqs, shown
from support.virtual_time import in_virtual_time, settled


@in_virtual_time
async def test_every_path_feeds_one_stream() -> None:
    """Own commits, envelopes, the echo of one's own, repetition and reordering: each message once."""
    scene = Scene()
    (alice,) = await scene.join("alice")
    scene.receive(2, 3)
    scene.delivery.hand_over(Commit(C, [delivered(1)], 0.0, None))
    scene.receive(1, 2)
    scene.receive(4)
    await settled()
    assert seqs(alice) == [1, 2, 3, 4]
    assert [first for first, *_ in scene.bus.commits] == [1]


@in_virtual_time
async def test_what_a_settlement_found_apart_goes_into_envelopes_of_its_own() -> None:
    """An envelope has no gap."""
    scene = Scene()
    scene.delivery.hand_over(Commit(C, [delivered(1), delivered(2), delivered(5)], 0.0, None))
    assert [(first, len(texts)) for first, texts, _ in scene.bus.commits] == [(1, 2), (5, 1)]


@in_virtual_time
async def test_a_hole_is_filled_from_what_redis_kept_or_from_the_store() -> None:
    """Redis only when it has all that is missing."""
    scene = Scene()
    (alice,) = await scene.join("alice")
    scene.store.put(C, *(f"body {seq}" for seq in range(1, 7)))
    scene.bus.kept = [(seq, encoded(delivered(seq), "bus", 0.0).text) for seq in (1, 2)]
    scene.receive(3)
    await scene.ticks(0.5)
    assert (seqs(alice), scene.store.calls["read_messages"]) == ([1, 2, 3], 0)
    scene.receive(6)
    await scene.ticks(0.5)
    assert (seqs(alice), scene.store.calls["read_messages"]) == ([1, 2, 3, 4, 5, 6], 1)


@in_virtual_time
async def test_a_hole_stays_open_until_the_store_answers() -> None:
    """Nothing is skipped, whatever fails."""
    scene = Scene()
    (alice,) = await scene.join("alice")
    scene.store.put(C, "body 1", "body 2")
    scene.store.fail("read_messages", *[StoreTimeout("away")] * 3)
    scene.receive(2)
    await scene.ticks(2)
    assert seqs(alice) == [1, 2]


@in_virtual_time
async def test_more_than_can_wait_does_not_stop_the_stream() -> None:
    """A hole before thousands of envelopes: all of it arrives, fetched where it was dropped."""
    scene = Scene()
    (alice,) = await scene.join("alice")
    await scene.conversations.get(C)
    scene.store.put(C, *(f"body {seq}" for seq in range(1, 2_502)))
    for seq in range(2, 2_502):
        scene.receive(seq)
    await scene.ticks(2)
    assert seqs(alice) == list(range(1, 2_502))


@in_virtual_time
async def test_an_envelope_that_overtakes_the_answer_of_the_store_is_not_lost() -> None:
    """8 comes while the store, asked before, answers up to 6; then 7."""
    scene = Scene()
    (alice,) = await scene.join("alice")
    scene.store.put(C, *(f"body {seq}" for seq in range(1, 7)))
    reading = scene.store.hold("read_messages")
    scene.receive(6)
    await scene.ticks(0.3)
    scene.receive(8)
    reading.set()
    await settled()
    assert seqs(alice) == [1, 2, 3, 4, 5, 6]
    scene.receive(7)
    await settled()
    assert seqs(alice) == [1, 2, 3, 4, 5, 6, 7, 8]


@in_virtual_time
async def test_forged_seq_in_an_envelope_moves_neither_the_stream_nor_the_tail() -> None:
    """A hint asks the store, and the store decides: what follows is shown at its right place."""
    scene = Scene()
    (alice,) = await scene.join("alice")
    scene.store.put(C, "body 1")
    scene.receive(1)
    scene.receive(51)
    scene.delivery.hint(C, 1_000)
    await scene.ticks(1)
    assert scene.delivery.head(C) == 1
    scene.store.put(C, "body 2")
    scene.receive(2)
    await settled()
    assert seqs(alice) == [1, 2]


@in_virtual_time
async def test_commit_before_the_generation_is_known_is_not_published() -> None:
    """Other instances drop an envelope without a generation: shown here at once, published by its mark later."""
    scene = Scene()
    (alice,) = await scene.join("alice")
    scene.delivery.generation = ""
    assert not scene.delivery.hand_over(Commit(C, [delivered(1)], 0.0, None))
    await settled()
    assert (seqs(alice), scene.bus.commits) == ([1], [])


@in_virtual_time
async def test_a_head_read_before_the_subscription_was_confirmed_is_read_again() -> None:
    """Redis confirms late: messages that another instance published in between did not arrive here."""
    scene = Scene()
    scene.bus.is_live = False
    (alice,) = await scene.join("alice")
    scene.store.put(C, "body 1")
    scene.store.fail("heads", StoreTimeout("away"))
    scene.bus.is_live = True
    await scene.ticks(2)
    assert seqs(alice) == [1]
    before = scene.store.calls["heads"]
    await scene.ticks(2)
    assert scene.store.calls["heads"] == before


@in_virtual_time
async def test_stream_goes_back_when_the_store_was_restored_under_it() -> None:
    """Commits after the restore are shown, by own commits and by envelopes: devices get a `reset` first."""
    for is_own in (True, False):
        scene = Scene()
        scene.store.put(C, *(f"body {seq}" for seq in range(1, 51)))
        (alice,) = await scene.join("alice")
        assert scene.delivery.head(C) == 50
        scene.store.truncate(C, 30)
        scene.store.put(C, "new 31", "new 32")
        for seq in (31, 32):
            if is_own:
                message = delivered(seq, f"new {seq}")
                scene.delivery.hand_over(Commit(C, [message], 0.0, None, [message]))
            else:
                scene.receive(seq)
        await scene.ticks(1)
        scene.store.put(C, "body 33")
        scene.receive(33)
        await settled()
        told = [(frame["type"], frame.get("seq", frame.get("last_seq")), frame.get("body")) for frame in shown(alice)]
        assert told == [("reset", 30, None), ("message", 31, "new 31"), ("message", 32, "new 32"), ("message", 33, "body 33")]


@in_virtual_time
async def test_message_that_comes_again_costs_one_read_and_changes_nothing() -> None:
    """A swept commit is published twice; only the store can tell that from a restore."""
    scene = Scene()
    (alice,) = await scene.join("alice")
    scene.store.put(C, "body 1", "body 2")
    scene.receive(1, 2)
    reads = scene.store.calls["heads"]
    for _ in range(3):
        scene.receive(1, 2)
    await scene.ticks(1)
    assert (seqs(alice), scene.store.calls["heads"] - reads) == ([1, 2], 1)
    assert [frame["type"] for frame in shown(alice)] == ["message", "message"]
