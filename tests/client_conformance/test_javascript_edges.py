"""The JavaScript client where its application or its store does something at a bad moment; the tests are in JavaScript."""

import subprocess
from pathlib import Path

from support.javascript import require_node

_TESTS = Path(__file__).parent
_SECONDS = 60


def test_edges() -> None:
    """`close` leaves no socket, a loop that is left loses no message, nothing hangs with the store, and no call is done twice."""
    _run("javascript_edges.test.mjs")


def test_view() -> None:
    """Snapshots that stay the same until they change, messages neither lost nor doubled, and nothing unbounded."""
    _run("javascript_view.test.mjs")


def test_link() -> None:
    """A connection that is told to leave is replaced before it ends, whatever happens meanwhile, and is then forgotten."""
    _run("javascript_link.test.mjs")


def test_pages() -> None:
    """An answer about an earlier membership says nothing about a later one, and a slow line is asked for less at once."""
    _run("javascript_pages.test.mjs")


def test_sending() -> None:
    """A client that writes more than the service announces is refused, then closed for good."""
    _run("javascript_sending.test.mjs")


def _run(name: str) -> None:
    command = [require_node(), "--test", "--test-force-exit", _TESTS / name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
