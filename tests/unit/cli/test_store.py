"""`holdfast store renew`: what it changes, and how it refuses."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from holdfast.adapters.sqlite import schema
from holdfast.cli import main


def _generation(path: Path) -> str:
    with contextlib.closing(schema.connect(str(path), 1.0)) as connection:
        return schema.generation(connection)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store as instances leave it."""
    path = tmp_path / "holdfast.db"
    with contextlib.closing(schema.connect(str(path), 1.0)) as connection:
        schema.create(connection, "first")
    return path


@pytest.mark.parametrize("is_in_environment", [True, False], ids=["environment", "argument"])
def test_renewed_store_is_named_with_both_generations(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, is_in_environment: bool
) -> None:
    """An operator sees that it was the right store, and what happens next."""
    monkeypatch.setenv("HOLDFAST_STORE__URL", f"sqlite:///{path}" if is_in_environment else "sqlite:///elsewhere.db")
    assert main(["store", "renew"] if is_in_environment else ["store", "renew", "--url", f"sqlite:///{path}"]) == 0
    said = capsys.readouterr().out
    after = _generation(path)
    assert after != "first"
    assert f"sqlite:///{path}: generation first is now {after}" in said
    assert "Running instances" in said


def test_store_that_is_not_there_is_refused_and_not_created(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong address must not look like a success."""
    assert main(["store", "renew", "--url", f"sqlite:///{tmp_path}/wrong.db"]) == 2
    assert "there is no such file" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_file_of_something_else_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is left without a table of ours."""
    path = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other (x)")
    assert main(["store", "renew", "--url", f"sqlite:///{path}"]) == 2
    assert "none of Holdfast's" in capsys.readouterr().err
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("other",)]


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be mistaken for one" * 20], ids=["text"])
def test_file_that_is_no_database_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    """One line, no traceback."""
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    assert main(["store", "renew", "--url", f"sqlite:///{path}"]) == 2
    said = capsys.readouterr().err
    assert (said.count("\n"), "Traceback" in said) == (1, False)


def test_missing_url_is_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting is named."""
    monkeypatch.delenv("HOLDFAST_STORE__URL", raising=False)
    assert main(["store", "renew"]) == 2
    assert "HOLDFAST_STORE__URL" in capsys.readouterr().err


def test_firestore_that_does_not_answer_is_said_within_the_deadline(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command does not wait for minutes, and trying again is safe."""
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", "127.0.0.1:1")
    monkeypatch.setattr("holdfast.cli.store._PATIENCE_SECONDS", 1.0)
    assert main(["store", "renew", "--url", "firestore://nowhere"]) == 2
    assert "firestore://nowhere: no answer within 1 s; run it again" in capsys.readouterr().err
