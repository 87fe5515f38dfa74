"""`holdfast version`."""

import argparse

from holdfast import __version__


def run(_args: argparse.Namespace) -> None:
    """Print the version."""
    print(f"holdfast {__version__}")
