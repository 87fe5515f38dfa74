"""docs/authentication.md as its reader uses it: tokens made as it shows, and refusals that say what to mend."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import jwt
import pytest

from support.bad_tokens import claims
from support.instances import SECRET, Instances, Serving
from support.raw_socket import Raw
from support.up import require

_PAGE = Path(__file__).parents[2] / "docs" / "authentication.md"


@pytest.fixture
async def instance(sqlite_instances: Instances) -> Serving:
    """One instance that takes tokens signed with the tests' secret."""
    (serving,) = await sqlite_instances.start("instance-1")
    return serving


def _block(language: str) -> str:
    return _PAGE.read_text(encoding="utf-8").partition(f"```{language}\n")[2].partition("```")[0]


def _output(*command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    return subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=environ | {"HOLDFAST_AUTH__SECRET": SECRET},
    )


def _check(token: str) -> subprocess.CompletedProcess[str]:
    return _output(sys.executable, "-m", "holdfast", "token", "--check", stdin=token)


async def _status(instance: Serving, token: str) -> int:
    async with httpx.AsyncClient(verify=False, base_url=instance.url, headers={"Authorization": f"Bearer {token}"}) as client:
        return (await client.get("/api/conversations")).status_code


@pytest.mark.parametrize("language", ["python", "javascript"])
async def test_a_token_made_as_the_page_shows_is_taken(instance: Serving, language: str) -> None:
    """It is the first thing that a developer copies; ten lines, and no library in Node."""
    block = _block(language)
    assert len([line for line in block.splitlines() if line.strip()]) <= 10
    if language == "javascript":
        require(shutil.which("node") is not None, "no node here: apt-get install nodejs")
        made = _output("node", "-e", block)
    else:
        made = _output(sys.executable, "-c", block)
    assert made.returncode == 0, made.stderr
    token = made.stdout.strip()
    checked = _check(token)
    assert (checked.returncode, checked.stdout.startswith("valid: user123, until ")) == (0, True), checked
    assert await _status(instance, token) == 200


async def test_a_401_names_the_claim_everywhere_and_the_token_nowhere(instance: Serving) -> None:
    """By REST, before an upgrade, to a page, in the log, and by `holdfast token --check`: the same sentence."""
    for changes, says in (
        ({"aud": None}, 'the claim "aud" is missing'),
        ({"iss": "elsewhere"}, 'the claim "iss" must be "holdfast"'),
        ({"sub": "user@example.com"}, 'the claim "sub" must be a user\'s id'),
    ):
        token = jwt.encode(claims(**changes), SECRET, algorithm="HS256")
        async with httpx.AsyncClient(verify=False, base_url=instance.url, headers={"Authorization": f"Bearer {token}"}) as client:
            answer = await client.get("/api/conversations")
        assert answer.status_code == 401
        detail = answer.json()["detail"]
        assert says in detail
        async with Raw(instance) as socket:
            assert (await socket.upgrade(authorization=f"Bearer {token}")).problem["detail"] == detail
        async with Raw(instance) as page:
            assert (await page.upgrade(sec_websocket_protocol=f"holdfast.v1, bearer.{token}")).status == 101
            assert detail.encode() in (await page.frame())[1].replace(b'\\"', b'"')
        checked = _check(token)
        assert (checked.returncode, checked.stdout) == (1, f"401 unauthenticated: {detail}\n")
        log = instance.log()
        assert log.count(detail.replace('"', '\\"')) + log.count(detail) == 1, "each reason once a minute"
        assert not any(part in log for part in token.split("."))


def test_the_page_names_every_claim_that_is_looked_at() -> None:
    """The table is read by operators who configure an identity provider."""
    rows = re.findall(r"^\| `(\w+)` \| (yes|no) \|", _PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert dict(rows) == {
        "sub": "yes",
        "iat": "yes",
        "exp": "yes",
        "iss": "yes",
        "aud": "yes",
        "nbf": "no",
        "jti": "no",
        "scope": "no",
    }
