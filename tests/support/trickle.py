"""Messages at a steady pace through whatever happens: by REST, sent again under the same id until they are acknowledged."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx

from support.instances import Serving, token
from support.store_view import StoreView

GIVE_UP_SECONDS = 40.0


@dataclass
class Sent:
    """One message on its way. Times are monotonic; `seq` is 0 until it is acknowledged."""

    conversation_id: str
    client_message_id: str
    body: str
    invoked_at: float
    acked_at: float = 0.0
    seq: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)


class Trickle:
    """Sends as one user while it is entered; `sent` holds everything, `acked` what was acknowledged."""

    def __init__(self, instances: Sequence[Serving], user_id: str, *conversations: str, every_seconds: float = 0.03) -> None:
        """Instances take turns; one that does not answer is passed over."""
        self.sent: list[Sent] = []
        self.instances = list(instances)
        self._user_id = user_id
        self._conversations = conversations
        self._every_seconds = every_seconds
        self._stopped = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._run(conversation)) for conversation in self._conversations]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        await self.stop()

    @property
    def acked(self) -> list[Sent]:
        """The messages acknowledged so far."""
        return [sent for sent in self.sent if sent.seq]

    def last(self, conversation_id: str) -> int:
        """The highest seq acknowledged in a conversation."""
        return max((sent.seq for sent in self.sent if sent.conversation_id == conversation_id), default=0)

    async def stop(self) -> None:
        """Send no more; sends under way are finished."""
        self._stopped.set()
        await asyncio.gather(*self._tasks)

    async def _run(self, conversation_id: str) -> None:
        """One in flight per conversation, as the protocol asks of clients."""
        headers = {"Authorization": f"Bearer {token(self._user_id)}"}
        async with httpx.AsyncClient(verify=False, headers=headers, timeout=5) as client:
            for number in itertools.count(1):
                sent = Sent(
                    conversation_id, f"{self._user_id}-{conversation_id[:8]}-{number}", f"body {number}", time.monotonic()
                )
                self.sent.append(sent)
                await self._insist(client, sent)
                await self._pause()
                if self._stopped.is_set():
                    return

    async def _insist(self, client: httpx.AsyncClient, sent: Sent) -> None:
        body = {"client_message_id": sent.client_message_id, "body": sent.body}
        for attempt in itertools.count(len(self.sent)):
            instance = self.instances[attempt % len(self.instances)]
            try:
                answer = await client.post(f"{instance.url}/api/conversations/{sent.conversation_id}/messages", json=body)
            except httpx.TransportError as error:
                sent.errors.append({"code": type(error).__name__, "instance": instance.name})
            else:
                if answer.status_code in (200, 201):
                    sent.acked_at, sent.seq = time.monotonic(), answer.json()["seq"]
                    return
                sent.errors.append(answer.json() | {"instance": instance.name})
                assert answer.json()["retryable"], sent
            assert time.monotonic() - sent.invoked_at < GIVE_UP_SECONDS, f"never acknowledged: {sent}"
            await _pass(0.1)

    async def _pause(self) -> None:
        """The pace; sooner over when the end is near."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), self._every_seconds)


async def _pass(seconds: float) -> None:
    """A client's pause before it tries again."""
    await asyncio.sleep(seconds)


def assert_in_order(sent: Sequence[Sent]) -> None:
    """A message acknowledged before another was sent has the smaller seq; of one conversation."""
    by_ack = sorted(sent, key=lambda each: each.acked_at)
    highest, done = 0, 0
    for each in sorted(sent, key=lambda each: each.invoked_at):
        while by_ack[done].acked_at < each.invoked_at:
            highest = max(highest, by_ack[done].seq)
            done += 1
        assert each.seq > highest, f"{each} has a smaller seq than one that was acknowledged before it was sent ({highest})"


async def assert_stored(view: StoreView, conversation_id: str, sent: Sequence[Sent]) -> list[dict[str, Any]]:
    """The store is gapless, holds what was acknowledged where it was said to be, and nothing twice, changed or unsent."""
    stored = await view.messages(conversation_id)
    assert [message["seq"] for message in stored] == list(range(1, len(stored) + 1))
    assert [message["id"] for message in stored] == [f"{seq:012d}" for seq in range(1, len(stored) + 1)]
    keys = [(message["sender"], message["clientMessageId"]) for message in stored]
    assert len(set(keys)) == len(keys), "a message is stored twice"
    mine = [each for each in sent if each.conversation_id == conversation_id]
    for each in (each for each in mine if each.seq):
        found = stored[each.seq - 1]
        assert (found["clientMessageId"], found["body"]) == (each.client_message_id, each.body)
    bodies = {each.client_message_id: each.body for each in mine}
    for message in stored:
        assert bodies.get(message["clientMessageId"]) == message["body"], f"no client sent {message}"
    return stored
