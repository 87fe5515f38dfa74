"""What an instance imports, and what it must not."""

import subprocess
import sys

from holdfast.cli.left_out import NAMES

PROGRAM = """
import sys
from holdfast.cli.left_out import leave_out
leave_out()
import holdfast.cli.serve
{more}
print(*(name for name, module in sys.modules.items() if module is not None))
"""
NEVER = {
    *NAMES,
    "aiohttp",
    "holdfast.adapters.kubernetes",
    "kubernetes",
    "opentelemetry.exporter",
    "opentelemetry.sdk",
    "psutil",
    "pygments",
    "rich",
    "yaml",
}
WHERE_CONFIGURED = {"holdfast.adapters.push.webhook", "holdfast.web.jwks", "httpx"}
OF_FIRESTORE = {"google", "grpc", "holdfast.adapters.firestore", "requests"}
OF_SQLITE = {"holdfast.adapters.sqlite", "sqlite3"}


def imported(more: str = "") -> set[str]:
    """The modules of a process that is about to serve; it must say nothing on standard error."""
    command = [sys.executable, "-c", PROGRAM.format(more=more)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    found = set(done.stdout.split())
    assert "holdfast.bootstrap" in found
    return found


def test_instance_on_sqlite_imports_no_library_that_it_does_not_use() -> None:
    """Each costs megabytes of every pod and a part of its start: a new import at the top of a module is noticed here."""
    assert not imported("import holdfast.adapters.sqlite.store") & (NEVER | WHERE_CONFIGURED | OF_FIRESTORE)


def test_instance_on_firestore_imports_no_library_that_it_does_not_use() -> None:
    """Firestore's own libraries take a third of its memory; nothing of the other store or of unused features comes on top."""
    assert not imported("import holdfast.adapters.firestore.store") & (NEVER | WHERE_CONFIGURED | OF_SQLITE)


def test_answers_of_unnamed_encoding_are_read_as_utf8_without_the_library_that_guesses() -> None:
    """Credentials are fetched with requests: an error of the metadata server has to be readable."""
    text = "import requests; answer = requests.Response(); answer._content = 'ä'.encode(); assert answer.text == 'ä'"
    assert "requests" in imported(text)
