"""`firestore.rules`: what an app with the project's public API key gets from the database beside the service."""

import asyncio
from importlib.resources import as_file, files
from typing import Any

import httpx
import pytest

from holdfast.launcher.emulator import Emulator
from support.emulator import require_emulator

OWNER = {"Authorization": "Bearer owner"}  # for the emulator: a server with the role of one
DOCUMENT = {"fields": {"body": {"stringValue": "hello"}}}
PATHS = (
    "users/alice", "notifications/n1", "conversations/c1", "conversations/c1/messages/000000000001", "instances/one",
    "conversations/c1/cursors/alice", "revocations/alice", "blocks/alice", "meta/generation", "anything/else",
)  # fmt: skip


@pytest.mark.parametrize("has_rules", [True, False])
async def test_client_sdks_get_nothing(*, has_rules: bool) -> None:
    """A database in test mode, without rules, is everybody's: the service's own checks are beside it."""
    with as_file(files("holdfast.adapters.firestore") / "firestore.rules") as rules:
        emulator = Emulator(require_emulator(), rules=rules if has_rules else None)
        try:
            await emulator.start()
            root = f"http://{emulator.address}/v1/projects/rules/databases/(default)/documents/"
            async with httpx.AsyncClient(verify=False, base_url=root, timeout=30, trust_env=False) as http:
                written = [(await http.patch(path, json=DOCUMENT, headers=OWNER)).status_code for path in PATHS]
                assert written == [200] * len(PATHS)
                statuses = {status for path in PATHS for status in await _as_an_app(http, path)}
        finally:
            await asyncio.to_thread(emulator.close)
    assert statuses == ({403} if has_rules else {200})


async def _as_an_app(http: httpx.AsyncClient, path: str) -> list[int]:
    """Read, list, change, create and delete."""
    collection = path.rpartition("/")[0]
    asked: list[tuple[str, str, Any]] = [
        ("GET", path, None),
        ("GET", collection, None),
        ("PATCH", path, DOCUMENT),
        ("POST", collection, DOCUMENT),
        ("DELETE", path, None),
    ]
    return [(await http.request(method, where, json=body)).status_code for method, where, body in asked]
