"""What a restore of the store took away counts neither as acknowledged nor as shown, and devices forget what they saw of it."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from holdfast.drills.checker.restores import Reset
from holdfast.drills.history import Event

if TYPE_CHECKING:
    from holdfast.drills.checker.run import Device, Run


def reset_of(run: "Run", device: "Device", conversation: str) -> Reset | None:
    """The first `reset` that the device was told under the generation that the store got by its renewal."""
    anew_at = _anew_at(run, device)
    return next((each for each in device.resets.get(conversation, ()) if each.t >= anew_at), None)


def forget_lost(run: "Run") -> None:
    """Take out of a run what does not count; see `restores`."""
    restores = run.restores
    run.acks = [ack for ack in run.acks if (ack[0][1], ack[1], ack[0][0], ack[0][2]) not in restores.lost]
    left = {send_id: (t, seq) for send_id, seq, t in reversed(run.acks)}
    for send_id, sent in run.sends.items():
        if (send_id[1], sent.seq, send_id[0], send_id[2]) in restores.lost:
            sent.acked_at, sent.seq = left.get(send_id, (math.inf, 0))
    forgotten: dict[tuple[str, str], float] = {}
    for name, device in run.devices.items():
        begins, is_back = {}, device.is_synced_under(restores.generation)
        for conversation, stream in device.stream.items():
            reset = reset_of(run, device, conversation)
            if reset is not None:
                begins[conversation] = reset.received
            shown, forgotten[name, conversation] = _begins_anew(run, device, conversation, reset)
            kept = [e for n, e in enumerate(stream) if not restores.is_discarded(e, n, shown)]
            device.stream[conversation] = kept if is_back else [e for e in kept if not _is_unnoticed(run, device, e)]
        device.received = [
            each
            for number, each in enumerate(device.received)
            if not restores.is_discarded(each, number, begins.get(each.conversation, math.inf))
        ]
    run.reads = [each for each in run.reads if each.conversation not in restores.at or each.t >= restores.renewed_at]
    run.known_cursors = [each for n, each in enumerate(run.cursors) if not _is_forgotten(run, each, n, forgotten)]


def _anew_at(run: "Run", device: "Device") -> float:
    """When the device first had a connection under that generation; infinite where it had none."""
    return min((e.opened_at for e in device.lines.values() if e.generation == run.restores.generation), default=math.inf)


def _begins_anew(run: "Run", device: "Device", conversation: str, reset: Reset | None) -> tuple[float, float]:
    """From which place on the device shows messages anew (infinite: it never does), and from which on it knows cursors anew.

    A device whose user is no member then, or was removed and is one again, is told no `reset`: it forgets the conversation when
    its connection begins. The messages that it received are judged all the same, because a user who is no member must not
    receive any. An instance that does not know of the renewal yet may tell `reset`, too: a device that leaves then has forgotten
    the cursors all the same.
    """
    t = _anew_at(run, device)
    if math.isinf(t):
        told = [
            each.cursors for each in device.resets.get(conversation, ()) if each.t >= run.restores.at.get(conversation, math.inf)
        ]
        return math.inf, max(told, default=0)
    is_out = run.memberships.has_been_out(conversation, device.user, 0.0, t, t)
    if not is_out and reset is not None:
        return reset.shown, reset.cursors
    if is_out or _is_told_to_begin(device, conversation, t):
        return sum(e.t < t for e in device.stream[conversation]), sum(e.t < t for e in run.cursors)
    return math.inf, 0


def _is_told_to_begin(device: "Device", conversation: str, opened_at: float) -> bool:
    """Whether the answer to `hello` on that connection said that the conversation begins: the device had no cursor in it."""
    until = min((line.synced_at for line in device.lines.values() if line.opened_at == opened_at), default=math.inf)
    return any(device.is_beginning(each) and opened_at <= each.t <= until for each in device.notices.get(conversation, ()))


def _is_unnoticed(run: "Run", device: "Device", event: Event) -> bool:
    """Whether the device showed this by an instance that had not noticed the restore yet."""
    generation = device.generation_at(event.t)
    return event.event == "shown" and run.restores.is_unnoticed(event.conversation, event.t, generation)


def _is_forgotten(run: "Run", cursor: Event, number: int, forgotten: Mapping[tuple[str, str], float]) -> bool:
    """What a device knew of a conversation's read cursors it forgot with its `reset`; at which place that was, by device."""
    return cursor.conversation in run.restores.at and number < forgotten.get((cursor.device, cursor.conversation), 0)
