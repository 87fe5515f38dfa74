"""Fixtures around real stores."""
