"""What a client missed: from Redis what is there, from the store only the rest."""

from holdfast.node.connections.encoded import encoded
from support.delivery_scene import C, Scene, delivered
from support.fakes import connection
from support.virtual_time import in_virtual_time


@in_virtual_time
async def test_message_that_redis_does_not_keep_is_the_only_one_that_is_read_from_the_store() -> None:
    """One long message among sixty would cost each client that comes back a read of all of them."""
    for missing, reads in (((), 0), ((4,), 1), ((2, 3), 1), ((3, 6), 2), ((2, 3, 4, 5, 6), 1)):
        scene = Scene()
        scene.store.messages[C] = [delivered(seq) for seq in range(1, 7)]
        scene.bus.kept = [(seq, encoded(delivered(seq), "bus", 0.0).text) for seq in range(2, 7) if seq not in missing]
        pages = [page async for page in scene.replay.pages(connection("bob"), C, 1, 6)]
        assert [item.seq for page in pages for item in page] == [2, 3, 4, 5, 6], missing
        assert scene.store.calls["read_messages"] == reads, missing


@in_virtual_time
async def test_replay_ends_where_the_store_has_no_more() -> None:
    """It was restored: the message that Redis lacks is gone, and is not waited for."""
    scene = Scene()
    scene.store.messages[C] = [delivered(1)]
    scene.bus.kept = [(2, encoded(delivered(2), "bus", 0.0).text)]
    pages = [page async for page in scene.replay.pages(connection("bob"), C, 1, 4)]
    assert [item.seq for page in pages for item in page] == [2]
