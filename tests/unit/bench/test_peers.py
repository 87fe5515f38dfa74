"""The servers beside Holdfast."""

import json
from pathlib import Path

import pytest

from holdfast.bench.dialects import DIALECTS
from holdfast.bench.holdfast import HoldfastServer
from holdfast.bench.peers import Peer, PeerServer, look_for, read_peers
from holdfast.bench.play import can_play
from holdfast.bench.workloads import WORKLOADS
from holdfast.cli.bench import AGAINST
from holdfast.errors import ConfigurationError

PEERS = Path(__file__).parents[2] / "bench" / "peers"


def test_manifest_names_the_servers_of_the_ratios() -> None:
    """A column that is renamed would lose its ratio without a word."""
    peers = read_peers(PEERS)
    assert set(AGAINST) <= {peer.name for peer in peers}
    assert all((PEERS / peer.command[-1]).is_file() and peer.lacks for peer in peers)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "No such file"),
        ("[[peer]", "Expected"),
        ('[[peer]]\nname = "x"\ncommand = ["node", "x.mjs"]', "missing 3 required"),
        (
            '[[peer]]\nname = "x"\ncommand = ["node", "x.mjs"]\ndialect = "mqtt"\nchecks_tokens = false\nlacks = ""',
            "no such dialect: mqtt",
        ),
    ],
    ids=["no file", "no TOML", "fields missing", "unknown dialect"],
)
def test_wrong_manifest_is_named(tmp_path: Path, text: str | None, problem: str) -> None:
    """One line, with the file."""
    if text is not None:
        (tmp_path / "peers.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=problem):
        read_peers(tmp_path)


def test_peer_without_its_program_says_so() -> None:
    """The command goes on without it."""
    found = look_for(Peer("x", "plain", ("no-such-node", "ws.mjs"), False, ""), PEERS)
    assert found.problem == "no-such-node is not installed"


def test_peer_without_its_packages_says_which(tmp_path: Path) -> None:
    """The last line of a traceback, and not the whole."""
    (tmp_path / "x.py").write_text("import no_such_package\n", encoding="utf-8")
    found = look_for(Peer("x", "plain", ("python", "x.py"), False, ""), tmp_path)
    assert found.problem == "ModuleNotFoundError: No module named 'no_such_package'"


def test_workloads_are_played_only_where_they_mean_something() -> None:
    """A server that checks no token connects faster, and one that stores nothing acknowledges nothing."""
    plain = DIALECTS["plain"]
    played = {
        server.name: [workload.name for workload in WORKLOADS if can_play(server, workload)]
        for server in (
            HoldfastServer(1, 1, "secret"),
            PeerServer("with tokens", plain, 1, 1, checks_tokens=True, secret=""),
            PeerServer("without", plain, 1, 1, checks_tokens=False, secret=""),
        )
    }
    loads = ["fan-out-10", "fan-out-100", "fan-out-1000", "rate-5000"]
    assert played["Holdfast"] == [workload.name for workload in WORKLOADS]
    assert played["with tokens"] == [*loads, "accepts"]
    assert played["without"] == loads


def test_lock_of_the_servers_on_node_holds_versions_and_hashes_only() -> None:
    """It must work with whichever registry an installer is configured for, and with no other content than was locked."""
    packages = json.loads((PEERS / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert all("resolved" not in package for package in packages.values())
    assert all(package["integrity"].startswith("sha512-") for name, package in packages.items() if name)
