"""`holdfast token`: a token that an instance with the same secret believes, and nothing else on standard output."""

import io
import re
import stat
from pathlib import Path

import jwt
import pytest

from holdfast.cli import main
from holdfast.cli.token import keep_secret

_SECRET = "s" * 32


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory without .data, and no secret in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOLDFAST_AUTH__SECRET", raising=False)


def _printed_claims(capsys: pytest.CaptureFixture[str], secret: str) -> dict[str, object]:
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    claims: dict[str, object] = jwt.decode(printed.strip(), secret, algorithms=["HS256"], audience="holdfast", issuer="holdfast")
    return claims


def test_it_is_signed_with_the_configured_secret(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """All claims that instances require are there."""
    monkeypatch.setenv("HOLDFAST_AUTH__SECRET", _SECRET)
    assert main(["token", "user123", "--ttl", "30m"]) == 0
    claims = _printed_claims(capsys, _SECRET)
    assert claims["sub"] == "user123"
    assert claims["exp"] == int(str(claims["iat"])) + 1_800
    assert claims["jti"]
    assert "scope" not in claims


def test_admin_is_a_scope(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A token has the right only where the command asks for it."""
    monkeypatch.setenv("HOLDFAST_AUTH__SECRET", _SECRET)
    assert main(["token", "root", "--admin"]) == 0
    assert _printed_claims(capsys, _SECRET)["scope"] == "holdfast:admin"


def test_it_finds_the_secret_of_a_local_up(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """In the directory where `holdfast up` runs, no setting is needed."""
    (tmp_path / ".data").mkdir()
    path = keep_secret(tmp_path / ".data")
    assert main(["token", "user123"]) == 0
    assert _printed_claims(capsys, path.read_text(encoding="ascii").strip())["sub"] == "user123"


def test_a_named_directory_wins_over_the_environment(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`holdfast up` does not use the environment's secret, so a token for it must not either."""
    monkeypatch.setenv("HOLDFAST_AUTH__SECRET", _SECRET)
    path = keep_secret(tmp_path)
    assert main(["token", "user123", "--data", str(tmp_path)]) == 0
    assert _printed_claims(capsys, path.read_text(encoding="ascii").strip())


def test_without_a_secret_one_line_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """A user's mistake is never a traceback."""
    assert main(["token", "user123"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "HOLDFAST_AUTH__SECRET" in said.err


@pytest.mark.parametrize("user", ["", "a/b", "*", "__x__", "a" * 129])
def test_a_user_id_is_checked(user: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A user id that cannot be a `sub` is not signed."""
    monkeypatch.setenv("HOLDFAST_AUTH__SECRET", _SECRET)
    assert main(["token", user]) == 2
    assert capsys.readouterr().err.startswith("holdfast token: USER: ")


def test_the_kept_secret_is_private_and_stays(tmp_path: Path) -> None:
    """A secret that changed would make every token of yesterday worthless; a secret that other users can read gives no
    protection."""
    path = keep_secret(tmp_path)
    first = path.read_text(encoding="ascii")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(first.strip()) >= 32
    assert keep_secret(tmp_path).read_text(encoding="ascii") == first


def test_a_secret_that_is_too_short_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With one token at hand, all secrets that are so short can be tried."""
    (tmp_path / "secret").write_text("short", encoding="ascii")
    assert main(["token", "user123", "--data", str(tmp_path)]) == 2
    assert "at least 32 bytes" in capsys.readouterr().err


def test_check_says_what_an_instance_would_say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first client is written: is this token one that instances with these settings take, and if not, why not?"""
    monkeypatch.setenv("HOLDFAST_AUTH__SECRET", _SECRET)
    assert main(["token", "root", "--admin"]) == 0
    token = capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO(token))
    assert main(["token", "--check"]) == 0
    assert re.fullmatch(r"valid: root, until 20\d\d-\S+Z, an administrator\n", capsys.readouterr().out)
    monkeypatch.setenv("HOLDFAST_AUTH__AUDIENCE", "chat")
    monkeypatch.setattr("sys.stdin", io.StringIO(token))
    assert main(["token", "--check"]) == 1
    assert capsys.readouterr().out == '401 unauthenticated: the claim "aud" must be "chat", or a list with it\n'


def test_check_takes_no_token_as_an_argument(capsys: pytest.CaptureFixture[str]) -> None:
    """Arguments are in the process list and in the shell's history."""
    with pytest.raises(SystemExit) as ended:
        main(["token", "--check", "a.b.c"])
    assert ended.value.code == 2
    assert "not allowed with argument --check" in capsys.readouterr().err
