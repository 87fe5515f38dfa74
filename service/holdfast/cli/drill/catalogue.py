"""`holdfast drill list`: what can be rehearsed."""

import argparse

from rich.console import Console
from rich.table import Table

from holdfast.drills.kubernetes import scenarios
from holdfast.drills.scenarios import CATALOGUE


def run(args: argparse.Namespace) -> int:
    """Print the catalogue."""
    table = Table(box=None, pad_edge=False)
    for column in ("drill", "what breaks", "stores"):
        table.add_column(column)
    catalogue = scenarios.CATALOGUE if args.target == "k8s" else CATALOGUE
    for drill in catalogue.values():
        table.add_row(drill.name, drill.fault, ", ".join(drill.stores))
    Console().print(table)
    return 0
