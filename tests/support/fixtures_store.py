"""Fixtures around real stores."""

import asyncio
from collections.abc import Iterator

import pytest

from support.emulator import Emulator, require_emulator


@pytest.fixture(scope="session")
def firestore_emulator() -> Iterator[Emulator]:
    """One emulator for the session; tests keep apart by projects of their own."""
    emulator = Emulator(require_emulator())
    asyncio.run(emulator.start())
    yield emulator
    emulator.close()
