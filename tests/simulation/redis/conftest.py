"""A simulated Redis, and the clock that it goes by."""

import random

import pytest

from simulation.redis import RedisServer
from support.fakes import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    clock = ManualClock()
    clock.now = 1_800_000_000.0  # Redis takes deadlines in Unix time
    return clock


@pytest.fixture
def server(clock: ManualClock) -> RedisServer:
    return RedisServer(clock.monotonic, random.Random(1))
