"""`holdfast drill recover`: restore what a killed drill left on a cluster. Exit codes: 0 restored or nothing to do, 2 refused."""

import argparse
import asyncio
import sys

from holdfast.drills.kubernetes.cluster import Cluster
from holdfast.drills.kubernetes.lease import recover
from holdfast.launcher.waiting import TargetFailed


def run(args: argparse.Namespace) -> int:
    """Restore it, and tell what was restored."""
    try:
        restored = asyncio.run(_recover(args.context, args.namespace, is_forced=args.force))
    except TargetFailed as error:
        print(f"holdfast drill recover: {error}", file=sys.stderr)
        return 2
    if restored is None:
        print(f"no drill has left anything in {args.namespace}")
        return 0
    for each in restored:
        print(each)
    print("the lease is given back")
    return 0


async def _recover(context: str, namespace: str, *, is_forced: bool) -> list[str] | None:
    return await recover(Cluster(context, namespace, "holdfast"), is_forced=is_forced)
