"""A seed is a run: the same one twice is the same to the last byte, in other processes, with other hashes."""

import os
import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def _runs(hash_seed: str, *seeds: str) -> dict[str, bytes]:
    """Seed -> everything that the clients were told, all in one other process."""
    environ = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(TESTS)}
    done = subprocess.run(
        [sys.executable, "-m", "simulation.chatter", "5", *seeds], env=environ, capture_output=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr.decode()
    parts = re.split(rb"^(\d+)\n", done.stdout, flags=re.MULTILINE)[1:]
    return {seed.decode(): told for seed, told in zip(parts[::2], parts[1::2], strict=True)}


def test_same_seed_is_byte_identical_in_another_process() -> None:
    """A failing seed that does not fail again could not be looked into."""
    one, other = _runs("1", "1", "2", "3"), _runs("2", "3", "2", "1")
    assert one == other
    assert all(told.count(b'"shown"') > 100 for told in one.values())
    assert len(set(one.values())) == 3
