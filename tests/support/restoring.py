"""What an operator does to a store behind the instances' backs: put back to an earlier state, or emptied; of either kind."""

import contextlib
import os
import sqlite3
import subprocess
import sys

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

    async def empty(self) -> None:
        """Everything is gone, the generation too."""
        if self._path is not None:
            self._execute(";".join(f"DELETE FROM {table}" for table in _TABLES))
            return
        address = self._environ["FIRESTORE_EMULATOR_HOST"]
        async with httpx.AsyncClient() as client:
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
