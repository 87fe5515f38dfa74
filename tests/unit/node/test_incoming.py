"""Envelopes of other instances: which are acted on."""

from types import SimpleNamespace
from typing import Any

import msgspec

from holdfast.node.connections.encoded import encoded
from holdfast.node.incoming import Incoming
from holdfast.ports import FLEET
from holdfast.protocol.envelopes import HeartbeatEnvelope, RevokedEnvelope, encode
from support.delivery_scene import C, Scene, delivered
from support.virtual_time import in_virtual_time


class _Revocations:
    def __init__(self) -> None:
        self.learned: list[str] = []

    def receive(self, envelope: RevokedEnvelope) -> None:
        self.learned.append(envelope.user)


def incoming(scene: Scene, revocations: _Revocations | None = None, heartbeats: object = None) -> Incoming:
    """Over the delivery of a scene; all other parts are absent."""
    absent: Any = None
    others: Any = revocations
    return Incoming(
        SimpleNamespace(identity=scene.identity, telemetry=scene.telemetry),  # type: ignore[arg-type]  # the parts it uses
        heartbeats,  # type: ignore[arg-type]  # the part it uses
        scene,  # type: ignore[arg-type]  # the parts it uses
        SimpleNamespace(receipt_fan_out=absent, presence_fan_out=absent, revocations=others),  # type: ignore[arg-type]  # the parts it uses
        absent,
    )


def messages(seq: int, **header: object) -> bytes:
    """An envelope of one message, as another instance or any other program on the channel writes it."""
    text = msgspec.Raw(encoded(delivered(seq), "bus", 0.0).text)
    envelope = {"v": 1, "kind": "messages", "c": C, "seq": seq, "instance": "two", "age_ms": 0, "messages": [text]}
    return msgspec.json.encode(envelope | header)


@in_virtual_time
async def test_envelope_without_the_generation_of_this_store_is_dropped() -> None:
    """It is of another store, or of no instance at all; each one is counted."""
    scene = Scene()
    await scene.join("alice")
    take = incoming(scene).take
    for header in ({}, {"generation": ""}, {"generation": "store-2"}):
        take("", messages(1, **header))
        take("", msgspec.json.encode({"v": 2, "kind": "tomorrow", "c": C, "seq": 9} | header))
    assert scene.delivery.head(C) == 0
    assert scene.delivery.locals[C].sequencer.known_tail == 0
    assert scene.telemetry.dropped.labels("other_generation")._value.get() == 6
    take("", messages(1, generation="store-1"))
    assert scene.delivery.head(C) == 1


@in_virtual_time
async def test_revocation_is_heard_while_the_generation_is_not_known_yet() -> None:
    """An instance that starts while the store is away refuses revoked tokens all the same."""
    scene, revocations = Scene(), _Revocations()
    scene.delivery.generation = ""
    take = incoming(scene, revocations).take
    take("", msgspec.json.encode({"v": 1, "kind": "revoked", "generation": "store-1", "user": "eve", "not_before": 5}))
    assert revocations.learned == ["eve"]


class _Heartbeats:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def take(self, heartbeat: HeartbeatEnvelope) -> None:
        self.heard.append(heartbeat.run)


@in_virtual_time
async def test_heartbeat_counts_on_the_channel_of_all_instances_alone() -> None:
    """Of whichever generation: whether a store was replaced is told by the store."""
    scene, heartbeats = Scene(), _Heartbeats()
    part = incoming(scene, heartbeats=heartbeats)
    payload = encode(HeartbeatEnvelope(v=1, kind="heartbeat", run="two:1", world="here"))
    part.take(FLEET, payload)
    part.take(f"conversation:{C}", payload)
    assert heartbeats.heard == ["two:1"]
