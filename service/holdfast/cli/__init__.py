"""The `holdfast` command: its subcommands and their arguments.

Owns the arguments. Each subcommand is in its own module, imported only when it is called, so that
`holdfast version` does not load a web framework. A wrong argument or setting (`ConfigurationError`) gives one line on standard
error and exit code 2, never a traceback. So does a command of the server where only the client is installed. Exit codes are those
of `run(args)`, 0 for None.
"""

import argparse
import importlib
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast import __version__
from holdfast.cli.left_out import leave_out
from holdfast.errors import ConfigurationError

_EXIT_USAGE = 2  # what argparse uses for wrong arguments, too
_EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells count
_SERVER = "The server's packages come with: pip install 'holdfast-chat[server]'"
_ENDED_BY_SIGNALS = ("serve", "controller", "probe")  # what runs as the first process of a container
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_MAX_TTL_SECONDS = 365 * 86_400  # a token that outlives a year is a mistake
_MAX_INSTANCES = 20  # on ports above the front's; all on one machine


@dataclass(frozen=True, slots=True)
class _Command:
    """One subcommand: `module` has `run(args) -> int | None`."""

    name: str
    help: str
    module: str
    arguments: Callable[[argparse.ArgumentParser], None]


def duration(text: str) -> int:
    """'90s', '30m', '1h', '7d' or plain seconds, as seconds."""
    match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text)
    seconds = int(match[1]) * _UNITS[match[2] or "s"] if match else 0
    if not 0 < seconds <= _MAX_TTL_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a duration such as 90s, 30m, 1h or 7d, up to 365d")
    return seconds


def _between(low: int, high: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and low <= int(text[:9]) <= high):
            raise argparse.ArgumentTypeError(f"{text!r}: expected a number from {low} to {high}")
        return int(text)

    return number


def _serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on (default: HOLDFAST_HTTP__HOST, or all)")
    parser.add_argument("--port", type=_between(0, 65_535), help="port to listen on (default: HOLDFAST_HTTP__PORT, or 8000)")


def _up(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--instances", type=_between(1, _MAX_INSTANCES), default=2, metavar="N", help="how many (default: 2)")
    parser.add_argument(
        "--port",
        # The last instance's internal port (port + N + 1000) must exist.
        type=_between(1, 65_535 - 1_000 - _MAX_INSTANCES),
        default=8000,
        metavar="P",
        help="the front's port; instances follow on P+1, P+2 … (default: 8000)",
    )
    parser.add_argument(
        "--data", type=Path, default=Path(".data"), metavar="DIR", help="where all of it is kept (default: .data)"
    )
    parser.add_argument("--monitor", action="store_true", help="a Prometheus beside it, with the alert rules, on P+1000")
    parser.add_argument(
        "--rules", type=Path, metavar="DIR", help="the same with the rule files of DIR (default: those of this checkout)"
    )


def _token(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("user", metavar="USER", nargs="?", help="whose token: becomes the claim `sub`")
    what.add_argument("--check", action="store_true", help="say what an instance would say of the token on standard input")
    parser.add_argument("--ttl", type=duration, default=3_600, help="how long it is valid: 90s, 30m, 1h, 7d (default: 1h)")
    parser.add_argument("--admin", action="store_true", help="with the scope holdfast:admin")
    parser.add_argument("--data", type=Path, metavar="DIR", help="use the secret of the `holdfast up --data DIR` there")


def _chat(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("conversation", metavar="CONVERSATION", help="its id")
    parser.add_argument("--user", metavar="USER", help="who chats, with a local secret (else the token in HOLDFAST_TOKEN)")
    parser.add_argument("--url", nargs="+", default=["http://localhost:8000"], help="addresses (default: http://localhost:8000)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="use the secret of the `holdfast up --data DIR` there")


def _status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--namespace", metavar="NS", help="ask Kubernetes and the pods of the release there, not Redis alone")
    parser.add_argument("--context", metavar="C", help="of the kubeconfig (default: the pod's own account, or the current one)")
    parser.add_argument("--release", default="holdfast", metavar="R", help="of Helm (default: holdfast)")
    parser.add_argument("--watch", action="store_true", help="again every second, until interrupted")
    parser.add_argument("--json", action="store_true", help="for machines")


def _store(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    what = "say that the store was restored or emptied: instances begin anew, clients forget what the store does not hold"
    renew = actions.add_parser("renew", help=what, description=what + ". The last step of every restore.")
    renew.add_argument(
        "--url", metavar="URL", help="sqlite:///path or firestore://project[/database] (default: HOLDFAST_STORE__URL)"
    )


def _smoke(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="of the service")
    parser.add_argument("--across", action="store_true", help="fail unless the two are at different instances")
    parser.add_argument("--health-only", action="store_true", help="no conversation: for where no secret is known")
    parser.add_argument("--data", type=Path, metavar="DIR", help="use the secret of the `holdfast up --data DIR` there")


def _probe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", nargs="+", metavar="URL", help="of the service (default: HOLDFAST_PROBE__URLS)")
    parser.add_argument("--host", help="where metrics are (default: HOLDFAST_PROBE__HOST, or all addresses)")
    parser.add_argument("--port", type=_between(1, 65_535), help="where metrics are (default: HOLDFAST_PROBE__PORT, or 9000)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="use the secret of the `holdfast up --data DIR` there")


def _drill(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="what can be rehearsed")
    listing.add_argument("--target", choices=("local", "k8s"), default="local", help="where (default: local)")
    play = actions.add_parser("run", help="play drills on this machine, or on a cluster")
    play.add_argument("--target", choices=("local", "k8s"), default="local", help="where (default: local)")
    play.add_argument("--context", metavar="C", help="k8s: of kubectl")
    play.add_argument("--namespace", metavar="NS", help="k8s: where the release is; it must carry holdfast.dev/drills=allowed")
    play.add_argument("--release", default="holdfast", metavar="R", help="k8s: of Helm (default: holdfast)")
    play.add_argument("--url", metavar="URL", help="k8s: how clients reach the service")
    how = "k8s: prints a user's token, the user's id as its last argument (default: they are signed with the release's secret)"
    play.add_argument("--token-command", default="", metavar="COMMAND", help=how)
    play.add_argument("--store-url", default="", metavar="URL", help="k8s: of its store, if it can be reached from here")
    play.add_argument("names", nargs="+", metavar="NAME", help="from `holdfast drill list`, or all")
    _drill_options(play, "sqlite", "firestore", "each")
    play.add_argument("--share", type=_share, default=(1, 1), metavar="K/N", help="the K-th of N parts of them (default: 1/1)")
    play.add_argument("--seconds", type=_seconds, metavar="S", help="how long the fault lasts (default: the drill's own)")
    what = "restore what a killed drill left on a cluster (a cordoned node, a number of replicas), and give its lease back"
    recover = actions.add_parser("recover", help=what, description=what + ". The next drill does the same.")
    recover.add_argument("--context", required=True, metavar="C", help="of kubectl")
    recover.add_argument("--namespace", required=True, metavar="NS", help="where the drill was played")
    recover.add_argument("--force", action="store_true", help="also while the lease has not expired: its holder is dead")
    soak = actions.add_parser("soak", help="failures at random")
    _drill_options(soak, "sqlite", "firestore")
    soak.add_argument("--minutes", type=_seconds, default=10.0, metavar="M", help="how long (default: 10)")
    upgrade = actions.add_parser("upgrade", help="a rolling upgrade from an older version to this one and back, with failures")
    upgrade.add_argument("--from", dest="older", required=True, metavar="COMMIT", help="of this checkout: the older version")
    _drill_options(upgrade, "firestore", "sqlite")
    upgrade.set_defaults(store="firestore")
    check = actions.add_parser("check", help="judge a history that was written earlier")
    check.add_argument("file", type=Path, metavar="FILE", help="the history")
    check.add_argument("--json", action="store_true", help="for machines")


def _drill_options(parser: argparse.ArgumentParser, *stores: str) -> None:
    parser.add_argument("--instances", type=_between(1, 20), default=3, metavar="N", help="how many (default: 3)")
    parser.add_argument("--clients", type=_between(2, 20_000), metavar="N", help="how many (default: the drill's own, or 30)")
    parser.add_argument("--rate", type=_seconds, metavar="R", help="messages a second (default: the drill's own, or 60)")
    parser.add_argument("--brief", action="store_true", help="on this machine: look only as long as is needed, for pipelines")
    parser.add_argument(
        "--store",
        choices=stores,
        default="sqlite",
        help="firestore: its emulator, on this machine; each: the first that a drill can be played on (default: sqlite)",
    )
    parser.add_argument(
        "--attempts",
        type=_between(1, 5),
        default=1,
        metavar="N",
        help="play a drill that failed by its figures alone (nothing lost, doubled or false) again, N times in all (default: 1)",
    )
    parser.add_argument(
        "--seed", type=_between(0, 999_999_999), default=1, metavar="S", help="what chance begins with (default: 1)"
    )
    parser.add_argument("--directory", type=Path, default=Path("reports"), metavar="DIR", help="for histories and plots")
    parser.add_argument("--json", action="store_true", help="the report for machines, on standard output")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="the report as JUnit XML")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="the report as a table")


def _share(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9][0-9]?)/([1-9][0-9]?)", text)
    if match is None or int(match[1]) > int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a part of a whole, such as 1/2")
    return int(match[1]), int(match[2])


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?", text) or not float(text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a positive number")
    return float(text)


def _bench(parser: argparse.ArgumentParser) -> None:
    names = "fan-out-10, fan-out-100, fan-out-1000, rate-5000, accepts, acks-1, acks-64, acks-100-conversations"
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"{names} (default: these); or idle")
    parser.add_argument("--peers", type=Path, metavar="DIR", help="beside the servers of DIR/peers.toml (default: alone)")
    parser.add_argument("--rounds", type=_between(1, 100), default=5, metavar="N", help="after a warm-up (default: 5)")
    parser.add_argument("--seconds", type=_seconds, default=1.0, metavar="S", help="of each load in each round (default: 1)")
    parser.add_argument("--brief", action="store_true", help="three short rounds: whether it runs, not how fast")
    parser.add_argument("--store", metavar="URL", help="measure with this store (default: a fresh SQLite file)")
    parser.add_argument("--connections", type=_between(1, 60_000), default=5_000, metavar="N", help="idle ones (default: 5000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures of all rounds, and the machine")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="the table, which is printed as well")


def _nothing_more(_parser: argparse.ArgumentParser) -> None:
    """Takes nothing."""


COMMANDS = (
    _Command("up", "the whole thing on this machine: Redis, instances, a front and the chat page", "holdfast.cli.up", _up),
    _Command("serve", "one instance, configured by HOLDFAST_* variables", "holdfast.cli.serve", _serve),
    _Command("status", "the fleet as Redis knows it", "holdfast.cli.status", _status),
    _Command("store", "what is to be done by hand with the store: after a restore, `renew`", "holdfast.cli.store", _store),
    _Command("controller", "tell Kubernetes what pods say, and pods what it knows", "holdfast.cli.controller", _nothing_more),
    _Command("smoke", "a short conversation with a deployment: does it work?", "holdfast.cli.smoke", _smoke),
    _Command("probe", "two users who chat for ever, and metrics of what they were shown", "holdfast.cli.probe", _probe),
    _Command("drill", "rehearse a failure, and judge what clients saw", "holdfast.cli.drill", _drill),
    _Command("bench", "measure one instance on this machine, alone or beside other servers", "holdfast.cli.bench", _bench),
    _Command("chat", "a conversation in the terminal, through whatever happens to the instances", "holdfast.cli.chat", _chat),
    _Command("token", "print a token for a user", "holdfast.cli.token", _token),
    _Command("version", "print the version", "holdfast.cli.version", _nothing_more),
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="holdfast", description="A highly available WebSocket chat service.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"holdfast {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        subparser = subparsers.add_parser(command.name, help=command.help, description=command.help, allow_abbrev=False)
        command.arguments(subparser)
        subparser.set_defaults(module=command.module)
    return parser


def _heed_termination_early() -> None:
    """Let SIGTERM end the process from now on. The command replaces this handler before it begins anything.

    The first process of a container has no default: the kernel drops a signal without a handler, and a pod that is deleted while
    the command is imported would stay for all of its grace period.
    """
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # an exception might be swallowed where it is raised in an import


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code."""
    args = _parser().parse_args(argv)
    if args.command not in _ENDED_BY_SIGNALS:
        return _run(args)
    before = signal.getsignal(signal.SIGTERM)
    _heed_termination_early()
    try:
        return _run(args)
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(args: argparse.Namespace) -> int:
    leave_out()
    try:
        return importlib.import_module(args.module).run(args) or 0
    except ConfigurationError as error:
        print(f"holdfast {args.command}: {error}", file=sys.stderr)
        return _EXIT_USAGE
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "holdfast"):
            raise
        print(f"holdfast {args.command}: {missing} is not installed. {_SERVER}", file=sys.stderr)
        return _EXIT_USAGE
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output left: the interpreter must not complain about it at exit
        return 1
