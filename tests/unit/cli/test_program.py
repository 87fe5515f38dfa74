"""How printed commands name the program."""

import sys
from pathlib import Path

import pytest

from holdfast.cli.program import command


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A program as pip installs it."""
    program = tmp_path / "venv" / "bin" / "holdfast"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


def test_a_program_that_is_not_on_the_path_is_named_whole(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `make run` calls it: by a relative path, which works in one directory only."""
    monkeypatch.chdir(installed.parents[1])
    monkeypatch.setattr(sys, "argv", ["bin/holdfast", "up"])
    monkeypatch.setenv("PATH", "/usr/bin")
    assert command("token", "a b") == f"{installed} token 'a b'"


def test_a_program_on_the_path_has_its_bare_name(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But not where the PATH leads to another one."""
    monkeypatch.setattr(sys, "argv", [str(installed), "up"])
    monkeypatch.setenv("PATH", str(installed.parent))
    assert command("up") == "holdfast up"
    other = installed.parents[2] / "other"
    other.mkdir()
    (other / "holdfast").write_text("#!/bin/sh\n")
    (other / "holdfast").chmod(0o755)
    monkeypatch.setenv("PATH", f"{other}:{installed.parent}")
    assert command("up") == f"{installed} up"


def test_a_module_is_called_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m holdfast`: by the interpreter that has it."""
    monkeypatch.setattr(sys, "argv", ["/somewhere/holdfast/__main__.py", "up"])
    assert command("drill", "list") == f"{sys.executable} -m holdfast drill list"
