"""Which channels are wanted, asked for and confirmed, on one connection after another. No I/O, no clock.

Invariants: at most one chunk of SUBSCRIBE awaits its confirmations, control and `user:` channels first; a channel counts as
confirmed only when no command about it is still under way (so that SUBSCRIBE, UNSUBSCRIBE, SUBSCRIBE in a hurry cannot
confuse it).
"""

from collections.abc import Iterable, KeysView
from typing import Final

from holdfast.adapters.redis.keys import USER_PREFIX

CHUNK: Final = 500
"""Channels per SUBSCRIBE: 3 ms of Redis's time, so that an echo is never far behind (150,000 channels a second)."""


class Subscriptions:
    """The bookkeeping of one bus. The caller sends what it is told to, and feeds confirmations in."""

    def __init__(self, control: str) -> None:
        """`control` is always wanted, and first."""
        self._confirmed: dict[str, int] = {}  # and the number of the confirmation
        self._confirmations = 0
        self._control = control
        self._names: dict[bytes, str] = {}  # the wanted channels
        self._first: dict[str, None] = {}  # to be asked for, in order; control and users
        self._later: dict[str, None] = {}
        self._under_way: dict[str, int] = {}  # commands sent about a channel and not confirmed
        self._subscribing = 0
        self._lost: dict[str, None] = {}  # wanted when the connection was made, and not confirmed on it
        self.want([control])

    def rename(self, control: str) -> str:
        """Another channel is always wanted, and first; returns the one that was, to be forgotten."""
        before, self._control = self._control, control
        self.want([control])
        return before

    @property
    def confirmed(self) -> KeysView[str]:
        """The channels that are subscribed, in the order of their confirmations; it follows what happens."""
        return self._confirmed.keys()

    def confirmation(self, name: str) -> int:
        """The number of the channel's confirmation, larger for each later one; 0 while it is not confirmed."""
        return self._confirmed.get(name, 0)

    @property
    def is_restored(self) -> bool:
        """Each channel wanted when the connection was made is confirmed on it, or not wanted any more."""
        return not self._lost

    @property
    def is_asking(self) -> bool:
        """A chunk awaits confirmations."""
        return self._subscribing > 0

    def name_of(self, channel: bytes) -> str | None:
        """The name of a wanted channel, or None."""
        return self._names.get(channel)

    def want(self, channels: Iterable[str]) -> dict[str, None]:
        """Want these; returns those of them that are not confirmed."""
        missing: dict[str, None] = {}
        for name in channels:
            if name in self._confirmed:
                continue
            missing[name] = None
            channel = name.encode()
            if channel not in self._names:
                self._names[channel] = name
                self._ask_for(name)
        return missing

    def forget(self, channels: Iterable[str]) -> list[str]:
        """Want these no more; returns those to UNSUBSCRIBE from on the present connection."""
        sent: list[str] = []
        for name in channels:
            if self._names.pop(name.encode(), None) is None:
                continue
            self._lost.pop(name, None)
            if name in self._first or name in self._later:
                self._first.pop(name, None)
                self._later.pop(name, None)
                continue
            self._confirmed.pop(name, None)
            self._under_way[name] = self._under_way.get(name, 0) + 1
            sent.append(name)
        return sent

    def restart(self) -> None:
        """A new connection, or none: nothing is confirmed, everything wanted is to be asked for."""
        self._confirmed.clear()
        self._under_way.clear()
        self._first.clear()
        self._later.clear()
        self._subscribing = 0
        self._first[self._control] = None
        self._lost = dict.fromkeys(self._names.values())
        for name in self._names.values():
            self._ask_for(name)

    def next_chunk(self) -> list[str]:
        """The channels to SUBSCRIBE to now; empty while a chunk is under way or nothing is left."""
        if self._subscribing:
            return []
        chunk: list[str] = []
        for queue in (self._first, self._later):
            while queue and len(chunk) < CHUNK:
                name = next(iter(queue))
                del queue[name]
                chunk.append(name)
        for name in chunk:
            self._under_way[name] = self._under_way.get(name, 0) + 1
        self._subscribing = len(chunk)
        return chunk

    def confirm(self, channel: bytes, *, is_subscribe: bool) -> str | None:
        """Redis confirmed one command; returns the channel when it is subscribed now and wanted."""
        name = self._names.get(channel)
        key = name if name is not None else channel.decode(errors="replace")
        left = self._under_way.get(key, 0) - 1
        if left > 0:
            self._under_way[key] = left
        else:
            self._under_way.pop(key, None)
        if not is_subscribe:
            return None
        self._subscribing = max(0, self._subscribing - 1)
        if name is None or left > 0:
            return None
        self._confirmations += 1
        self._confirmed[name] = self._confirmations
        self._lost.pop(name, None)
        return name

    def _ask_for(self, name: str) -> None:
        is_first = name == self._control or name.startswith(USER_PREFIX)
        (self._first if is_first else self._later)[name] = None
