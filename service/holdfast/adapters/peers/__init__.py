"""The other instances, over their internal ports."""
