"""What the other instances say in their bulletins is taken in, each kind without waiting for the others."""

import asyncio
from types import SimpleNamespace

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.ids import ConversationId, Epoch, InstanceId, UserId
from holdfast.node.recovery.resync import Resync
from support.delivery_scene import C, Scene, seqs
from support.fake_redis_trust import FakeRedisTrust
from support.virtual_time import in_virtual_time


def _resync(scene: Scene) -> Resync:
    return Resync(
        scene.store,  # type: ignore[arg-type]  # the part it uses
        scene.local,
        scene.membership,
        SimpleNamespace(learn=lambda *_: None),  # type: ignore[arg-type]  # all that is asked of it
        FakeRedisTrust(scene.bus, scene.clock),
    )


@in_virtual_time
async def test_a_message_does_not_wait_for_the_members_of_other_conversations() -> None:
    """Each of those may take a read of the store, and a busy instance names thousands."""
    scene = Scene()
    (alice,) = await scene.join("alice")
    resync = _resync(scene)
    scene.store.put(C, "one")
    elsewhere = ConversationId("elsewhere")
    bulletins = [
        Bulletin(InstanceId("two"), Epoch("e2"), 1, "ok", members={elsewhere: 1}, users=(UserId("alice"),)),
        Bulletin(InstanceId("three"), Epoch("e3"), 1, "ok", heads={C: 1}),
    ]
    await scene.conversations.get(C)
    answering = scene.store.hold("read_conversation")
    reading = asyncio.create_task(resync.with_bulletins(bulletins))
    await scene.ticks(1.0)
    shown = seqs(alice)
    answering.set()
    await reading
    assert shown == [1]


async def _reads_of_two_looks(*, is_ended: bool) -> int:
    scene = Scene()
    await scene.join("alice")
    resync = _resync(scene)
    bulletin = Bulletin(
        InstanceId("two"),
        Epoch("e2"),
        1,
        "ok",
        members={ConversationId("unknown"): 1},
        users=(UserId("alice"),),
        is_ended=is_ended,
    )
    before = scene.store.calls["read_conversation"]
    await resync.with_bulletins([bulletin])
    await resync.with_bulletins([bulletin])
    return scene.store.calls["read_conversation"] - before


@in_virtual_time
async def test_the_last_bulletin_of_a_run_that_ended_is_taken_once() -> None:
    """The run before of an instance that starts again names each conversation of its last minute: none is read for it again."""
    assert await _reads_of_two_looks(is_ended=True) == 1
    assert await _reads_of_two_looks(is_ended=False) == 2
