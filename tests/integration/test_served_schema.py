"""Calls made of the served OpenAPI document, good and bad ones: what it allows is accepted, what it forbids is refused."""

import asyncio
import re
import sys
from pathlib import Path

from support.instances import Instances, token

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


async def test_schemathesis_finds_no_call_whose_answer_contradicts_the_served_openapi(sqlite_instances: Instances) -> None:
    """Clients are generated from the document: statuses, bodies, `Allow` and refusals are as it says. Deterministic."""
    (serving,) = await sqlite_instances.start("instance-1")
    run = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION),
        "run", f"{serving.url}/api/openapi.json",
        "--header", f"Authorization: Bearer {token('alice', is_admin=True)}", "--no-color", "--continue-on-failure",
        cwd=sqlite_instances.directory, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await run.communicate()
    report = output.decode(errors="replace")
    assert run.returncode == 0, report
    assert "Tested: 20" in report, report
    generated = re.search(r"(\d+) generated", report)
    assert generated is not None, report
    assert int(generated[1]) > 300, report
