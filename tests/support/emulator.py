"""The Firestore emulator of tests: skipped with the way to get it where it is missing; with `CI=true` that is a failure."""

import os
from pathlib import Path

import pytest

from holdfast.launcher.emulator import REMEDY, Emulator, find_emulator

__all__ = ["Emulator", "require_emulator"]


def require_emulator() -> Path:
    """The emulator's script, or the end of the test that needs it."""
    script = find_emulator()
    if script is None:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(REMEDY)
        pytest.skip(REMEDY)
    return script
