"""Parts of libraries that no command uses, kept out of every process: 6 MB of an idle instance, 120 modules of its start.

httpx imports its own command line with rich and pygments, and redis-py imports OpenTelemetry's SDK for metrics that are never
switched on. Both do without where that import fails.
"""

import sys
from typing import Final

NAMES: Final = ("httpx._main", "opentelemetry.sdk.metrics")


def leave_out() -> None:
    """From now on an import of these fails, as if they were not installed; call it before anything else is imported."""
    for name in NAMES:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # documented: None makes the import fail
