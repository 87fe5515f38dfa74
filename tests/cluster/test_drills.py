"""Drills, as an operator plays them: a verdict, reports, exit codes; and nothing is left running."""

import asyncio
import json
import os
import signal
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from holdfast.cli import main
from support.eventually import eventually
from support.redis_server import SYSTEM, require_binary


async def drill(*arguments: str) -> tuple[int, str, str]:
    """Run `holdfast drill …` to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "holdfast", "drill", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_a_drill_passes_and_says_so_in_every_form(tmp_path: Path) -> None:
    """Redis is emptied twice under twelve people."""
    require_binary(SYSTEM)
    files = {kind: tmp_path / f"report.{kind}" for kind in ("junit", "markdown")}
    status, out, err = await drill(
        *("run", "flushall", "--instances", "2", "--clients", "12", "--rate", "40", "--seconds", "3", "--json"),
        *("--directory", str(tmp_path), "--junit", str(files["junit"]), "--markdown", str(files["markdown"])),
    )
    assert status == 0, out + err
    (report,) = json.loads(out)
    assert (report["verdict"], report["holds"]) == ("passed", True)
    assert all(each["met"] for each in report["expectations"])
    unexercised = [name for name, each in report["invariants"].items() if not each["checked"]]
    assert unexercised == []
    figures = report["figures"]
    assert figures["acknowledged"] + figures["refused"] == figures["sends"] > 100  # removed users try to write
    assert main(["drill", "check", report["history"], "--json"]) == 0
    assert ET.parse(files["junit"]).getroot().get("failures") == "0"
    assert "| flushall | sqlite | passed |" in files["markdown"].read_text()
    ET.parse(tmp_path / "flushall-sqlite.svg")


async def test_what_cannot_be_run_says_why(tmp_path: Path) -> None:
    """Exit code 2, and the reason; an unknown name is named."""
    require_binary(SYSTEM)
    status, out, _ = await drill("run", "firestore-down", "--store", "sqlite", "--directory", str(tmp_path))
    assert status == 2
    assert "SQLite is a file" in out
    status, _, err = await drill("run", "no-such-drill")
    assert status == 2
    assert "no such drill: no-such-drill" in err


async def test_interrupted_it_takes_everything_down(tmp_path: Path) -> None:
    """Exit code 3, and no process of it is left."""
    require_binary(SYSTEM)
    arguments = ("drill", "run", "redis-delete", "--clients", "6", "--instances", "2", "--directory", str(tmp_path))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "holdfast", *arguments, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    while b"clients connect" not in await process.stdout.readline():
        assert process.returncode is None
    group = process.pid
    process.send_signal(signal.SIGINT)
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 3, out.decode()
    assert "aborted" in out.decode()
    await eventually(lambda: not _lives(group))


def _lives(group: int) -> bool:
    """Whether any process of the group does."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_catalogue_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drill", "list"]) == 0
    assert "redis-delete" in capsys.readouterr().out
