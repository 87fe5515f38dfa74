"""`holdfast drill list`: what can be rehearsed."""

import argparse

from rich.console import Console
from rich.table import Table

from holdfast.drills.scenarios import CATALOGUE


def run(_args: argparse.Namespace) -> int:
    """Print the catalogue."""
    table = Table(box=None, pad_edge=False)
    for column in ("drill", "what breaks", "stores"):
        table.add_column(column)
    for drill in CATALOGUE.values():
        table.add_row(drill.name, drill.fault, ", ".join(drill.stores))
    Console().print(table)
    return 0
