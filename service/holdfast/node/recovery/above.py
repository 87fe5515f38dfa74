"""The news of this room for the rooms above it."""

from typing import Protocol


class Above(Protocol):
    """Answers at once."""

    def on_fleet(self, states: tuple[str, ...]) -> None:
        """The states of all instances that have a lease."""
