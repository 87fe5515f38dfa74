"""The command line: what it accepts, and how it refuses."""

import argparse
import resource
import socket
from pathlib import Path

import pytest

from holdfast import __version__
from holdfast.cli import duration, main


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1_800), ("1h", 3_600), ("7d", 604_800), ("15", 15)])
def test_durations(text: str, seconds: int) -> None:
    """As people write them."""
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1w", "-1h", "1.5h", "0", "0s", "366d", "1h ", "\u0661h"])
def test_what_is_no_duration(text: str) -> None:
    """A token valid for ever, or never, is a mistake."""
    with pytest.raises(argparse.ArgumentTypeError):
        duration(text)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["token"],
        ["token", "user123", "--ttl", "soon"],
        ["up", "--port", "0"],
        ["up", "--port", "65535"],
        ["up", "--instances", "0"],
        ["up", "--instances", "21"],
        ["up", "--inst", "2"],
        ["serve", "--port", "65536"],
    ],
)
def test_wrong_arguments_are_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """With the usage, and without a traceback."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """One line that a script can read."""
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"holdfast {__version__}\n"


def test_up_says_in_one_line_that_its_port_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The most likely mistake of the first minute."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["up", "--port", str(port), "--data", str(tmp_path / "data")]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"port {port} is taken" in said


def test_bench_names_the_limit_of_open_files_before_it_starts_anything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ended in the middle of a measurement, with a traceback."""
    limits = [(1_024, 4_096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: limits.append(wanted))
    monkeypatch.setattr("holdfast.cli.bench.holdfast_server", None)
    assert main(["bench", "idle"]) == 2
    told = "--connections: 5000 clients need 5100 open files, and 4096 are allowed (ulimit -n)"
    assert told in capsys.readouterr().err
    assert limits[-1] == (4_096, 4_096)
