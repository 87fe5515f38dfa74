"""Another wall clock for one process: Debian's libfaketime, loaded before everything else. Monotonic time stays what it is."""

from pathlib import Path
from typing import Final

REMEDY: Final = "no libfaketime here: apt-get install libfaketime"
_PLACES: Final = ("/usr/lib", "/usr/lib64", "/usr/local/lib")


def find_faketime() -> Path | None:
    """The library for processes with threads, where it is installed."""
    for place in map(Path, _PLACES):
        for pattern in ("faketime/libfaketimeMT.so.1", "*/faketime/libfaketimeMT.so.1"):
            for path in sorted(place.glob(pattern)):
                return path
    return None


def missing_faketime() -> str:
    """What to install; empty where it is there."""
    return "" if find_faketime() is not None else REMEDY


def shifted(offset: str) -> dict[str, str]:
    """The variables of a process whose wall clock is wrong by `offset` (`+1h`, `-1h`)."""
    return {"LD_PRELOAD": str(find_faketime()), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
