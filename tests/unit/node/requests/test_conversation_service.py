"""Conversations as things to look up and to change: what is shown is what the store says now, and to whom it says so."""

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from holdfast.domain.ids import UserId
from holdfast.errors import CommandError
from holdfast.node.notifications.decision import Notifications
from holdfast.node.requests.changing import MemberChanges
from holdfast.node.requests.commands import Caller
from holdfast.node.requests.conversation_service import ConversationService
from holdfast.node.requests.marked_changes import MarkedChanges
from holdfast.node.tasks import Tasks
from holdfast.settings import LimitSettings
from support.delivery_scene import C, Scene
from support.own_marks import own_marks_of
from support.virtual_time import LoopClock, in_virtual_time, settled


def _service(scene: Scene, bulletins: Any = None, redis_trust: Any = None) -> ConversationService:
    """Over the scene's store; what only changes need is there where it is given."""
    cluster = SimpleNamespace(bulletins=bulletins, redis_trust=redis_trust)
    parts: Any = (
        scene.store,
        scene.conversations,
        scene.membership,
        cluster,
        own_marks_of(scene.bus, sight=redis_trust),
        scene.process.tasks,
    )
    marked, notifications = MarkedChanges(*parts), SimpleNamespace(note_added=lambda *_: None)
    store: Any = scene.store
    members = MemberChanges(store, marked, cast("Notifications", notifications), Tasks(), max_members=LimitSettings().members)
    return ConversationService(store, scene.local, marked, members, LoopClock(), LimitSettings())


@in_virtual_time
async def test_who_was_removed_is_shown_nothing_of_what_is_read_anew() -> None:
    """The cached entry still had them in it: it lets them ask, and the answer is newer."""
    scene = Scene()
    service = _service(scene)
    await scene.join("alice", "bob")
    await scene.conversations.read(C)
    scene.change_members("alice", version=2)
    with pytest.raises(CommandError) as refused:
        await service.describe(Caller(UserId("bob"), is_admin=False), C)
    assert refused.value.code == "conversation_not_found"


@in_virtual_time
async def test_presence_is_shown_between_users_who_have_both_accepted_a_conversation() -> None:
    """The creator of a conversation with a user does not learn by that when the user is online."""
    scene = Scene()
    service = _service(scene)
    alice, bob, operator = (Caller(UserId(user), is_admin=user == "operator") for user in ("alice", "bob", "operator"))

    async def shown(caller: Caller, user_id: str) -> tuple[bool, bool]:
        *_, of_members = await service.describe(caller, C)
        try:
            await service.presence(caller, user_id)
        except CommandError:
            return False, UserId(user_id) in of_members
        return True, UserId(user_id) in of_members

    assert await shown(alice, "bob") == await shown(bob, "alice") == (False, False)
    assert await shown(alice, "alice") == await shown(operator, "bob") == (True, True)
    scene.store.cursors[C, UserId("bob")] = 0
    assert await shown(alice, "bob") == await shown(bob, "alice") == (True, True)


@pytest.mark.parametrize(("is_split", "is_live", "written"), [(False, True, 0), (True, True, 1), (False, False, 1)])
async def test_a_change_is_written_to_the_bulletin_first_where_its_mark_is_not_for_all_to_see(
    monkeypatch: pytest.MonkeyPatch, is_split: bool, is_live: bool, written: int
) -> None:
    """Redis did not take it, or others use another one: an instance that dies after the change has announced it."""
    scene, told = Scene(), list[tuple[Any, ...]]()

    async def write_first(*change: Any) -> None:
        told.append(change)

    async def refuse(*_: Any, **__: Any) -> None:
        raise CommandError("conversation_not_found", "gone")

    bulletins = SimpleNamespace(write_first=write_first)
    losses = SimpleNamespace(unmarked=contextlib.nullcontext)
    redis_trust = SimpleNamespace(is_seen_by_all=not is_split, losses=losses)
    scene.bus.is_live = is_live
    monkeypatch.setattr(scene.store, "change_members", refuse)
    with pytest.raises(CommandError):
        await _service(scene, bulletins, redis_trust).remove_member(Caller(UserId("alice"), is_admin=True), C, "bob")
    assert told == [(C, (UserId("bob"),))] * written


@in_virtual_time
async def test_changes_of_title_and_of_metadata_at_the_same_time_both_stand() -> None:
    """Each names one field. What another caller wrote into the other field, here or elsewhere, is acknowledged already."""
    scene = Scene()
    await scene.join("alice")
    service, alice = _service(scene), Caller(UserId("alice"), is_admin=False)
    await service.get(alice, C)
    answering = scene.store.hold("update_conversation")
    changes = [
        asyncio.create_task(service.update(alice, C, title="new", metadata_json=None, keeps=frozenset({"metadata"}))),
        asyncio.create_task(service.update(alice, C, title=None, metadata_json='{"a":1}', keeps=frozenset({"title"}))),
    ]
    await settled()
    answering.set()
    first, last = await asyncio.gather(*changes)
    stored = scene.store.conversations[C]
    assert (stored.title, stored.metadata_json, stored.revision) == ("new", '{"a":1}', 3)
    assert (first.title, first.revision) == ("new", 2)
    assert (last.title, last.metadata, last.revision) == ("new", msgspec.Raw(b'{"a":1}'), 3)
