"""The way to the service: which refusals of a connection count, and which end the client for good."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from holdfast.client import backoff
from holdfast.client.connection import Connection, Refused
from holdfast.client.errors import ClientStopped
from holdfast.client.greeting import Greeting
from holdfast.client.link import Link
from holdfast.client.tokens import Tokens
from holdfast.protocol import frames
from support.virtual_time import settled


class Socket:
    """A connection that ends when told to."""

    def __init__(self) -> None:
        self.code = 0
        self.reason: frames.ErrorFrame | None = None
        self.synced = asyncio.Event()
        self.taken_over = asyncio.Event()
        self.ended = asyncio.Event()
        self.greeting: Greeting | None = None
        self.is_draining = False
        self.is_refreshing = False
        self.is_aborted = False
        self.is_read = asyncio.Event()
        self.on_frame: Callable[[Any], None] = lambda frame: None

    async def read(self, on_frame: Callable[[Any], None]) -> None:
        self.on_frame = on_frame
        self.is_read.set()
        await self.ended.wait()

    async def send(self, frame: object) -> None:
        """The frame is dropped."""

    async def close(self, code: int = 1000) -> None:
        self.end(code)

    def abort(self) -> None:
        self.is_aborted = True
        self.end(1006)

    def end(self, code: int) -> None:
        self.code = self.code or code
        self.ended.set()


class Service:
    """Answers attempts with sockets or refusals, in turn; `tried` are URL and token of each."""

    def __init__(self, *answers: Socket | Refused) -> None:
        self.answers = list(answers)
        self.tried: list[tuple[str, str]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.is_asked = asyncio.Event()

    async def open(self, url: str, token: str) -> Connection:
        self.tried.append((url, token))
        if not self.may_answer.is_set():
            self.is_asked.set()
        await self.may_answer.wait()
        await asyncio.sleep(0)
        answer = self.answers.pop(0)
        if isinstance(answer, Refused):
            raise answer
        return cast("Connection", answer)


class Owner:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.greeted = 0
        self.is_sending = False
        self.took_over_twice = asyncio.Event()

    def hello(self, connection: Connection) -> Greeting:
        self.greeted += 1
        return Greeting(frames.Hello(ref=f"hello-{self.greeted}"), self.greeted, ())

    def has_in_flight(self, connection: Connection) -> bool:
        return self.is_sending

    def opening(self) -> None:
        self.told.append("opening")

    def opened(self, connection: Connection) -> None:
        self.told.append("opened")

    def refused(self, code: str, detail: str) -> None:
        self.told.append(code)

    def took_over(self, connection: Connection) -> None:
        self.told.append("took over")
        if self.told.count("took over") > 1:
            self.took_over_twice.set()

    def received(self, frame: frames.AnyServerFrame, connection: Connection) -> None:
        """Not looked at."""

    def closed(self, connection: Connection) -> None:
        self.told.append("closed")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "pause", lambda _attempt, *, at_least=0.0: 0.0)


async def _ends(service: Service, tokens: Tokens, owner: Owner | None = None) -> ClientStopped:
    link = Link(["ws://one", "ws://two"], tokens, owner or Owner(), service.open)
    try:
        with pytest.raises(ClientStopped) as stopped:
            async with asyncio.timeout(10):
                await link.run()
        return stopped.value
    finally:
        await link.close()


async def _login() -> str:
    return "fresh"


def _refusal(status: int, code: str) -> Refused:
    return Refused(status, code, "no", is_final=status in (401, 403))


async def test_one_address_after_the_other_is_tried_and_the_application_is_told() -> None:
    owner = Owner()
    service = Service(_refusal(0, "unreachable"), _refusal(503, "draining"), _refusal(403, "forbidden"))
    stopped = await _ends(service, Tokens("t"), owner)
    assert [url for url, _ in service.tried] == ["ws://one/ws", "ws://two/ws", "ws://one/ws"]
    told = ["opening", "unreachable", "opening", "draining", "opening"]
    assert (owner.told, stopped.code) == (told, "forbidden")


async def test_a_static_token_that_is_refused_ends_it() -> None:
    service = Service(_refusal(401, "unauthenticated"))
    assert (await _ends(service, Tokens("t"))).code == "unauthenticated"


async def test_a_hook_is_asked_for_better_tokens_three_times() -> None:
    service = Service(*(_refusal(401, "unauthenticated") for _ in range(3)))
    assert (await _ends(service, Tokens(_login))).code == "unauthenticated"
    assert len(service.tried) == 3


async def test_a_hook_that_fails_ends_nothing() -> None:
    asked = 0

    async def login() -> str:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise RuntimeError("the login service is down")
        return "fresh"

    owner, service = Owner(), Service(_refusal(403, "forbidden"))
    assert (await _ends(service, Tokens(login), owner)).code == "forbidden"
    assert owner.told == ["token_unavailable", "opening"], "nothing is asked for without a token"


@pytest.mark.parametrize("code", [1000, 1008, 4500])
async def test_a_close_code_that_says_stop_is_obeyed_with_the_servers_own_reason(code: int) -> None:
    socket = Socket()
    service = Service(socket)
    link = Link(["ws://one"], Tokens("t"), Owner(), service.open)
    running = asyncio.create_task(link.run())
    await socket.is_read.wait()
    socket.on_frame(frames.ErrorFrame(code="policy_violation", detail="a flood", retryable=False))
    socket.end(code)
    with pytest.raises(ClientStopped, match="policy_violation"):
        await running
    await link.close()


async def test_the_next_connection_is_there_before_the_old_one_is_let_go() -> None:
    """Nothing is sent into a connection that is about to end: sends go by the successor as soon as it is replayed."""
    old, new = Socket(), Socket()
    owner, service = Owner(), Service(old, new)
    link = Link(["ws://one"], Tokens("t"), owner, service.open)
    running = asyncio.create_task(link.run())
    await old.is_read.wait()
    old.on_frame(frames.Draining(reconnect_after_ms=0, closes_in_ms=1_000))
    await new.is_read.wait()
    assert not old.ended.is_set()
    new.synced.set()
    await old.ended.wait()
    assert link.current is cast("Connection", new)
    assert owner.told.count("opened") == 2
    assert old.code == 1000
    running.cancel()
    await link.close()


async def test_what_ends_before_its_successor_is_replayed_is_followed_by_it_all_the_same() -> None:
    """A third connection would load the remaining instances twice, just when they take over all clients."""
    old, new = Socket(), Socket()
    owner, service = Owner(), Service(old, new)
    link = Link(["ws://one"], Tokens("t"), owner, service.open)
    running = asyncio.create_task(link.run())
    await old.is_read.wait()
    old.on_frame(frames.Draining(reconnect_after_ms=0, closes_in_ms=1_000))
    await new.is_read.wait()
    old.end(1012)
    await owner.took_over_twice.wait()
    assert link.current is cast("Connection", new)
    assert len(service.tried) == 2
    running.cancel()
    await link.close()


async def test_what_ends_while_its_successor_is_being_opened_waits_for_it() -> None:
    old, new = Socket(), Socket()
    owner, service = Owner(), Service(old, new)
    link = Link(["ws://one"], Tokens("t"), owner, service.open)
    running = asyncio.create_task(link.run())
    await old.is_read.wait()
    service.may_answer.clear()
    old.on_frame(frames.Draining(reconnect_after_ms=0, closes_in_ms=1_000))
    await service.is_asked.wait()
    old.end(1012)
    await settled()
    service.may_answer.set()
    await owner.took_over_twice.wait()
    assert len(service.tried) == 2
    running.cancel()
    await link.close()


async def test_an_answer_that_is_not_the_services_ends_nothing() -> None:
    """A proxy has no instance behind it during a rollout: its 403 and 404 are not ours."""
    page = Refused(404, "http_404", "not ours")
    service = Service(page, Refused(401, "http_401", "not ours"), page, _refusal(403, "forbidden"))
    assert (await _ends(service, Tokens("t"))).code == "forbidden"
    assert len(service.tried) == 4


async def test_a_static_token_that_is_none_is_never_sent() -> None:
    service = Service()
    stopped = await _ends(service, Tokens("t\n"))
    assert (stopped.code, service.tried) == ("unauthenticated", [])


async def _run(socket: Socket, owner: Owner) -> tuple[Link, "asyncio.Task[None]"]:
    link = Link(["ws://one"], Tokens("t"), owner, Service(socket).open)
    running = asyncio.create_task(link.run())
    await socket.is_read.wait()
    return link, running


@pytest.mark.parametrize("ref", ["hello-1", None])
async def test_a_hello_that_is_refused_for_good_ends_it_with_the_reason(ref: str | None) -> None:
    """The same one would be refused again, for ever, and the application would never hear why."""
    socket = Socket()
    link, running = await _run(socket, Owner())
    named = {} if ref is None else {"ref": ref}
    socket.on_frame(frames.ErrorFrame(code="invalid_request", detail="cursors", retryable=False, **named))
    with pytest.raises(ClientStopped, match="cursors"):
        await running
    assert socket.is_aborted
    await link.close()


async def test_an_error_that_may_be_about_a_send_does_not_end_it() -> None:
    socket, owner = Socket(), Owner()
    owner.is_sending = True
    link, running = await _run(socket, owner)
    socket.on_frame(frames.ErrorFrame(code="frame_too_large", detail="", retryable=False))
    await settled()
    assert not running.done()
    running.cancel()
    await link.close()


async def test_an_observer_that_raises_ends_it() -> None:
    """It would be asked again after each reconnection, and nothing would say so."""

    class Broken(Owner):
        def closed(self, connection: Connection) -> None:
            raise RuntimeError("the observer's")

    socket = Socket()
    link, running = await _run(socket, Broken())
    socket.end(1012)
    with pytest.raises(RuntimeError, match="observer"):
        await asyncio.wait_for(running, 10)
    await link.close()


async def test_a_server_that_says_draining_again_and_again_gets_one_successor() -> None:
    old, new = Socket(), Socket()
    service = Service(old, new)
    link = Link(["ws://one"], Tokens("t"), Owner(), service.open)
    running = asyncio.create_task(link.run())
    await old.is_read.wait()
    for _ in range(50):
        old.on_frame(frames.Draining(reconnect_after_ms=0, closes_in_ms=1_000))
    assert len(link._tasks) <= 2
    await new.is_read.wait()
    assert len(service.tried) == 2
    running.cancel()
    await link.close()


DRAINING = frames.Draining(reconnect_after_ms=0, closes_in_ms=1_000)


async def handing_over(link: Link, old: Socket, new: Socket) -> "asyncio.Task[None]":
    """The link runs; its first connection drains, and the second one is there."""
    running = asyncio.create_task(link.run())
    await old.is_read.wait()
    old.on_frame(DRAINING)
    await new.is_read.wait()
    return running


class Slow(Socket):
    """A connection whose other end does not answer the close."""

    def __init__(self) -> None:
        super().__init__()
        self.is_closing = asyncio.Event()

    async def close(self, code: int = 1000) -> None:
        self.is_closing.set()
        await self.ended.wait()


async def test_successor_that_drains_while_the_old_one_is_being_closed_is_handed_over() -> None:
    """A rollout takes one instance after the other; without it the client is cut off when the second one ends."""
    old, new, third = Slow(), Socket(), Socket()
    service = Service(old, new, third)
    link = Link(["ws://one"], Tokens("t"), Owner(), service.open)
    async with asyncio.timeout(10):
        running = await handing_over(link, old, new)
        new.synced.set()
        await old.is_closing.wait()
        new.on_frame(DRAINING)
        await third.is_read.wait()
        old.end(1000)
        await settled()
        assert link.current is cast("Connection", new)
        third.synced.set()
        await new.ended.wait()
        assert link.current is cast("Connection", third)
        await settled()
        assert not running.done()
    running.cancel()
    await link.close()
    assert third.ended.is_set()


async def test_successor_that_drains_while_it_is_replayed_is_handed_over_as_soon_as_it_is_in_use() -> None:
    old, new, third = Socket(), Socket(), Socket()
    service = Service(old, new, third)
    link = Link(["ws://one"], Tokens("t"), Owner(), service.open)
    async with asyncio.timeout(10):
        running = await handing_over(link, old, new)
        new.on_frame(DRAINING)
        await settled()
        assert len(service.tried) == 2
        new.synced.set()
        await third.is_read.wait()
        third.synced.set()
        await new.ended.wait()
        assert link.current is cast("Connection", third)
    running.cancel()
    await link.close()


async def test_next_but_one_takes_over_where_its_predecessor_ends_before_it_is_replayed() -> None:
    """It is under way already: one more attempt would load the remaining instances twice."""
    old, new, third = Slow(), Socket(), Socket()
    owner, service = Owner(), Service(old, new, third)
    link = Link(["ws://one"], Tokens("t"), owner, service.open)
    async with asyncio.timeout(10):
        running = await handing_over(link, old, new)
        new.synced.set()
        await old.is_closing.wait()
        new.on_frame(DRAINING)
        await third.is_read.wait()
        old.end(1000)
        await settled()
        new.end(1012)
        await settled()
        assert link.current is cast("Connection", third)
        assert len(service.tried) == 3
    running.cancel()
    await link.close()
