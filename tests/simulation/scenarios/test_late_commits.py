"""A commit lands after the store said that it is not there: long after its sender was told that nothing is known of it."""

import asyncio
from pathlib import Path
from typing import Final

import pytest

from holdfast.drills.history import read_history
from holdfast.node.sending.own_marks import OwnMarks
from simulation.firestore import server
from simulation.firestore.faults import Fault
from simulation.firestore.place import SimulatedFirestore
from simulation.scenarios.scene import Scene, play

_WORDS: Final = "last words"
_LANDS_SECONDS: Final = 8.0
_SHOWN_SECONDS: Final = 5.0


@pytest.fixture(autouse=True)
def _calls_land_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that its caller gave up is carried out all the same: else by chance."""
    monkeypatch.setattr(server, "_LATE_SHARE", 1.0)


async def _work(scene: Scene) -> None:
    """The sender never returns, and no other message follows: the mark is all that tells of this one."""
    store = scene.cluster.store
    assert isinstance(store, SimulatedFirestore)
    alice = await scene.connect("u1", "i1", {}, "raw")
    await scene.connect("u2", "i2", {})
    await scene.create("c0", "u1", "u2", "away", at="i3")
    await asyncio.sleep(1.0)  # virtual time, here and below: the conversation is known everywhere
    with scene.history.fault("firestore-slow", "i1"):
        store.faults.add(Fault(delay_seconds=_LANDS_SECONDS, method="Commit", client="i1", containing=_WORDS.encode()))
        store.faults.add(Fault(answer_delay_seconds=1.0, method="BatchGetDocuments", client="i1", containing=b"/sends/"))
        scene.say(alice, "c0", _WORDS)
        await asyncio.sleep(3.0)  # the sender is told that nothing is known, after 2.6 s
        alice.crash()
        await asyncio.sleep(_LANDS_SECONDS - 3.0 + _SHOWN_SECONDS)  # the commit lands, and is looked for


def _shown_and_notified(directory: Path) -> tuple[bool, bool]:
    """Whether the reader was shown the message, and the absent member has a notification."""
    _, events = read_history(directory / "history.jsonl")
    return any(event.event == "shown" for event in events), any(event.event == "stored_notification" for event in events)


def test_message_that_lands_after_its_sender_was_told_unknown_is_shown_and_notified(tmp_path: Path) -> None:
    """By the instance that left its mark: no other one touches it while they hear each other."""
    assert play(_work, tmp_path, store="firestore") == []
    assert _shown_and_notified(tmp_path) == (True, True)


def test_mark_that_is_not_left_leaves_the_message_unseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scenario above would notice: nothing else covers for it within half a minute."""
    monkeypatch.setattr(OwnMarks, "leave", lambda *_: None)
    assert play(_work, tmp_path, store="firestore") != []
    assert _shown_and_notified(tmp_path) == (False, False)
