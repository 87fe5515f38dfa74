"""`holdfast drill soak`: failures at random for as long as is asked for."""

import argparse
import logging

from holdfast.cli.drill.play import play
from holdfast.drills.scenarios.soak import soak


def run(args: argparse.Namespace) -> int:
    """Play them; the exit codes are those of `drill run`. The seed is printed with the report."""
    logging.getLogger("holdfast").setLevel(logging.ERROR)
    return play(args, [soak(args.store, args.minutes)])
