"""The read cursors of others, as the application was told: forward only.

While one connection takes over from another both bring the same receipts. Receipts that the new one held back during its replay
are older than those of the old one meanwhile.
"""

from collections import OrderedDict
from typing import Final

from holdfast.protocol.frames import Receipt

MAX_KNOWN: Final = 20_000


class ReadCursors:
    """Of one client. Pure; the ones that moved last are remembered."""

    def __init__(self) -> None:
        """No conversation has been read yet."""
        self._known: OrderedDict[tuple[str, str], int] = OrderedDict()

    def moved(self, receipt: Receipt) -> bool:
        """Whether it is news."""
        key = (receipt.conversation_id, receipt.user_id)
        if receipt.seq <= self._known.get(key, 0):
            return False
        self._known[key] = receipt.seq
        self._known.move_to_end(key)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return True

    def forget(self, conversation_id: str) -> None:
        """It was reset: whatever was read of it is something else."""
        for key in [key for key in self._known if key[0] == conversation_id]:
            del self._known[key]
