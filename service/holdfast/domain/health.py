"""The conditions of an instance, as its health and its readers understand them."""

from typing import Final

BAD_CONDITIONS: Final = frozenset(("ClockSkewed", "Draining", "Isolated", "PeerApart", "Saturated"))
"""An instance is well while these are false and all other conditions are true."""
