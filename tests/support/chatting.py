"""A plain client for tests: it shows exactly what is on the wire, and repairs nothing."""

import asyncio
import json
import uuid
from types import TracebackType
from typing import Any, Self

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from support import schema_check
from support.eventually import PATIENCE_SECONDS
from support.instances import Serving, token

Frame = dict[str, Any]

_INSIST_SECONDS = 40.0
_AGAIN_SECONDS = 0.1


class Chatter:
    """One connection of one user. `frames`: everything received, in order; each is held against the served schema."""

    def __init__(self, instance: Serving, user_id: str, *, bearer: str | None = None) -> None:
        self.instance = instance
        self.user_id = user_id
        self.bearer = bearer or token(user_id)
        self.frames: list[Frame] = []
        self.close_code: int | None = None
        self._socket: ClientConnection | None = None
        self._reading: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._check: schema_check.Check | None = None

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        await self.close()

    async def connect(
        self, cursors: dict[str, int] | None = None, *, hello: bool = True, subprotocol: bool = True, generation: str = ""
    ) -> "Chatter":
        """Connect, say hello, and wait for `synced`."""
        self._check = await schema_check.frames_of(self.instance.url)
        self._socket = await connect(
            self.instance.ws_url,
            additional_headers={"Authorization": f"Bearer {self.bearer}"},
            subprotocols=["holdfast.v1"] if subprotocol else None,  # type: ignore[list-item]  # a NewType of websockets
            compression=None,
            max_size=None,
            ping_interval=None,
            proxy=None,
        )
        self._reading = asyncio.create_task(self._read())
        await self.receive("welcome")
        if hello:
            greeting: Frame = {"type": "hello"} if cursors is None else {"type": "hello", "cursors": cursors}
            await self.send(greeting | ({"generation": generation} if generation else {}))
            await self.receive("synced")
        return self

    async def send(self, frame: Frame | str | bytes) -> None:
        """One frame, as it is."""
        assert self._socket is not None
        await self._socket.send(json.dumps(frame) if isinstance(frame, dict) else frame)

    async def say(self, conversation_id: str, body: str, client_message_id: str | None = None, **extra: Any) -> Frame:
        """Send a message and return its `ack` or `error`."""
        ref = uuid.uuid4().hex
        frame = {
            "type": "send",
            "ref": ref,
            "conversation_id": conversation_id,
            "client_message_id": client_message_id or uuid.uuid4().hex,
            "body": body,
            **extra,
        }
        await self.send(frame)
        return await self.answer(ref)

    async def insist(self, conversation_id: str, body: str, client_message_id: str) -> Frame:
        """As `say`, again under the same id while the answer asks for that: a busy store may be late. The last answer."""
        async with asyncio.timeout(_INSIST_SECONDS):
            while True:
                answer = await self.say(conversation_id, body, client_message_id)
                if not answer.get("retryable"):
                    return answer
                await asyncio.sleep(_AGAIN_SECONDS)

    async def ask(self, **frame: Any) -> Frame:
        """Send a command with a `ref` and return its one answer."""
        ref = uuid.uuid4().hex
        await self.send({**frame, "ref": ref})
        return await self.answer(ref)

    async def answer(self, ref: str, within: float = PATIENCE_SECONDS) -> Frame:
        """The frame that answers `ref`."""
        return await self.find(lambda frame: frame.get("ref") == ref, within)

    async def receive(self, kind: str, within: float = PATIENCE_SECONDS, **fields: Any) -> Frame:
        """The first frame of this type with these fields, already here or still to come."""
        return await self.find(
            lambda frame: frame["type"] == kind and all(frame.get(name) == value for name, value in fields.items()), within
        )

    async def find(self, matches: Any, within: float = PATIENCE_SECONDS) -> Frame:
        """The first frame that matches, already here or still to come."""
        seen = 0
        try:
            async with asyncio.timeout(within):
                while True:
                    for frame in self.frames[seen:]:
                        if matches(frame):
                            return frame
                    seen = len(self.frames)
                    self._news.clear()
                    if self.close_code is not None:
                        raise AssertionError(f"closed with {self.close_code}: {self.frames[-3:]}")
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"no such frame within {within} s; the last ones: {self.frames[-5:]}") from None

    async def closed(self, within: float = PATIENCE_SECONDS) -> int:
        """The close code, once the server ended the connection."""
        async with asyncio.timeout(within):
            while self.close_code is None:
                self._news.clear()
                await self._news.wait()
        return self.close_code

    def messages(self, conversation_id: str) -> list[Frame]:
        """The messages of a conversation on this connection, as they came."""
        return [f for f in self.frames if f["type"] == "message" and f["conversation_id"] == conversation_id]

    def seqs(self, conversation_id: str) -> list[int]:
        """Their positions."""
        return [frame["seq"] for frame in self.messages(conversation_id)]

    async def close(self) -> None:
        """Leave politely."""
        if self._socket is not None:
            await self._socket.close()
        await self._end()

    async def vanish(self) -> None:
        """Leave without a word."""
        if self._socket is not None:
            self._socket.transport.abort()
        await self._end()

    async def _end(self) -> None:
        if self._reading is not None:
            await asyncio.wait([self._reading], timeout=5)
            if self._reading.done():
                self._reading.result()  # raises when a frame was not as its schema says

    async def _read(self) -> None:
        assert self._socket is not None
        try:
            async for text in self._socket:
                self.frames.append(json.loads(text))
                self._news.set()
                if self._check is not None:
                    self._check(self.frames[-1])
        except ConnectionClosed:
            pass
        finally:
            self.close_code = self._socket.close_code or 1006
            self._news.set()


class Rest:
    """REST of one instance, as one user."""

    def __init__(self, instance: Serving, user_id: str | None, *, is_admin: bool = False) -> None:
        headers = {} if user_id is None else {"Authorization": f"Bearer {token(user_id, is_admin=is_admin)}"}
        hooks = {"response": [schema_check.check_response]}
        # Plain HTTP, here and in other tests: to load authorities takes 24 ms of CPU, in which this process does nothing else.
        self.client = httpx.AsyncClient(
            verify=False, base_url=instance.url, headers=headers, timeout=PATIENCE_SECONDS, event_hooks=hooks
        )

    async def __aenter__(self) -> httpx.AsyncClient:
        return self.client

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()


async def insist(rest: httpx.AsyncClient, conversation_id: str, client_message_id: str, body: str) -> httpx.Response:
    """As `Chatter.insist`, by REST."""
    document = {"client_message_id": client_message_id, "body": body}
    async with asyncio.timeout(_INSIST_SECONDS):
        while True:
            answer = await rest.post(f"/api/conversations/{conversation_id}/messages", json=document)
            if answer.is_success or not answer.json()["retryable"]:
                return answer
            await asyncio.sleep(_AGAIN_SECONDS)


async def new_conversation(instance: Serving, creator: str, *members: str, conversation_id: str | None = None) -> str:
    """Create a conversation by REST; its id."""
    async with Rest(instance, creator) as rest:
        body = {"members": list(members), "conversation_id": conversation_id}
        answer = await rest.post("/api/conversations", json=body)
        assert answer.status_code in (200, 201), answer.text
        created: str = answer.json()["conversation_id"]
        return created
