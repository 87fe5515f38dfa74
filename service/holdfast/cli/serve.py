"""`holdfast serve`: one instance; everything else comes from the environment."""

import argparse
import asyncio
import os
import sys

import uvloop

from holdfast import server, settings, telemetry
from holdfast.bootstrap import Instance
from holdfast.errors import ConfigurationError, RedisDenied, StoreDenied


def run(args: argparse.Namespace) -> int:
    """Serve until a signal; the process's exit status."""
    environ = dict(os.environ)
    if args.host is not None:
        environ["HOLDFAST_HTTP__HOST"] = args.host
    if args.port is not None:
        environ["HOLDFAST_HTTP__PORT"] = str(args.port)
    loaded = settings.load(environ)
    telemetry.configure_logging(loaded.log.level, loaded.log.format)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(server.serve(lambda: Instance(loaded)))
    except StoreDenied as error:
        print(f"holdfast: the store refuses this instance: {error}", file=sys.stderr)
        return 2
    except (ConfigurationError, RedisDenied) as error:
        print(f"holdfast: {error}", file=sys.stderr)
        return 2
    return 0
