"""The store as an operator sees it beside the service: Firestore with its own client, SQLite through its adapter."""

import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import grpc
from google.auth.credentials import AnonymousCredentials
from google.cloud.firestore_v1.async_client import AsyncClient

from support.instances import Instances


class StoreView(Protocol):
    """The parts of the store that scenarios look at."""

    async def user(self, user_id: str) -> dict[str, Any]:
        """`users/{user_id}`."""
        ...

    async def message(self, conversation_id: str, message_id: str) -> dict[str, Any]:
        """`conversations/{c}/messages/{message_id}`."""
        ...

    async def messages(self, conversation_id: str) -> list[dict[str, Any]]:
        """All of them, by document id."""
        ...

    async def beats(self) -> dict[str, int]:
        """How often each instance has written its bulletin."""
        ...

    async def notifications(self) -> dict[str, dict[str, Any]]:
        """All records of offline notifications: `userId`, `conversationId`, `seq`, `state`, by id."""
        ...

    async def recorded(self, notification_ids: Sequence[str]) -> set[str]:
        """Which of these records of offline notifications exist."""
        ...


@asynccontextmanager
async def view_of(instances: Instances) -> AsyncIterator[StoreView]:
    """The view of the store that these instances use."""
    url = instances.environ["HOLDFAST_STORE__URL"]
    if url.startswith("firestore:"):
        client = AsyncClient(project=url.removeprefix("firestore://"), credentials=AnonymousCredentials())
        target = instances.environ["FIRESTORE_EMULATOR_HOST"]
        client._emulator_host = target  # the library reads it from the environment of this process, which must not change
        channel = grpc.aio.insecure_channel(target)
        from google.cloud.firestore_v1.services.firestore.async_client import FirestoreAsyncClient
        from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcAsyncIOTransport

        client._firestore_api_internal = FirestoreAsyncClient(
            transport=FirestoreGrpcAsyncIOTransport(host=target, channel=channel)
        )
        yield _FirestoreView(client)
        await channel.close()
        return
    yield _SqliteView(url.removeprefix("sqlite:///"))


class _FirestoreView:
    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def user(self, user_id: str) -> dict[str, Any]:
        return (await self._client.document(f"users/{user_id}").get()).to_dict() or {}

    async def message(self, conversation_id: str, message_id: str) -> dict[str, Any]:
        return (await self._client.document(f"conversations/{conversation_id}/messages/{message_id}").get()).to_dict() or {}

    async def messages(self, conversation_id: str) -> list[dict[str, Any]]:
        query = self._client.collection(f"conversations/{conversation_id}/messages").order_by("__name__")
        return [{**(snapshot.to_dict() or {}), "id": snapshot.id} async for snapshot in query.stream()]

    async def beats(self) -> dict[str, int]:
        return {
            snapshot.id: (snapshot.to_dict() or {})["beat"] async for snapshot in self._client.collection("instances").stream()
        }

    async def recorded(self, notification_ids: Sequence[str]) -> set[str]:
        references = [self._client.document("notifications", each) for each in notification_ids]
        found = set()
        for start in range(0, len(references), 300):
            async for snapshot in self._client.get_all(references[start : start + 300], field_paths=["state"]):
                found |= {snapshot.id} if snapshot.exists else set()
        return found

    async def notifications(self) -> dict[str, dict[str, Any]]:
        return {snapshot.id: snapshot.to_dict() or {} async for snapshot in self._client.collection("notifications").stream()}


class _SqliteView:
    def __init__(self, path: str) -> None:
        self._path = path

    async def user(self, user_id: str) -> dict[str, Any]:
        rows = self._rows("SELECT is_online FROM users WHERE id = ?", user_id)
        entries = self._rows("SELECT entry FROM present WHERE user_id = ?", user_id)
        return {"online": bool(rows and rows[0][0]), "on": sorted(entry for (entry,) in entries)}

    async def message(self, conversation_id: str, message_id: str) -> dict[str, Any]:
        found = [message for message in await self.messages(conversation_id) if message["id"] == message_id]
        return found[0] if found else {}

    async def messages(self, conversation_id: str) -> list[dict[str, Any]]:
        rows = self._rows("SELECT seq, sender, client_message_id, body FROM messages WHERE conversation_id = ?", conversation_id)
        readers = self._rows("SELECT seq, user_id FROM read_by WHERE conversation_id = ?", conversation_id)
        return [
            {
                "id": f"{seq:012d}",
                "seq": seq,
                "sender": sender,
                "clientMessageId": client_message_id,
                "body": body,
                "readBy": [user for at, user in readers if at == seq],
            }
            for seq, sender, client_message_id, body in sorted(rows)
        ]

    async def beats(self) -> dict[str, int]:
        return {name: json.loads(bulletin)["beat"] for name, bulletin in self._rows("SELECT id, bulletin FROM instances")}

    async def recorded(self, notification_ids: Sequence[str]) -> set[str]:
        return {name for (name,) in self._rows("SELECT id FROM notifications")}.intersection(notification_ids)

    async def notifications(self) -> dict[str, dict[str, Any]]:
        rows = self._rows("SELECT id, user_id, conversation_id, seq, state FROM notifications")
        return {row[0]: dict(zip(("userId", "conversationId", "seq", "state"), row[1:], strict=True)) for row in rows}

    def _rows(self, query: str, *parameters: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)
        try:
            return connection.execute(query, parameters).fetchall()
        finally:
            connection.close()
