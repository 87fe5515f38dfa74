"""`holdfast drill upgrade --from COMMIT`: a rolling upgrade from an older version, and back."""

import argparse
import logging
import sys

from holdfast.cli.drill.play import play
from holdfast.drills.local.versions import checked_out
from holdfast.drills.scenarios.upgrade import upgrade


def run(args: argparse.Namespace) -> int:
    """Play it; the exit codes are those of `drill run`, and 2 where the commit cannot be run here."""
    logging.getLogger("holdfast").setLevel(logging.ERROR)
    with checked_out(args.older) as older:
        for library in older.other_libraries:
            print(f"{older.name} runs on another library than its lock names: {library}", file=sys.stderr)
        return play(args, [upgrade(older)])
