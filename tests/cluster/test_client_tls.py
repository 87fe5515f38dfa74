"""The Python client where TLS ends in front of the service, as in production: sockets and pages believe the same authorities."""

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.client import Client
from holdfast.client.events import Unreachable
from holdfast.client.tls import authorities
from holdfast.drills.local.proxy import Proxy
from support.certificates import self_signed
from support.chatting import Chatter, new_conversation
from support.instances import Instances, token


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Path]]:
    """Of an authority that this process believes, and its key."""
    files = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(files[0]))
    authorities.cache_clear()
    yield files
    authorities.cache_clear()


def tls_in_front(port: int, files: tuple[Path, Path]) -> Proxy:
    """Ends TLS and passes the rest on."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return Proxy(port, tls=context)


async def test_a_socket_and_pages_over_tls(sqlite_instances: Instances, certificate: tuple[Path, Path]) -> None:
    """Messages that are not replayed are paged, by REST over the same TLS."""
    (one,) = await sqlite_instances.start("one", HOLDFAST_LIMITS__REPLAY_MESSAGES="5")
    c = await new_conversation(one, "ann", "ben")
    async with Chatter(one, "ann") as ann:
        for number in range(20):
            assert (await ann.say(c, f"word {number}"))["type"] == "ack"
    async with (
        tls_in_front(one.port, certificate) as way,
        Client([f"https://{way.address}"], token("ben"), cursors={c: 0}) as ben,
    ):
        bodies = []
        async with asyncio.timeout(20):
            async for message in ben.messages():
                bodies.append(message.body)
                if len(bodies) == 20:
                    break
    assert bodies == [f"word {number}" for number in range(20)]


async def test_a_certificate_of_nobody_we_know_is_refused(sqlite_instances: Instances, tmp_path: Path) -> None:
    """There is no connection then, not an unverified one; the client says so and tries on."""
    (one,) = await sqlite_instances.start("one")
    async with tls_in_front(one.port, self_signed(tmp_path)) as way, Client([f"https://{way.address}"], token("ben")) as ben:
        events = ben.events()
        async with asyncio.timeout(20):
            event = await anext(events)
        assert isinstance(event, Unreachable)
        assert (event.code, "certificate verify failed" in event.detail) == ("unreachable", True)
        assert ben.instance_id == ""
