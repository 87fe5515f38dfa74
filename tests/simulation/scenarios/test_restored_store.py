"""The store is put back to an earlier moment under running instances, and no operator renews it."""

import asyncio
from pathlib import Path

import pytest

from holdfast.drills.history import read_history
from holdfast.node.cluster.own_bulletin import OwnBulletin
from simulation.cluster import StoreKind
from simulation.devices import Device
from simulation.restoring import Backup, renewed
from simulation.scenarios.scene import Scene, play
from simulation.verdict import Finding
from support.altered import ALTERATIONS

_EXPECTED = {"the store was restored or renewed": "the scenario does that"}


async def _talk(scene: Scene, devices: list[Device], seconds: float) -> None:
    """One message every 0.2 s, of all in turn."""
    for number in range(int(seconds / 0.2)):
        device = devices[number % len(devices)]
        scene.say(device, "c0", f"{scene.loop.time():.3f} of {device.user}")
        await asyncio.sleep(0.2)  # virtual time, as all here: the pace of the talk


async def _restore_without_renewing(scene: Scene) -> float:
    """Three users talk all the time, and a fourth is away; after how many seconds the generation is another one, at most 20."""
    devices = [await scene.connect(user, instance, {}) for user, instance in (("u1", "i1"), ("u2", "i2"), ("u3", "i3"))]
    away = await scene.connect("away", "i2", {})
    await scene.create("c0", "u1", "u2", "u3", "away", at="i1")
    await _talk(scene, devices, 10.0)
    backup = Backup(scene.cluster, ["c0"])
    await _talk(scene, devices, 8.0)
    await scene.leave(away)
    talking = asyncio.create_task(_talk(scene, devices, 30.0))
    with scene.history.fault("store-restore"):
        backup.put_back(scene.history, with_bulletins=True)
        seconds = await renewed(scene.cluster, scene.history)
        await asyncio.sleep(5.0)  # all instances begin anew within the fault
    await talking
    away.start(1)
    return seconds


def _is_told_reset(directory: Path) -> bool:
    """Whether the user `away` is told, on coming back."""
    _, events = read_history(directory / "history.jsonl")
    return any(event.event == "reset" and event.device == "away-1" for event in events)


def _played(directory: Path, store: StoreKind) -> tuple[float, list[Finding]]:
    seconds = list[float]()

    async def work(scene: Scene) -> None:
        seconds.append(await _restore_without_renewing(scene))

    findings = play(work, directory, store=store, expected=_EXPECTED)
    return seconds[0], findings


@pytest.mark.parametrize("store", ["sqlite", "firestore"])
def test_store_that_was_restored_and_not_renewed_is_noticed_by_a_beat_and_loses_nothing_more(
    tmp_path: Path, store: StoreKind
) -> None:
    """Clients discard what is gone, also one that comes back when the conversation is longer again than it had seen. Messages
    that are acknowledged after that are shown to all. An operator may forget the last step.
    """
    seconds, findings = _played(tmp_path, store)
    assert seconds <= 5.0  # a beat, and a look
    assert findings == []
    assert _is_told_reset(tmp_path)


@pytest.mark.long
def test_beats_that_tell_nothing_of_a_restore_leave_clients_with_messages_that_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alteration that the test before this one notices."""
    name = "_note_restored"
    monkeypatch.setattr(OwnBulletin, name, getattr(OwnBulletin, name))  # as it is: put back at the end
    ALTERATIONS["no_restore_by_beat"]()
    seconds, _ = _played(tmp_path, "sqlite")
    assert seconds >= 20.0
    assert not _is_told_reset(tmp_path)
