"""Parts of libraries that no command uses, kept out of every process: 9 MB of an idle instance, 130 modules of its start.

httpx imports its own command line with rich and pygments, and redis-py imports OpenTelemetry's SDK for metrics that are never
switched on. requests, which Google's libraries need, imports a library that guesses encodings. All of them do without where that
import fails: requests takes a text of unnamed encoding for UTF-8, and warns.
"""

import sys
import warnings
from typing import Final

NAMES: Final = ("httpx._main", "opentelemetry.sdk.metrics", "charset_normalizer")


def leave_out() -> None:
    """From now on an import of these fails, as if they were not installed; call it before anything else is imported."""
    for name in NAMES:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # documented: None makes the import fail
    warnings.filterwarnings("ignore", "Unable to find acceptable character detection dependency")  # intended, see above
