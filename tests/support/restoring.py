"""What an operator does to a store behind the instances' backs: put back to an earlier state, or emptied; of either kind."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from typing import Any

import httpx
from google.auth.credentials import AnonymousCredentials
from google.cloud.firestore_v1.async_client import AsyncClient
from google.cloud.firestore_v1.base_query import FieldFilter

_TABLES = "conversations", "members", "messages", "sends", "read_by", "cursors", "users", "notifications", "present", "meta"


class StoreOperator:
    """Of the store that the variables name."""

    def __init__(self, environ: dict[str, str]) -> None:
        self._environ = environ
        self._url = environ["HOLDFAST_STORE__URL"]
        self._path = self._url.removeprefix("sqlite:///") if self._url.startswith("sqlite:") else None
        self._project = self._url.removeprefix("firestore://")

    async def put_back(self, conversation_id: str, tail: int) -> None:
        """As a backup had it when `tail` was the last message."""
        if self._path is not None:
            script = f"DELETE FROM sends WHERE seq > {tail}; DELETE FROM messages WHERE seq > {tail}"
            self._execute(script)
            return
        client = self._client()
        conversation = client.document(f"conversations/{conversation_id}")
        for name in ("messages", "sends"):
            async for snapshot in conversation.collection(name).where(filter=FieldFilter("seq", ">", tail)).stream():
                await snapshot.reference.delete()
        await client._firestore_api.transport.close()

    async def bulletins(self) -> dict[str, dict[str, Any]]:
        """As a backup of now has them."""
        if self._path is not None:
            with contextlib.closing(sqlite3.connect(self._path)) as connection:
                rows = connection.execute("SELECT id, epoch, bulletin FROM instances").fetchall()
            return {row[0]: {"epoch": row[1], "bulletin": row[2]} for row in rows}
        client = self._client()
        found = {each.id: each.to_dict() or {} async for each in client.collection("instances").stream()}
        await client._firestore_api.transport.close()
        return found

    async def beats(self) -> dict[str, int]:
        """Of each run."""
        found, is_text = await self.bulletins(), self._path is not None
        return {run: int((json.loads(fields["bulletin"]) if is_text else fields)["beat"]) for run, fields in found.items()}

    async def put_bulletins_back(self, backup: dict[str, dict[str, Any]]) -> None:
        """As that backup has them."""
        if self._path is not None:
            with contextlib.closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
                rows = [(name, fields["epoch"], fields["bulletin"]) for name, fields in backup.items()]
                connection.executemany("INSERT OR REPLACE INTO instances VALUES (?, ?, ?)", rows)
            return
        client = self._client()
        for name, fields in backup.items():
            await client.document("instances", name).set(fields)
        await client._firestore_api.transport.close()

    async def empty(self) -> None:
        """Everything is gone, the generation too."""
        if self._path is not None:
            self._execute(";".join(f"DELETE FROM {table}" for table in _TABLES))
            return
        address = self._environ["FIRESTORE_EMULATOR_HOST"]
        async with httpx.AsyncClient(verify=False) as client:
            url = f"http://{address}/emulator/v1/projects/{self._project}/databases/(default)/documents"
            (await client.delete(url, timeout=30)).raise_for_status()

    def renew(self) -> subprocess.CompletedProcess[str]:
        """`holdfast store renew`, as an operator types it."""
        environ = {key: value for key, value in os.environ.items() if not key.startswith("HOLDFAST_")} | self._environ
        command = [sys.executable, "-m", "holdfast", "store", "renew"]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)

    def _execute(self, script: str) -> None:
        with contextlib.closing(sqlite3.connect(str(self._path), isolation_level=None)) as connection:
            connection.executescript(script)

    def _client(self) -> AsyncClient:
        os.environ["FIRESTORE_EMULATOR_HOST"] = self._environ["FIRESTORE_EMULATOR_HOST"]
        return AsyncClient(project=self._project, credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]  # untyped library
