"""`holdfast up`: Redis, a store, instances, a front and the chat page on this machine, for trying things and breaking them.

A part that was stopped is never restarted: a reader who kills a part wants to see what the others do. The loss of a part and its
return are each told in one line. The end of `holdfast up` is the end of all parts.

plan: which parts there are and how each is started · part: one process, its start script, its pid · redis: finding and
probing Redis · monitor: a Prometheus with the alert rules · watch: noticing losses and returns · report: the texts shown ·
cluster: the life of all of it
"""

import argparse
import asyncio
import sys

from holdfast.cli.up.cluster import Cluster
from holdfast.cli.up.monitor import CHECKOUT_RULES
from holdfast.cli.up.plan import UpRefused


def run(args: argparse.Namespace) -> int:
    """Run until Ctrl-C; 1 when it cannot start."""
    try:
        rules = args.rules or (CHECKOUT_RULES if args.monitor else None)
        return asyncio.run(Cluster(args.data.absolute(), args.port, args.instances, rules).run())
    except UpRefused as refused:
        print(f"holdfast up: {refused}", file=sys.stderr)
        return 1
