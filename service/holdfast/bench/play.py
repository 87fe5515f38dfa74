"""One workload at one server, once: users and rooms of their own, the load, its judgement, its figures."""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final, Protocol

from holdfast.bench.client import LoadClient, Played, play
from holdfast.bench.dialects import Dialect
from holdfast.bench.judge import Room, Verdict, judge
from holdfast.bench.load import Load
from holdfast.bench.spread import quantile
from holdfast.bench.workloads import Pace, Workload
from holdfast.launcher.costs import cpu_seconds

_REST_SECONDS: Final = 0.1
_RESTS: Final = 30
_AT_REST_SECONDS: Final = 0.01  # of CPU: one step of its clock


class Server(Protocol):
    """A running server. What it does not have cannot be measured there: `acknowledges`, `checks_tokens`.

    `has_one_order`: it promises that all members of a room see the same order.
    """

    @property
    def name(self) -> str:
        """Its column."""

    @property
    def dialect(self) -> Dialect:
        """How clients speak to it."""

    @property
    def port(self) -> int:
        """On the loopback."""

    @property
    def pid(self) -> int:
        """Its process."""

    @property
    def checks_tokens(self) -> bool:
        """A connection needs a token."""

    @property
    def acknowledges(self) -> bool:
        """A message is acknowledged."""

    @property
    def has_one_order(self) -> bool:
        """See above."""

    def token(self, user: str) -> str:
        """Of that user."""

    def new_room(self, users: Sequence[str]) -> str:
        """The id of a new room for these users."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The figures of one workload, once; the load client's share of a core; the verdict; the problem in words."""

    values: dict[str, float]
    client_share: float
    verdict: Verdict
    problem: str


def can_play(server: Server, workload: Workload) -> bool:
    """Whether the workload means anything at that server."""
    if workload.pace is Pace.ACKS:
        return server.acknowledges
    return workload.pace is not Pace.CONNECTIONS or server.checks_tokens


def rest(server: Server) -> None:
    """Wait until it has let its connections go, for 3 s at most: that is no work of the turn which follows."""
    used = cpu_seconds(server.pid)
    for _ in range(_RESTS):
        time.sleep(_REST_SECONDS)
        before, used = used, cpu_seconds(server.pid)
        if used - before <= _AT_REST_SECONDS:
            return


def measure(server: Server, workload: Workload, client: LoadClient, seconds: float, directory: Path) -> Outcome:
    """Play it; `seconds`: how long messages are sent. `directory`: for the log of the load client.

    Raises:
        TargetFailed: the server refused connections.
    """
    played = play(client, _load(server, workload, seconds, directory), lambda: cpu_seconds(server.pid))
    verdict = judge(rooms(workload, played))
    is_connecting = workload.pace is Pace.CONNECTIONS
    share = played.connect_share if is_connecting else played.share
    return Outcome(figures(workload, played), share, verdict, _problem(server, workload, played, verdict))


def rooms(workload: Workload, played: Played) -> list[Room]:
    """What the judge looks at: one entry for each room."""
    size = workload.copies
    found = []
    for first in range(0, workload.members, size):
        members = played.heard[first : first + size]
        sent = {first + number: heard.sent for number, heard in enumerate(members) if heard.sent}
        found.append(Room(sent, [heard.received.tobytes() for heard in members]))
    return found


def figures(workload: Workload, played: Played) -> dict[str, float]:
    """The values of one load; CPU is the server's, in microseconds for each delivery, acknowledgement or connection."""
    connecting, loaded = played.server_cpu
    if workload.pace is Pace.CONNECTIONS:
        return {
            "accepts_per_second": workload.members / played.connect_seconds,
            "server_cpu_us": connecting / workload.members * 1e6,
        }
    values = {"server_cpu_share": loaded / played.seconds, "deliveries_per_second": played.received / played.seconds}
    if workload.pace is Pace.ACKS:
        values["acks_per_second"] = played.acked / played.seconds
        values["server_cpu_us"] = loaded / max(1, played.acked) * 1e6
        return values | _latencies(chain.from_iterable(heard.acks for heard in played.heard))
    values["server_cpu_us"] = loaded / max(1, played.received) * 1e6
    if workload.pace is Pace.CLOCK:
        values |= _latencies(chain.from_iterable(heard.latencies for heard in played.heard))
    return values


def _latencies(microseconds: "chain[int]") -> dict[str, float]:
    ordered = sorted(microseconds)
    return {"p50_ms": quantile(ordered, 0.5) / 1000, "p99_ms": quantile(ordered, 0.99) / 1000}


def _load(server: Server, workload: Workload, seconds: float, directory: Path) -> Load:
    key = secrets.token_hex(4)
    users = [f"{key}-{number}" for number in range(workload.members)]
    size = workload.copies
    if workload.pace is Pace.CONNECTIONS:
        names = [f"{key}-{number}" for number in range(workload.members)]  # nothing is sent: no room is needed
    else:
        names = [server.new_room(users[first : first + size]) for first in range(0, workload.members, size)]
        names = [name for name in names for _ in range(size)]
    speeches = [
        server.dialect.speech(server.port, server.token(user), room, key) for user, room in zip(users, names, strict=True)
    ]
    return Load(
        port=server.port,
        dialect=server.dialect,
        speeches=speeches,
        senders=workload.senders,
        copies=size,
        seconds=0.0 if workload.pace is Pace.CONNECTIONS else seconds,
        log=directory / "heard",
        window=workload.window,
        rate=workload.rate,
        by_acks=workload.pace is Pace.ACKS,
    )


def _problem(server: Server, workload: Workload, played: Played, verdict: Verdict) -> str:
    """The reasons for which the round is worthless, in words; empty where there is none."""
    found = [] if verdict.is_clean else [str(verdict)]
    if played.closed:
        found.append(f"{played.closed} connections closed by the server")
    if server.has_one_order and verdict.is_clean and verdict.orders > 1:
        found.append(f"members of one room saw {verdict.orders} orders")
    sent = sum(heard.sent for heard in played.heard)
    acked = sum(len(heard.acks) for heard in played.heard)
    if server.acknowledges and acked != sent:
        found.append(f"{acked} acknowledgements of {sent} messages")
    if workload.senders and not sent:
        found.append("nothing was sent")
    return ", ".join(found)
