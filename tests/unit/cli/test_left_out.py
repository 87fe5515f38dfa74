"""What an instance imports, and what it must not."""

import subprocess
import sys

PROGRAM = """
import sys
from holdfast.cli.left_out import leave_out
leave_out()
import holdfast.cli.serve
print(*sys.modules)
"""


def test_instance_on_sqlite_imports_no_library_that_it_does_not_use() -> None:
    """Each costs megabytes of every pod and a part of its start: a new import at the top of a module is noticed here."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    found = set(done.stdout.split())
    assert "holdfast.bootstrap" in found
    assert not found & {"aiohttp", "grpc", "kubernetes", "opentelemetry.sdk", "psutil", "pygments", "requests", "rich"}
