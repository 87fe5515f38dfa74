"""`holdfast probe`: which settings it refuses, and where its tokens come from."""

from pathlib import Path

import pytest

from holdfast import settings
from holdfast.cli import main
from holdfast.cli.probe import _tokens
from holdfast.errors import ConfigurationError

SECRET = "a-secret-of-tests-that-is-long-enough"
URL = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("arguments", "environ", "told"),
    [
        ([], {}, "HOLDFAST_PROBE__URLS, or --url: at least one URL is needed"),
        (["--url", "chat.example.com"], {}, "HOLDFAST_PROBE__URLS, or --url: 'chat.example.com': expected http(s)://host"),
        (["--url", URL], {"USERS": "one"}, "HOLDFAST_PROBE__USERS: two different users are needed"),
        (["--url", URL], {"USERS": "one,one"}, "HOLDFAST_PROBE__USERS: two different users are needed"),
        (["--url", URL], {"USERS": "one,t w o"}, "HOLDFAST_PROBE__USERS: "),
        (["--url", URL], {"TOKEN_FILES": "/a"}, "HOLDFAST_PROBE__TOKEN_FILES: one file for each of the two users is needed"),
        (["--url", URL], {"TOKEN_FILES": "/no/a,/no/b"}, "HOLDFAST_PROBE__TOKEN_FILES: cannot read '/no/a'"),
        (["--url", URL], {"LOSS_SECONDS": "0"}, "HOLDFAST_PROBE__LOSS_SECONDS: "),
    ],
)
def test_what_cannot_work_is_one_line_and_exit_code_2(
    arguments: list[str],
    environ: dict[str, str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """At the start, where it is read; a probe that waits for ever looks like a service that is down."""
    monkeypatch.setenv("HOLDFAST_AUTH__SECRET", SECRET)
    for name, value in environ.items():
        monkeypatch.setenv(f"HOLDFAST_PROBE__{name}", value)
    assert main(["probe", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


async def test_a_token_that_is_renewed_in_its_file_is_used(tmp_path: Path) -> None:
    """Tokens of an identity provider live for minutes, a probe for months."""
    files = [tmp_path / "one", tmp_path / "two"]
    for path in files:
        path.write_text(f"old-{path.name}\n")
    one, two = _tokens(settings.ProbeSettings(token_files=tuple(map(str, files))), None)
    assert (await one(), await two()) == ("old-one", "old-two")
    files[0].write_text("new-one\n")
    assert (await one(), await two()) == ("new-one", "old-two")
    files[1].unlink()
    with pytest.raises(ConfigurationError, match="cannot read"):
        await two()
