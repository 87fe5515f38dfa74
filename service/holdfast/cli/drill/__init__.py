"""`holdfast drill`: rehearse a failure, and judge what clients saw."""

import argparse
import importlib

_MODULES = {"check": "holdfast.cli.drill.check"}


def run(args: argparse.Namespace) -> int:
    """Run one of its subcommands."""
    status: int = importlib.import_module(_MODULES[args.action]).run(args)
    return status
