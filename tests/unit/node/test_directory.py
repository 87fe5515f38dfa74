"""Conversations as things to look up: what is shown is what the store says now, and to whom it says so."""

from typing import Any

import pytest

from holdfast.domain.ids import UserId
from holdfast.errors import CommandError
from holdfast.node.commands import Caller
from holdfast.node.directory import Directory
from holdfast.node.tasks import Tasks
from holdfast.settings import LimitSettings
from support.delivery_scene import C, Scene
from support.virtual_time import LoopClock, in_virtual_time


def _directory(scene: Scene) -> Directory:
    """Over the scene's store; whatever only changes need is not there."""
    absent: Any = None
    parts: Any = (scene.store, scene.conversations, scene.membership, scene.delivery, absent, absent, scene.bus)
    return Directory(*parts, LoopClock(), Tasks(), LimitSettings(), lambda: "one|1")


@in_virtual_time
async def test_who_was_removed_is_shown_nothing_of_what_is_read_anew() -> None:
    """What was known still had them in it: it lets them ask, and what is answered is newer."""
    scene = Scene()
    directory = _directory(scene)
    await scene.join("alice", "bob")
    await scene.conversations.read(C)
    scene.change_members("alice", version=2)
    with pytest.raises(CommandError) as refused:
        await directory.describe(Caller(UserId("bob"), is_admin=False), C)
    assert refused.value.code == "conversation_not_found"
