"""The bench over real processes: a tiny round of Holdfast and of naive FastAPI, and peers that do not keep what they are sent."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdfast.bench.client import LoadClient, build, python_client
from holdfast.bench.holdfast import holdfast_server
from holdfast.bench.peers import Found, PeerServer, look_for, read_peers, running
from holdfast.bench.play import Outcome, measure
from holdfast.bench.rounds import Plan, play_rounds
from holdfast.bench.table import Column, Report, markdown, plain
from holdfast.bench.workloads import Pace, Workload
from holdfast.launcher.waiting import TargetFailed
from support.redis_server import SYSTEM, require_binary
from support.up import require

PEERS = Path(__file__).parents[1] / "bench" / "peers"
NAIVE = "naive FastAPI"
SECONDS = 0.2
TINY = Workload("fan-out-5", "fan-out to 5 members", Pace.DELIVERIES, 5, senders=2, window=8)
WORKLOADS = (
    TINY,
    Workload("rate-100", "100 deliveries a second", Pace.CLOCK, 5, senders=2, rate=20),
    Workload("accepts", "connecting", Pace.CONNECTIONS, 20, senders=0),
    Workload("acks-3", "three conversations", Pace.ACKS, 3, rooms=3, senders=3),
)
ONE_SENDER = Workload("fan-out-3", "fan-out to 3 members", Pace.DELIVERIES, 3, senders=1, window=4)

LOSE = "    if text.endswith(' 7'): return"
DOUBLE = "    if text.endswith(' 7'): await naive_fastapi.original(room, text)"
SWAP = """
    if text.endswith(' 7'):
        held[room] = text
        return
    await naive_fastapi.original(room, text)
    text = held.pop(room, None)
    if text is None: return"""
MUTANT = """
import sys
import naive_fastapi
import uvicorn

naive_fastapi.original, held, count = naive_fastapi.broadcast, {{}}, [0]

async def broadcast(room, message):
    text = message
    count[0] += 1
    if count[0] == 7: text = message + ' 7'
{fault}
    await naive_fastapi.original(room, text)

naive_fastapi.broadcast = broadcast
uvicorn.run(naive_fastapi.app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", ws="websockets")
"""


@pytest.fixture(scope="module", params=["C", "Python"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadClient:
    """Both load clients."""
    if request.param == "Python":
        return python_client()
    require(shutil.which("cc") is not None, "no C compiler here: apt-get install gcc libc6-dev")
    built = build(tmp_path_factory.mktemp("client"))
    assert built.kind == "C", "load.c does not compile"
    return built


@contextmanager
def _naive(directory: Path) -> Iterator[PeerServer]:
    found = [look_for(peer, PEERS) for peer in read_peers(PEERS) if peer.name == NAIVE]
    with running(found, PEERS, directory) as (server,):
        yield server


@contextmanager
def _mutant(directory: Path, fault: str) -> Iterator[PeerServer]:
    shutil.copy(PEERS / "naive_fastapi.py", directory)
    (directory / "mutant.py").write_text(MUTANT.format(fault=fault), encoding="utf-8")
    entry = '[[peer]]\nname = "mutant"\ndialect = "plain"\ncommand = ["python", "mutant.py"]\nchecks_tokens = true\nlacks = ""\n'
    (directory / "peers.toml").write_text(entry, encoding="utf-8")
    (peer,) = read_peers(directory)
    with running([Found(peer)], directory, directory) as (server,):
        yield server


def test_tiny_rounds_of_holdfast_and_naive_fastapi_are_clean(client: LoadClient, tmp_path: Path) -> None:
    """Every kind of workload gives its figures at both, and none where a server has nothing of the kind."""
    require_binary(SYSTEM)
    told: list[str] = []
    with holdfast_server(tmp_path, None, {}) as ours, _naive(tmp_path) as naive:
        turns = play_rounds(
            [ours, naive], Plan(WORKLOADS, 1, SECONDS), client, tmp_path, lambda turn, _: told.append(turn.server)
        )
    both = ["Holdfast", NAIVE]
    assert told == (both * 3 + ["Holdfast"]) * 2  # the warm-up and a round: A B, A B …
    assert [turn.outcome.problem for turn in turns] == [""] * len(turns)
    for turn in turns:
        (workload,) = [each for each in WORKLOADS if each.name == turn.workload]
        assert all(turn.outcome.values[figure.key] > 0 for figure in workload.figures if figure.key != "server_cpu_us")
    report = Report({}, [Column(name, "1") for name in both], WORKLOADS, turns, [NAIVE])
    assert markdown(report).count("\n| ") == 1 + sum(len(each.figures) for each in WORKLOADS)
    assert json.loads(json.dumps(plain(report)))["failures"] == []


@pytest.mark.parametrize(
    ("fault", "is_found"),
    [
        (LOSE, lambda outcome: outcome.verdict.lost == ONE_SENDER.members),
        (DOUBLE, lambda outcome: outcome.verdict.doubled == ONE_SENDER.members),
        (SWAP, lambda outcome: outcome.verdict.disordered == ONE_SENDER.members),
    ],
    ids=["loses", "doubles", "swaps"],
)
def test_peer_that_breaks_one_message_is_caught(
    client: LoadClient, tmp_path: Path, fault: str, is_found: Callable[[Outcome], bool]
) -> None:
    """The seventh message of a load: one in hundreds."""
    with _mutant(tmp_path, fault) as server:
        outcome = measure(server, ONE_SENDER, client, SECONDS, tmp_path)
    assert is_found(outcome), outcome
    assert outcome.problem


def test_server_that_is_no_websocket_ends_the_run_with_its_answer(client: LoadClient, tmp_path: Path) -> None:
    """A figure of refused connections would look fast."""
    with _naive(tmp_path) as server:
        refused = PeerServer("other", server.dialect, server.port, server.pid, True, "another secret, of thirty-two bytes")
        with pytest.raises(TargetFailed, match=r"no WebSocket.*403"):
            measure(refused, TINY, client, SECONDS, tmp_path)
