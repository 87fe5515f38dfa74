"""The Python client through what happens to instances: its user sees a pause, and nothing else."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import httpx
import pytest

from holdfast.client import Client, ClientStopped, Message, SendFailed
from support.chatting import Chatter, Rest, new_conversation
from support.eventually import eventually
from support.instances import Instances, Serving, token
from support.redis_server import RedisServer


class Person:
    """A client and everything that it showed; `story`: what its observer was told."""

    def __init__(self, user_id: str, instances: list[Serving], cursors: dict[str, int] | None = None, **options: Any) -> None:
        self.story: list[tuple[str, dict[str, object]]] = []
        self.shown: list[Message] = []
        options.setdefault("token", token(user_id))
        self.client = Client([each.url for each in instances], cursors=cursors, observer=self, **options)

    def record(self, event: str, **fields: object) -> None:
        """See `Observer`."""
        self.story.append((event, fields))

    def told(self, event: str) -> list[dict[str, object]]:
        """The events of one kind."""
        return [fields for kind, fields in self.story if kind == event]

    def bodies(self, conversation_id: str) -> list[str]:
        """The messages that were shown, after making sure that they are a stream."""
        mine = [message for message in self.shown if message.conversation_id == conversation_id]
        assert [message.seq for message in mine] == list(range(mine[0].seq, mine[0].seq + len(mine))) if mine else True
        return [message.body for message in mine]

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["Person"]:
        """Connected, and every message taken as it comes."""
        async with self.client:
            taking = asyncio.create_task(self._take())
            await eventually(lambda: self.told("synced") or taking.done())
            yield self
        await taking

    async def _take(self) -> None:
        async for message in self.client.messages():
            self.shown.append(message)


async def test_a_conversation(sqlite_instances: Instances) -> None:
    """Messages both ways across instances, metadata verbatim, receipts, presence; errors with their codes."""
    one, two = await sqlite_instances.start("one", "two")
    c = await new_conversation(one, "ann", "ben")
    async with Person("ann", [one]).listening() as ann, Person("ben", [two]).listening() as ben:
        ack = await ann.client.send(c, "hello", metadata={"mood": ["good"]}, client_message_id="m1")
        assert (ack.seq, ack.duplicate) == (1, False)
        assert (await ann.client.send(c, "hello", metadata={"mood": ["good"]}, client_message_id="m1")).duplicate
        await eventually(lambda: ben.bodies(c) == ann.bodies(c) == ["hello"])
        assert ben.shown[0].metadata == {"mood": ["good"]}
        assert (await ben.client.read(c, ack.message_id)).seq == 1
        await eventually(lambda: {"about": "ben", "conversation": c, "seq": 1} in ann.told("cursor"))
        with pytest.raises(SendFailed, match="idempotency_conflict"):
            await ann.client.send(c, "something else", client_message_id="m1")
        with pytest.raises(SendFailed, match="message_not_found"):
            await ben.client.read(c, "000000000099")
        with pytest.raises(SendFailed, match="conversation_not_found"):
            await ann.client.send("nowhere", "hello")
        assert ben.client.cursors == ann.client.cursors == {c: 1}
    with pytest.raises(ClientStopped, match="closed"):
        await ann.client.send(c, "too late")


async def test_an_instance_is_killed_under_its_client(sqlite_instances: Instances) -> None:
    """Sends under way are sent again elsewhere under the same id; messages of others meanwhile are replayed."""
    one, two = await sqlite_instances.start("one", "two")
    c = await new_conversation(one, "ann", "ben")
    async with Person("ann", [one, two]).listening() as ann, Person("ben", [two]).listening() as ben:
        assert ann.client.instance_id == "one"
        sends = [asyncio.create_task(ann.client.send(c, f"ann {number}")) for number in range(60)]
        await eventually(lambda: len(ann.told("ack")) >= 5)
        one.kill()
        for number in range(20):
            await ben.client.send(c, f"ben {number}")
        acks = await asyncio.gather(*sends)
        assert sorted({ack.seq for ack in acks}) == sorted(ack.seq for ack in acks)
        await eventually(lambda: len(ann.bodies(c)) == len(ben.bodies(c)) == 80)
        assert ann.bodies(c) == ben.bodies(c)
        assert [body for body in ann.bodies(c) if body.startswith("ann")] == [f"ann {number}" for number in range(60)]
        assert ann.client.instance_id == "two"


async def test_a_drain_is_not_noticed(sqlite_instances: Instances) -> None:
    """The next connection is replayed before the old one is let go: there is no moment without one."""
    one, two = await sqlite_instances.start("one", "two", HOLDFAST_DRAIN__WINDOW_SECONDS="4")
    c = await new_conversation(two, "ann", "ben")
    async with Person("ann", [one, two]).listening() as ann, Person("ben", [two]).listening() as ben:
        one.signal(signal.SIGTERM)
        for number in range(40):
            await asyncio.gather(ann.client.send(c, f"ann {number}"), ben.client.send(c, f"ben {number}"))
        await eventually(lambda: ann.told("closed"))
        await eventually(lambda: len(ann.bodies(c)) == len(ben.bodies(c)) == 80)
        assert ann.bodies(c) == ben.bodies(c)
        kinds = [kind for kind, _ in ann.story if kind in ("synced", "closed")]
        assert kinds == ["synced", "synced", "closed"], "make before break"
        assert ann.told("closed")[0]["code"] in (1000, 1012)
        assert ann.client.instance_id == "two"


async def test_redis_is_killed(sqlite_instances: Instances, redis7: RedisServer) -> None:
    """Slow, not lossy; no connection ends for it."""
    one, two = await sqlite_instances.start("one", "two")
    c = await new_conversation(one, "ann", "ben")
    async with Person("ann", [one]).listening() as ann, Person("ben", [two]).listening() as ben:
        await ann.client.send(c, "before")
        redis7.kill()
        await ann.client.send(c, "without")
        await eventually(lambda: ben.bodies(c) == ["before", "without"])
        assert not ann.told("closed")
        assert not ben.told("closed")


async def test_who_was_away_for_long_pages_what_is_not_replayed(sqlite_instances: Instances) -> None:
    """The socket replays 5 of 60 and names the rest; the application sees one stream."""
    (one,) = await sqlite_instances.start("one", HOLDFAST_LIMITS__REPLAY_MESSAGES="5")
    c = await new_conversation(one, "ann", "ben")
    async with Chatter(one, "ann") as writer:
        for number in range(60):
            await writer.say(c, f"word {number}")
        async with Person("ben", [one], cursors={}).listening() as ben:
            await eventually(lambda: len(ben.bodies(c)) == 60)
            await writer.say(c, "live")
            await eventually(lambda: ben.bodies(c)[-1] == "live")
            assert ben.told("truncated") == [{"conversation": c, "first": 6, "last": 60}]
            cursors = ben.client.cursors
    assert cursors == {c: 61}
    async with Person("ben", [one], cursors=cursors).listening() as again:
        assert not again.shown


async def test_a_reader_that_is_far_behind_gets_everything_later(sqlite_instances: Instances) -> None:
    """Messages that do not fit into the client are fetched again; its own sends are acknowledged meanwhile."""
    unlimited = {"HOLDFAST_LIMITS__SENDS_PER_SECOND": "0", "HOLDFAST_LIMITS__FRAMES_PER_SECOND": "0"}
    (one,) = await sqlite_instances.start("one", **unlimited)
    c = await new_conversation(one, "ann", "ben")
    slow = Person("ben", [one], cursors={})
    async with slow.client:
        await eventually(partial(slow.told, "synced"))
        async with Chatter(one, "ann") as ann:
            for start in range(0, 1_200, 50):
                await asyncio.gather(*(ann.say(c, f"{start + number}") for number in range(50)))
        await eventually(lambda: len(slow.told("received")) >= 1_200)
        assert (await slow.client.send(c, "mine")).seq == 1_201
        async for message in slow.client.messages():
            slow.shown.append(message)
            if message.seq == 1_201:
                break
    assert len(slow.bodies(c)) == 1_201


async def test_tokens_are_fetched_and_refreshed(sqlite_instances: Instances) -> None:
    """A hook is asked before each connection and before one expires; a static token that is refused ends the client."""
    (one,) = await sqlite_instances.start("one")
    asked = []

    async def fetch() -> str:
        asked.append(1)
        return token("ann", ttl_seconds=62 if len(asked) == 1 else 3600)

    async with Person("ann", [one], token=fetch).listening() as ann:
        await eventually(lambda: len(asked) == 2)
        await ann.client.typing("c")
        assert not ann.told("closed")
    stranger = Person("ann", [one], token="not a token")
    async with stranger.client:
        with pytest.raises(ClientStopped, match="unauthenticated"):
            async for _ in stranger.client.messages():
                pass


async def test_a_removed_member_and_a_new_conversation(sqlite_instances: Instances) -> None:
    """Conversations come and go while the client runs; cursors follow."""
    (one,) = await sqlite_instances.start("one")
    c = await new_conversation(one, "ann", "ben")
    async with Person("ann", [one]).listening() as ann, Person("ben", [one]).listening() as ben:
        await ann.client.send(c, "with ben")
        await eventually(lambda: ben.bodies(c) == ["with ben"])
        async with Rest(one, "ann") as rest:
            await rest.delete(f"/api/conversations/{c}/members/ben")
        await eventually(lambda: c not in ben.client.cursors)
        await ann.client.send(c, "without ben")
        new = await new_conversation(one, "ann", "ben")
        await ann.client.send(new, "a new one")
        await eventually(lambda: ben.bodies(new) == ["a new one"])
        assert ben.bodies(c) == ["with ben"]


async def test_nobody_there_yet(sqlite_instances: Instances) -> None:
    """A client may be started before the service is; its sends wait."""
    (one,) = await sqlite_instances.start("one")
    c = await new_conversation(one, "ann")
    one.stop()
    ann = Person("ann", [one])
    async with ann.client:
        sending = asyncio.create_task(ann.client.send(c, "early"))
        with pytest.raises(httpx.TransportError):
            await httpx.AsyncClient(verify=False).get(one.url)
        await one.start()
        assert (await asyncio.wait_for(sending, 30)).seq == 1


async def test_sends_in_many_conversations_at_once_are_all_stored(sqlite_instances: Instances) -> None:
    """An instance takes a flood for abuse and ends the client for good: the client keeps to the announced limits by itself."""
    flood = {"HOLDFAST_LIMITS__FRAMES_BURST": "50", "HOLDFAST_LIMITS__INFLIGHT_SENDS": "8"}
    (one,) = await sqlite_instances.start("one", **flood)
    async with Person("ben", [one]).listening() as ben, Person("ann", [one]).listening() as ann:
        conversations = [(await ben.client.rest.create(["ann"])).conversation_id for _ in range(120)]
        acks = await asyncio.gather(*(ann.client.send(each, "hello") for each in conversations))
        assert [ack.seq for ack in acks] == [1] * len(conversations)
        assert not ann.told("closed")
