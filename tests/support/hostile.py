"""An instance that is treated badly, and what the treatment must not leave behind: in Redis, in the store, in the log."""

import asyncio
import os
import secrets
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from support.chatting import Chatter, Rest, new_conversation
from support.instances import Instances, Serving, token
from support.redis_server import SYSTEM, RedisServer, require_binary

# Ids that would name another key, channel or document if they were believed.
BAD_IDS = {
    "slash": "a/b",
    "dot": ".",
    "dots": "..",
    "reserved": "__x__",
    "star": "*",
    "nul": "a\0b",
    "newline": "a\nb",
    "crlf": "a\r\nX: y",
    "ansi": "\x1b[31m",
    "colon": "a:b",
    "braces": "{a}",
    "percent": "%41",
    "accent": "é",
    "space": "a b",
    "empty": "",
    "long": "a" * 129,
    "very_long": "a" * 1501,
}


@dataclass
class Hostile:
    """One instance, and every name that was used on purpose."""

    instances: Instances
    redis: RedisServer
    known: set[str] = field(default_factory=set)

    @property
    def serving(self) -> Serving:
        """The instance."""
        return self.instances.all[0]

    def user(self) -> str:
        """A user of one's own, with full buckets."""
        name = f"user-{secrets.token_hex(6)}"
        self.known.add(name)
        return name

    async def conversation(self, creator: str, *members: str) -> str:
        """A conversation of one's own."""
        conversation_id = await new_conversation(self.serving, creator, *members)
        self.known.add(conversation_id)
        return conversation_id

    async def assert_alive(self) -> None:
        """A good message still goes through, from one user to another."""
        alice, bob = self.user(), self.user()
        c = await self.conversation(alice, bob)
        async with Chatter(self.serving, alice) as sender, Chatter(self.serving, bob) as receiver:
            assert (await sender.say(c, "still here"))["type"] == "ack"
            assert (await receiver.receive("message", conversation_id=c))["body"] == "still here"

    def assert_no_traces(self) -> None:
        """No key, no row and no traceback but those of the names that were used on purpose."""
        with Redis(port=self.redis.port, decode_responses=True) as client:
            keys = {str(key) for key in client.scan_iter(count=1000)}
        own = {"registry:world", "registry:era", "instances", "dirty"}
        names = self.known | {each.name for each in self.instances.all}
        strange = {key for key in keys - own if key.partition(":")[2] not in names and not _is_lease_of_a_run(key, names)}
        assert not strange, f"keys that no test asked for: {strange}"
        for table, column in (("conversations", "id"), ("users", "id"), ("messages", "conversation_id"), ("cursors", "user_id")):
            strange = set(self._column(table, column)) - self.known
            assert not strange, f"rows of {table} that no test asked for: {strange}"
        self.instances.assert_quiet()
        assert not [each.name for each in self.instances.all if "eyJ" in each.log()], "a token is in the log"

    def _column(self, table: str, column: str) -> list[str]:
        path = self.instances.environ["HOLDFAST_STORE__URL"].removeprefix("sqlite:///")
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return [row[0] for row in connection.execute(f"SELECT DISTINCT {column} FROM {table}")]
        finally:
            connection.close()


def _is_lease_of_a_run(key: str, names: set[str]) -> bool:
    """`instance:{name}:{epoch}`: the lease under the name of a run, which instances of an older version ask for."""
    kind, _, run = key.partition(":")
    return kind == "instance" and run.rpartition(":")[0] in names


@pytest.fixture(scope="session")
def hostile_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    """One instance for all of these tests: what they do to it must not matter to each other."""
    directory = tmp_path_factory.mktemp("hostile")
    server = RedisServer(require_binary(SYSTEM))
    asyncio.run(server.start())
    instances = Instances(directory, server.url, f"sqlite:///{directory}/holdfast.db")
    try:
        asyncio.run(instances.start("instance-1"))
        yield Hostile(instances, server)
    finally:
        instances.close()
        server.close()


@pytest.fixture
def hostile(hostile_session: Hostile) -> Iterator[Hostile]:
    """The instance; afterwards no unexpected trace is left."""
    yield hostile_session
    hostile_session.assert_no_traces()


@pytest.fixture(scope="session")
def origins(hostile_session: Hostile) -> Serving:
    """A second instance, which has a list of allowed origins."""
    allowed = {"HOLDFAST_HTTP__ALLOWED_ORIGINS": "https://app.example.com,https://other.example.com"}
    (serving,) = asyncio.run(hostile_session.instances.start("origins", **allowed))
    hostile_session.known.add("alice")
    return serving


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def refused_by_rest(
    hostile: Hostile, user_id: str | None, method: str, path: str, code: str, *, field: str | None = None, **request: Any
) -> httpx.Response:
    """Call, and expect this problem; its document is checked against the served schema, its headers here."""
    async with Rest(hostile.serving, user_id) as rest:
        answer = await rest.request(method, path, **request)
    assert_problem(answer, code, field)
    return answer


def assert_problem(answer: httpx.Response, code: str, field: str | None = None) -> None:
    """RFC 9457, with our fields and the headers that belong to the status."""
    assert answer.headers.get("content-type") == "application/problem+json", answer.text[:300]
    body = answer.json()
    assert (body["code"], body["status"], body["type"]) == (code, answer.status_code, f"urn:holdfast:problem:{code}"), body
    assert body["title"]
    assert body["detail"]
    assert isinstance(body["retryable"], bool)
    assert field is None or body.get("field") == field, body
    assert (answer.status_code == 401) == ("www-authenticate" in answer.headers)
    assert (answer.status_code in (429, 503) or code == "token_too_early") == ("retry-after" in answer.headers)


def bearer(user_id: str, **options: Any) -> dict[str, str]:
    """The header that proves the identity of a user."""
    return {"Authorization": f"Bearer {token(user_id, **options)}"}
