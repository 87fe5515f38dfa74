"""`holdfast probe`: two users who chat through the public address for ever, and metrics of what they were shown."""

import argparse
import asyncio
import contextlib
import os
import signal
from pathlib import Path

from prometheus_client import disable_created_metrics

from holdfast import settings, telemetry
from holdfast.cli.token import local_token
from holdfast.client.addresses import base_urls
from holdfast.domain import ids
from holdfast.errors import ConfigurationError, InvalidRequest
from holdfast.probe.calls import Token
from holdfast.probe.measures import Measures
from holdfast.probe.prober import Plan, Prober
from holdfast.telemetry.exposition import Exposition

_MAX_TOKEN_BYTES = 16_384


def run(args: argparse.Namespace) -> int:
    """Probe until a signal.

    Raises:
        ConfigurationError: no address, no token, or something in them is wrong.
    """
    environ = dict(os.environ)
    for name, value in (("URLS", args.url and ",".join(args.url)), ("HOST", args.host), ("PORT", args.port)):
        if value is not None:
            environ[f"HOLDFAST_PROBE__{name}"] = str(value)
    loaded = settings.load(environ)
    telemetry.configure_logging(loaded.log.level, loaded.log.format)
    disable_created_metrics()  # type: ignore[no-untyped-call]  # of the library; a gauge for each series is of no use
    plan, tokens = _plan(loaded.probe), _tokens(loaded.probe, args.data)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_probe(plan, tokens, loaded.probe))
    return 0


async def _probe(plan: Plan, tokens: tuple[Token, Token], told: settings.ProbeSettings) -> None:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - `asyncio.run` runs a task
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    measures = Measures()
    async with Exposition(measures.registry, told.host, told.port, {"/livez": lambda: True}):
        await Prober(plan, tokens, measures).run()


def _plan(told: settings.ProbeSettings) -> Plan:
    try:
        urls = tuple(base_urls(told.urls))
    except ValueError as error:
        raise ConfigurationError(f"HOLDFAST_PROBE__URLS, or --url: {error}") from None
    try:
        one, other = (ids.user_id(user) for user in told.users)
    except InvalidRequest as error:
        raise ConfigurationError(f"HOLDFAST_PROBE__USERS: {error.detail}") from None
    return Plan(urls, (one, other), told.interval_seconds, told.round_seconds, told.answer_seconds, told.loss_seconds)


def _tokens(told: settings.ProbeSettings, data: Path | None) -> tuple[Token, Token]:
    """Each is asked before every connection and call: a token that is renewed in its file needs no restart."""
    one, other = [_from_file(Path(path)) for path in told.token_files] or [_signed(user, data) for user in told.users]
    return one, other


def _from_file(path: Path) -> Token:
    _read(path)

    async def token() -> str:
        return _read(path)

    return token


def _read(path: Path) -> str:
    try:
        return path.read_bytes()[:_MAX_TOKEN_BYTES].decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"HOLDFAST_PROBE__TOKEN_FILES: cannot read {str(path)!r}: {error}") from None


def _signed(user: str, data: Path | None) -> Token:
    local_token(user, data)

    async def token() -> str:
        return local_token(user, data)

    return token
