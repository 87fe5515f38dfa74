"""What all parts of the store share."""

from holdfast.adapters.firestore.client import Calls
from holdfast.adapters.firestore.tails import Tails


class StorePart:
    """One concept of the store. `FirestoreStore` is all of them, over the same calls."""

    def __init__(self, calls: Calls, tails: Tails) -> None:
        """`calls` and `tails`: shared with the other parts."""
        self._calls = calls
        self._tails = tails
