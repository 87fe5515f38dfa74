"""`holdfast serve`: one instance; everything else comes from the environment."""

import argparse
import asyncio
import logging
import os
import sys

import uvloop

from holdfast import server, settings, telemetry
from holdfast.bootstrap import Instance, issuer_keys, machine
from holdfast.errors import ConfigurationError, RedisDenied, StoreDenied
from holdfast.launcher.open_files import sockets_that_fit
from holdfast.settings import Settings
from holdfast.web.http import MAX_KEPT

_log = logging.getLogger(__name__)


def run(args: argparse.Namespace) -> int:
    """Serve until a signal; the process's exit status."""
    environ = dict(os.environ)
    if args.host is not None:
        environ["HOLDFAST_HTTP__HOST"] = args.host
    if args.port is not None:
        environ["HOLDFAST_HTTP__PORT"] = str(args.port)
    loaded = settings.load(environ)
    telemetry.configure_logging(loaded.log.level, loaded.log.format)
    loaded = _with_open_files(loaded)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            on = machine(loaded.limits)
            keys = issuer_keys(loaded.auth, on.clock)  # known to all runs of this process: the issuer may be away at the second
            runner.run(server.serve(lambda: Instance(loaded, on, keys)))
    except StoreDenied as error:
        print(f"holdfast: the store refuses this instance: {error}", file=sys.stderr)
        return 2
    except (ConfigurationError, RedisDenied) as error:
        print(f"holdfast: {error}", file=sys.stderr)
        return 2
    return 0


def _with_open_files(loaded: Settings) -> Settings:
    """The settings with as many connections as the process may have open files for, once its own limit is raised.

    Container runtimes hand down a low limit that the process may raise. Without a free file, clients are reset without an answer,
    and the instance can no longer reconnect to Redis or answer a probe: connections above the limit have to be refused before.
    """
    wanted = loaded.limits.connections
    fitting = sockets_that_fit(wanted, MAX_KEPT)
    if fitting == wanted:
        return loaded
    _log.warning(
        "HOLDFAST_LIMITS__CONNECTIONS: the hard limit of open files (ulimit -Hn) leaves room for %d of %d connections",
        fitting,
        wanted,
    )
    return loaded.model_copy(update={"limits": loaded.limits.model_copy(update={"connections": fitting})})
