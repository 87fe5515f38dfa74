"""What the other instances say in their bulletins is taken in, each kind without waiting for the others. After missed
envelopes all users' lists are compared with the store, by one run at a time."""

import asyncio
from types import SimpleNamespace
from typing import Any

from holdfast.domain.bulletins import Bulletin
from holdfast.domain.conversations import Membership
from holdfast.domain.ids import ConversationId, Epoch, InstanceId, UserId
from holdfast.errors import StoreTimeout, StoreUnavailable
from holdfast.node.recovery.resync import Resync
from support.delivery_scene import C, Scene, seqs
from support.fake_redis_trust import FakeRedisTrust
from support.fakes import connection
from support.node_scene import NodeScene
from support.virtual_time import in_virtual_time, passed, settled


def _resync(scene: Scene) -> Resync:
    return Resync(
        scene.store,  # type: ignore[arg-type]  # the part it uses
        scene.local,
        scene.membership,
        SimpleNamespace(learn=lambda *_: None),  # type: ignore[arg-type]  # all that is asked of it
        FakeRedisTrust(scene.bus, scene.clock),
        scene.tasks,
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


USERS = 100


class _Connected(NodeScene):
    """An instance with a hundred users, and whose lists it asks the store for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[UserId] = []
        self.fails: dict[UserId, list[Exception]] = {}
        self._memberships_of = self.store.memberships_of
        store: Any = self.store
        store.memberships_of = self._read
        for number in range(USERS):
            self.node.hub.add(connection(f"user{number}"))

    async def _read(self, user_id: UserId) -> list[Membership]:
        self.asked.append(user_id)
        if errors := self.fails.get(user_id):
            raise errors.pop(0)
        return await self._memberships_of(user_id)

    def compared(self) -> float | None:
        """How often the heads of all conversations were compared, too."""
        return self.telemetry.registry.get_sample_value("holdfast_resyncs_total", {"reason": "split"})


@in_virtual_time
async def test_what_is_missed_during_a_resync_is_looked_at_by_one_more() -> None:
    """A bus that flaps begins a subscription a second: the reads of all users must not pile up on a slow store."""
    scene = _Connected()
    answering = scene.store.hold("memberships_of")
    for _ in range(3):
        scene.node.on_loss_elsewhere()
        await settled()
    answering.set()
    await passed(5.0)
    assert (len(scene.asked), scene.compared()) == (2 * USERS, 2.0)
    assert set(scene.asked[USERS:]) == set(scene.node.hub.users)
    scene.node.on_loss_elsewhere()
    await passed(5.0)
    assert (len(scene.asked), scene.compared()) == (3 * USERS, 3.0)


@in_virtual_time
async def test_users_that_were_looked_at_are_not_read_again_after_a_failed_try() -> None:
    """A store that drops one call in a hundred would never be through with all users."""
    scene = _Connected()
    scene.fails[UserId("user98")] = [StoreUnavailable("away")] * 3
    scene.node.on_loss_elsewhere()
    await passed(5.0)
    assert set(scene.asked) == set(scene.node.hub.users)
    assert (len(scene.asked), scene.compared()) == (USERS + 3, 1.0)


@in_virtual_time
async def test_a_user_whose_list_cannot_be_read_keeps_no_other_out() -> None:
    """It may be a mistake with this one: it is tried again after the others."""
    scene = _Connected()
    scene.fails[UserId("user0")] = [ValueError("a mistake")] * 1_000
    scene.node.on_loss_elsewhere()
    await passed(20.0)
    assert set(scene.asked) == set(scene.node.hub.users)
    assert len(scene.asked) < 2 * USERS
    scene.fails.clear()
    scene.node.on_loss_elsewhere()
    await passed(5.0)
    assert scene.compared() == 1.0


def _overflowed(beat: int = 1, *, is_ended: bool = False) -> Bulletin:
    return Bulletin(InstanceId("two"), Epoch("e2"), beat, "ok", overflow=True, is_ended=is_ended)


@in_virtual_time
async def test_bulletins_do_not_wait_for_the_comparison_after_an_overflow() -> None:
    """It takes half a minute. Meanwhile commits of instances without Redis are found by bulletins alone."""
    scene = Scene()
    (alice,) = await scene.join("alice")
    resync = _resync(scene)
    scene.store.hold("heads")
    await resync.with_bulletins([_overflowed()])
    scene.store.put(C, "one")
    await resync.with_bulletins([Bulletin(InstanceId("three"), Epoch("e3"), 1, "ok", heads={C: 1})])
    await scene.ticks(1.0)
    assert seqs(alice) == [1]
    await scene.tasks.close()


@in_virtual_time
async def test_one_comparison_is_under_way_and_another_follows_what_overflowed_meanwhile() -> None:
    """The running one may have passed a conversation before its message came."""
    scene = Scene()
    await scene.join("alice")
    resync = _resync(scene)
    before, answering = scene.store.calls["heads"], scene.store.hold("heads")
    for beat in range(1, 5):
        await resync.with_bulletins([_overflowed(beat)])
        await settled()
    assert scene.store.calls["heads"] - before == 1
    answering.set()
    await settled()
    assert scene.store.calls["heads"] - before == 2
    await resync.with_bulletins([])
    await settled()
    assert scene.store.calls["heads"] - before == 2


@in_virtual_time
async def test_comparison_that_the_store_did_not_answer_is_made_with_the_next_bulletins() -> None:
    """Also after the last bulletin of a run, which is taken once."""
    scene = Scene()
    (alice,) = await scene.join("alice")
    resync = _resync(scene)
    scene.store.put(C, "one")
    scene.store.fail("heads", StoreTimeout("away"))
    await resync.with_bulletins([_overflowed(is_ended=True)])
    await scene.ticks(1.0)
    assert seqs(alice) == []
    await resync.with_bulletins([_overflowed(is_ended=True)])
    await scene.ticks(1.0)
    assert seqs(alice) == [1]
