"""A user's device: it keeps its cursors by the protocol's rule and fails on the first frame that breaks a stream."""

import random
from typing import Any

from support.chatting import Chatter, Frame
from support.instances import Serving


class Device:
    """Follows its conversations over many connections.

    Attributes:
        cursors: last seq seen, moved by `message`, `truncated` and `reset` only (and set where a conversation begins).
        shown: by conversation, the messages as shown, in order.
        skipped: ranges that `truncated` named: (conversation, first, last).
    """

    def __init__(self, user_id: str) -> None:
        """Has never been connected: everything is new to it."""
        self.user_id = user_id
        self.cursors: dict[str, int] = {}
        self.shown: dict[str, list[Frame]] = {}
        self.skipped: list[tuple[str, int, int]] = []
        self.connection: Chatter | None = None
        self._taken = 0

    async def connect(self, instance: Serving) -> Chatter:
        """Resume with the cursors; returns when the replay is over."""
        chatter = await self.open(instance)
        await chatter.receive("synced")
        return chatter

    async def open(self, instance: Serving) -> Chatter:
        """Say hello with the cursors, and wait for nothing."""
        self.connection = await Chatter(instance, self.user_id).connect(hello=False)
        self._taken = 0
        await self.connection.send({"type": "hello", "cursors": dict(self.cursors)})
        return self.connection

    async def leave(self, how: random.Random | None = None) -> None:
        """Disconnect, politely or (`how` decides) without a word, and judge what came."""
        assert self.connection is not None
        await (self.connection.vanish() if how is not None and how.random() < 0.5 else self.connection.close())
        self.judge()
        self.connection = None

    def judge(self) -> "Device":
        """Take what arrived since the last look; fails where a stream is not what was promised."""
        assert self.connection is not None
        fresh = self.connection.frames[self._taken :]
        self._taken = len(self.connection.frames)
        for frame in fresh:
            self._take(frame)
        return self

    def has(self, conversation_id: str, seq: int) -> bool:
        """Whether everything up to `seq` was shown or skipped."""
        return self.judge().cursors.get(conversation_id, 0) >= seq

    def seqs(self, conversation_id: str) -> list[int]:
        """The shown messages of a conversation."""
        return [frame["seq"] for frame in self.shown.get(conversation_id, ())]

    def bodies(self, conversation_id: str) -> dict[int, str]:
        """The shown messages of a conversation, by seq."""
        return {frame["seq"]: frame["body"] for frame in self.shown.get(conversation_id, ())}

    def _take(self, frame: Frame) -> None:
        kind = frame["type"]
        if kind == "message":
            self._step(frame["conversation_id"], frame["seq"], frame["seq"], frame)
            self.shown.setdefault(frame["conversation_id"], []).append(frame)
        elif kind == "truncated":
            self._step(frame["conversation_id"], frame["from_seq"], frame["to_seq"], frame)
            self.skipped.append((frame["conversation_id"], frame["from_seq"], frame["to_seq"]))
        elif kind == "reset":
            assert frame["last_seq"] < self.cursors[frame["conversation_id"]], f"reset, though not beyond the end: {frame}"
            self.cursors[frame["conversation_id"]] = frame["last_seq"]
        elif kind == "synced":
            behind = {c: (self.cursors.get(c, 0), head) for c, head in frame["heads"].items() if self.cursors.get(c, 0) != head}
            assert not behind, f"{self.user_id}: the replay is over, and cursor and head differ: {behind}"
        elif kind == "conversation":
            self._change(frame)

    def _step(self, conversation_id: str, first: int, last: int, frame: Frame) -> None:
        at = self.cursors.get(conversation_id, 0)
        assert first == at + 1, f"{self.user_id} is at {at} of {conversation_id} and is shown {first}: {frame}"
        self.cursors[conversation_id] = last

    def _change(self, frame: dict[str, Any]) -> None:
        """A conversation that begins for this device is live after the `last_seq` that its event names."""
        if frame["event"] == "member_removed" and frame["user_id"] == self.user_id:
            self.cursors.pop(frame["conversation_id"], None)
        elif "conversation" in frame and frame["conversation_id"] not in self.cursors:
            self.cursors[frame["conversation_id"]] = frame["conversation"]["last_seq"]
