"""`holdfast drill`: rehearse a failure, and judge what clients saw."""

import argparse
import importlib


def run(args: argparse.Namespace) -> int:
    """Run one of its actions: each is a module of this package."""
    module = {"list": "catalogue", "run": "play"}.get(args.action, args.action)
    status: int = importlib.import_module(f"holdfast.cli.drill.{module}").run(args)
    return status
