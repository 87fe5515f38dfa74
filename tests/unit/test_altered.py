"""The altered instances: each mechanism that a test switches off is where the alteration looks for it."""

import subprocess
import sys
from pathlib import Path


def test_every_alteration_finds_what_it_alters() -> None:
    """A mechanism that was renamed would stay on, and the test of its absence would show nothing."""
    code = "from support import altered\nfor alter in altered.ALTERATIONS.values(): alter()"
    tests = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=tests, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
