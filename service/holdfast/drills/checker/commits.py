"""When each message was committed: between two moments that clients saw, which the order of the seqs brings closer together."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from holdfast.drills.checker.run import Run


@dataclass(frozen=True, slots=True)
class Commit:
    """A message that is in the store. It was committed at `earliest` or later and at `latest` or earlier (infinite: unknown).

    `is_reading`: it counts as reading what its sender had been shown, as a message sent by REST does not.
    """

    conversation: str
    seq: int
    sender: str
    earliest: float
    latest: float
    is_reading: bool


def commits_of(run: Run) -> dict[str, list[Commit]]:
    """Conversation -> its messages, by seq.

    A message is committed after it was sent, before it is acknowledged or received by any device, and after its predecessor.
    """
    received: dict[tuple[str, int], float] = {}
    for device in run.devices.values():
        for event in device.received:
            key = (event.conversation, event.seq)
            received[key] = min(event.t, received.get(key, math.inf))
    return {conversation: list(_bounded(run, conversation, received)) for conversation in run.stored}


def _bounded(run: Run, conversation: str, received: dict[tuple[str, int], float]) -> Iterator[Commit]:
    placed, stored = run.placed[conversation], run.stored[conversation]
    seqs = sorted(stored)
    latest: dict[int, float] = {}
    at = math.inf
    for seq in reversed(seqs):
        sent = placed.get(seq)
        at = min(at, received.get((conversation, seq), math.inf), math.inf if sent is None else sent.acked_at)
        latest[seq] = at
    earliest = 0.0
    for seq in seqs:
        sent = placed.get(seq)
        earliest = max(earliest, 0.0 if sent is None else sent.invoked_at)
        is_reading = sent is None or not sent.is_by_rest
        yield Commit(conversation, seq, stored[seq].sender, earliest, latest[seq], is_reading)
