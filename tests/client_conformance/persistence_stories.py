"""Stories of the tabs of a user whose client keeps messages and sends in IndexedDB. A story fails with AssertionError."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from client_conformance.server import Json, ScriptedServer, contains
from support.client_page import ADDRESS, serve_modules
from support.eventually import eventually

if TYPE_CHECKING:  # not installed everywhere
    from playwright.async_api import Browser, BrowserContext, Page

_CALL = "async ([name, ...rest]) => (await import('/modules/tests/store_page.mjs'))[name](...rest)"
_SWALLOWS: Json = {"serve": {"rules": [{"if": {"type": "send"}, "then": []}]}}
_OPENS_LATE = """() => {
  const real = IDBFactory.prototype.open;
  IDBFactory.prototype.open = function (...rest) {
    const late = {};
    IDBFactory.prototype.open = real;
    setTimeout(() => {
      const request = real.apply(this, rest);
      request.onsuccess = () => late.onsuccess?.((late.result = request.result));
    }, 6_000);
    return late;
  };
}"""
_HELLO: Json = {"receive": {"type": "hello"}}


def _message(seq: int) -> Json:
    named = {"type": "message", "conversation_id": "c", "seq": seq, "message_id": f"{seq:012d}", "client_message_id": f"k{seq}"}
    return {"send": {**named, "sender": "ben", "body": f"text {seq}", "sent_at": "2026-01-31T12:00:00.000Z"}}


def _synced(head: int) -> Json:
    return {"send": {"type": "synced", "heads": {"c": head}, "read_seqs": {}, "revisions": {}}}


def _first(last: int, *then: Json, user: str = "ann", serve: Json | None = None) -> list[Json]:
    """The socket of a client that begins with what is new: messages 1 to `last` come live. `then`: further steps."""
    welcome = {"welcome": {"generation": "g", "user_id": user}}
    return [welcome, _HELLO, _synced(0), *(_message(seq) for seq in range(1, last + 1)), *then, serve or {"serve": {}}]


def _next(cursor: int, last: int, *then: Json) -> list[Json]:
    """The socket of a client that has messages up to the cursor: the others up to `last` are replayed."""
    hello = {"receive": {"type": "hello", "cursors": {"c": cursor}, "generation": "g"}}
    replayed = [_message(seq) for seq in range(cursor + 1, last + 1)]
    return [{"welcome": {"generation": "g"}}, hello, *replayed, _synced(last), *then, {"serve": {}}]


class Tabs:
    """Tabs of one browser profile before one scripted server."""

    def __init__(self, context: "BrowserContext", server: ScriptedServer, within: float) -> None:
        self.context = context
        self.server = server
        self._within = within

    async def open(self, user: str = "ann") -> "Page":
        """A new tab, whose client has begun."""
        page = await self.context.new_page()
        await page.goto(ADDRESS)
        await self.begin(page, user)
        return page

    async def begin(self, page: "Page", user: str = "ann") -> None:
        """The page has loaded again."""
        await self.call(page, "begin", self.server.port, user)

    async def call(self, page: "Page", name: str, *arguments: object) -> Any:
        """A function of store_page.mjs."""
        return await page.evaluate(_CALL, [name, *arguments])

    async def becomes(self, page: "Page", expression: str, value: object) -> None:
        """Wait until the page's `tab` has this value."""

        async def now() -> Any:
            return await page.evaluate(f"() => {{ const {{ tab }} = window; return {expression}; }}")

        async def is_so() -> bool:
            return bool(await now() == value)

        try:
            await self.until(is_so)
        except AssertionError:
            raise AssertionError(f"{expression} is {await now()}, not {value}; {self.server.log}") from None

    async def has_entries(self, page: "Page", part: str, count: int) -> None:
        """Wait until that part of the database has so many entries."""

        async def has() -> bool:
            return len(await self.call(page, "entries", self.server.port, part)) == count

        await self.until(has)

    async def until(self, is_so: Callable[[], object]) -> None:
        """Wait, as long as this story may take."""
        await eventually(is_so, within=self._within)

    def sends(self) -> list[Json]:
        """Those that the server has received."""
        return [entry for entry in self.server.log if contains(entry, {"received": {"type": "send"}})]

    def hellos(self) -> list[Json]:
        """Those that the server has received."""
        return [entry["received"] for entry in self.server.log if contains(entry, {"received": {"type": "hello"}})]


Story = Callable[[Tabs], Awaitable[None]]


async def _kept_three(tabs: Tabs) -> "Page":
    """A tab that has shown messages 1 to 3, and written them."""
    page = await tabs.open()
    await tabs.becomes(page, "tab.shown", [1, 2, 3])
    await tabs.has_entries(page, "messages", 3)
    return page


async def reload_in_the_middle_of_a_send(tabs: Tabs) -> None:
    """The next page sends it again under the same id, and it is stored once."""
    page = await tabs.open()
    await tabs.becomes(page, "tab.client.state.name", "open")
    await page.evaluate("() => void tab.client.send('c', 'hello')")
    await tabs.until(tabs.sends)
    await tabs.has_entries(page, "sends", 1)
    await page.reload()
    await tabs.begin(page)
    await tabs.until(lambda: len(tabs.sends()) == 2)
    first, second = (entry["received"]["client_message_id"] for entry in tabs.sends())
    assert first == second
    await tabs.becomes(page, "tab.client.outbox.entries.length", 0)
    await tabs.has_entries(page, "sends", 0)


async def tab_is_closed_before_an_ack(tabs: Tabs) -> None:
    """The tab that is left sends it, under the same id."""
    first = await tabs.open()
    await tabs.becomes(first, "tab.client.state.name", "open")
    await tabs.becomes(first, "tab.store.isLeader", value=True)
    second = await tabs.open()
    await tabs.becomes(second, "tab.client.state.name", "open")
    await second.evaluate("() => void tab.client.send('c', 'hello')")
    await tabs.until(tabs.sends)
    await tabs.has_entries(first, "sends", 1)
    await second.close()
    await tabs.until(lambda: len(tabs.sends()) == 2)
    assert [entry["socket"] for entry in tabs.sends()] == [1, 0]
    assert len({entry["received"]["client_message_id"] for entry in tabs.sends()}) == 1
    await tabs.has_entries(first, "sends", 0)


async def send_of_a_living_tab_is_its_own(tabs: Tabs) -> None:
    """It is sent by one of them, and shown as waiting in one."""
    first, second = await tabs.open(), await tabs.open()
    for page in (first, second):
        await tabs.becomes(page, "tab.client.state.name", "open")
    await second.evaluate("() => void tab.client.send('c', 'hello')")
    await tabs.has_entries(first, "sends", 1)
    await second.evaluate("() => tab.store.leftSends(AbortSignal.timeout(1)).catch(() => [])")
    left = await first.evaluate("() => tab.store.leftSends(AbortSignal.timeout(500)).catch(() => [])")
    assert left == []
    await tabs.becomes(first, "tab.client.outbox.entries.length", 0)
    await tabs.becomes(second, "tab.client.outbox.entries.length", 1)


async def leader_ends_behind_another_tab(tabs: Tabs) -> None:
    """The next leader writes what it had shown meanwhile: the page after it has all messages, without a hole."""
    first = await _kept_three(tabs)
    second = await tabs.open()
    await tabs.becomes(second, "tab.shown", [4, 5])
    assert not await second.evaluate("() => tab.store.isLeader")
    await first.close()
    await tabs.becomes(second, "tab.store.isLeader", value=True)
    await tabs.has_entries(second, "messages", 5)
    await second.close()
    third = await tabs.open()
    await tabs.becomes(third, "tab.shown", [6])
    await tabs.becomes(third, "tab.kept", [1, 2, 3, 4, 5])


async def page_is_reloaded(tabs: Tabs) -> None:
    """It shows what it had before it connects, then what is new: each message once."""
    page = await _kept_three(tabs)
    await page.reload()
    await tabs.begin(page)
    await tabs.becomes(page, "tab.shown", [4, 5])
    await tabs.becomes(page, "tab.kept", [1, 2, 3])


async def message_cannot_be_written(tabs: Tabs) -> None:
    """Its cursor is not written either: the next page is sent it again."""
    page = await _kept_three(tabs)
    await page.evaluate(
        """() => {
          const { put } = IDBObjectStore.prototype;
          IDBObjectStore.prototype.put = function (...rest) {
            const request = put.apply(this, rest);
            if (this.name === "messages") this.transaction.abort();
            return request;
          };
        }"""
    )
    tabs.server.gate("live").set()
    await tabs.becomes(page, "tab.shown", [1, 2, 3, 4])
    await tabs.becomes(page, "tab.unsaved.length", 1)
    await page.reload()
    await tabs.begin(page)
    await tabs.becomes(page, "tab.kept", [1, 2, 3])
    await tabs.becomes(page, "tab.shown", [4, 5])


async def quota_is_exceeded(tabs: Tabs) -> None:
    """The page goes on, is told once, and everything is written when there is room again."""
    page = await _kept_three(tabs)
    await page.evaluate(
        """() => {
          const { put } = IDBObjectStore.prototype;
          window.hasRoom = false;
          IDBObjectStore.prototype.put = function (...rest) {
            if (!window.hasRoom) throw new DOMException("full", "QuotaExceededError");
            return put.apply(this, rest);
          };
        }"""
    )
    tabs.server.gate("live").set()
    await tabs.becomes(page, "tab.shown", [1, 2, 3, 4])
    await tabs.becomes(page, "tab.unsaved", ["QuotaExceededError"])
    await page.evaluate("() => void (window.hasRoom = true)")
    tabs.server.gate("later").set()
    await tabs.becomes(page, "tab.shown", [1, 2, 3, 4, 5])
    await tabs.has_entries(page, "messages", 2)  # room was made, and what was held back is there
    await page.reload()
    await tabs.begin(page)
    await tabs.becomes(page, "tab.kept", [4, 5])
    await tabs.becomes(page, "tab.unsaved", [])


async def browser_gives_no_space(tabs: Tabs) -> None:
    """The browser's own refusal, as on a full disk; messages that were shown meanwhile are written when there is space again."""
    page = await tabs.context.new_page()
    await page.goto(ADDRESS)
    browser = await tabs.context.new_cdp_session(page)
    await browser.send("Storage.overrideQuotaForOrigin", {"origin": "http://127.0.0.1", "quotaSize": 1})
    await tabs.begin(page)
    await tabs.becomes(page, "tab.shown", [1, 2, 3])
    await tabs.becomes(page, "tab.unsaved", ["QuotaExceededError"])
    await browser.send("Storage.overrideQuotaForOrigin", {"origin": "http://127.0.0.1"})
    tabs.server.gate("live").set()
    await tabs.has_entries(page, "messages", 4)


async def browser_has_no_database(tabs: Tabs) -> None:
    """As in some private windows: the client works, and says once that nothing is kept."""
    await tabs.context.add_init_script("indexedDB.open = () => { throw new DOMException('no', 'SecurityError'); }")
    page = await tabs.open()
    tabs.server.gate("live").set()
    tabs.server.gate("later").set()
    await tabs.becomes(page, "tab.shown", [1, 2, 3, 4, 5])
    await tabs.becomes(page, "tab.unsaved", ["SecurityError"])
    await page.evaluate("() => tab.client.send('c', 'hello')")
    other = await tabs.open()  # it never becomes the leader
    await tabs.becomes(other, "tab.unsaved", ["SecurityError"])


async def another_user_signs_in(tabs: Tabs) -> None:
    """That user is not given anything of the first one, and a token of another user than the store's ends the client."""
    page = await _kept_three(tabs)
    await page.close()
    page = await tabs.open("ben")
    await tabs.becomes(page, "tab.client.state.name", "open")
    await tabs.becomes(page, "tab.kept", [])
    assert "cursors" not in tabs.hellos()[-1]
    other = await tabs.open("cem")
    await tabs.becomes(other, "tab.ended", "store_failed")


async def user_signs_out(tabs: Tabs) -> None:
    """Nothing is left in the browser, and another tab does not write it again."""
    first = await _kept_three(tabs)
    second = await tabs.open()
    await tabs.becomes(second, "tab.client.state.name", "open")
    await first.evaluate("async () => { await tab.client.close(); await tab.store.clear(); }")
    tabs.server.gate("live").set()
    await tabs.becomes(second, "tab.shown", [4])
    await tabs.becomes(second, "tab.unsaved", ["InvalidStateError"])
    await second.evaluate("async () => { await tab.client.close(); await tab.store.clear(); }")  # as a page does in all its tabs
    assert await second.evaluate("async () => (await indexedDB.databases()).length") == 0


async def database_opens_slowly(tabs: Tabs) -> None:
    """The application is told that nothing is kept, and the next page is given what was never shown."""
    page = await _kept_three(tabs)
    await page.evaluate("() => tab.client.close()")
    await page.reload()
    await page.evaluate(_OPENS_LATE)
    await tabs.begin(page)
    await tabs.becomes(page, "tab.shown", [6])
    await tabs.becomes(page, "tab.unsaved", ["TimeoutError"])
    await page.evaluate("() => tab.client.close()")
    await page.reload()
    await tabs.begin(page)
    await tabs.becomes(page, "tab.shown", [4, 5, 6])
    await tabs.becomes(page, "tab.kept", [1, 2, 3])


async def user_signs_in_again_beside_a_tab_that_was_left(tabs: Tabs) -> None:
    """The tab that was left has no database any more: the one that signed in writes."""
    first = await _kept_three(tabs)
    second = await tabs.open()
    await tabs.becomes(second, "tab.client.state.name", "open")
    await first.evaluate("async () => { await tab.client.close(); await tab.store.clear(); }")
    await tabs.begin(first)
    await tabs.becomes(first, "tab.shown", [1, 2, 3])
    await tabs.becomes(first, "tab.store.isLeader", value=True)
    await tabs.has_entries(first, "messages", 3)


async def leader_is_put_into_the_back_forward_cache(tabs: Tabs) -> None:
    """Another tab writes meanwhile; the page that comes back is one of those that wait."""
    first = await tabs.open()
    await tabs.becomes(first, "tab.store.isLeader", value=True)
    second = await tabs.open()
    hide = "() => void dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))"
    show = "() => void dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))"
    await first.evaluate(hide)
    await tabs.becomes(first, "tab.store.isLeader", value=False)
    await tabs.becomes(second, "tab.store.isLeader", value=True)
    await first.evaluate(show)
    await tabs.becomes(first, "tab.store.isLeader", value=False)
    await second.close()
    await tabs.becomes(first, "tab.store.isLeader", value=True)


async def entries_are_damaged(tabs: Tabs) -> None:
    """They are left out and counted; the others are used."""
    page = await _kept_three(tabs)
    port = tabs.server.port
    await page.evaluate("() => tab.client.close()")
    await tabs.call(page, "put", port, "messages", {"conversation_id": "c", "seq": 1, "body": 7})
    await tabs.call(page, "put", port, "conversations", {"id": "d", "cursor": "many"})
    await tabs.call(page, "put", port, "sends", {"tab": "t", "id": "x", "draft": {"ref": "x"}})
    await page.reload()
    await tabs.begin(page)
    await tabs.becomes(page, "tab.shown", [4, 5])
    await tabs.becomes(page, "tab.kept", [2, 3])
    await tabs.becomes(page, "tab.store.dropped", 3)


_LIVE: Final = [{"until": "live"}, _message(4), {"until": "later"}, _message(5)]

STORIES: Final[dict[Story, list[list[Json]]]] = {
    reload_in_the_middle_of_a_send: [_first(0, serve=_SWALLOWS), _next(0, 0)],
    tab_is_closed_before_an_ack: [_first(0), _first(0, serve=_SWALLOWS)],
    send_of_a_living_tab_is_its_own: [_first(0, serve=_SWALLOWS)],
    leader_ends_behind_another_tab: [_first(3), _next(3, 5), _next(5, 6)],
    page_is_reloaded: [_first(3), _next(3, 5)],
    message_cannot_be_written: [_first(3, *_LIVE), _next(3, 5)],
    quota_is_exceeded: [_first(3, *_LIVE), _next(5, 5)],
    browser_gives_no_space: [_first(3, *_LIVE)],
    browser_has_no_database: [_first(3, *_LIVE)],
    another_user_signs_in: [_first(3), _first(0, user="ben")],
    user_signs_out: [_first(3), _next(3, 3, *_LIVE)],
    database_opens_slowly: [
        _first(3),
        [{"welcome": {"generation": "g"}}, _HELLO, _synced(5), _message(6), {"serve": {}}],
        _next(3, 6),
    ],
    user_signs_in_again_beside_a_tab_that_was_left: [_first(3), _next(3, 3), _first(3)],
    leader_is_put_into_the_back_forward_cache: [_first(0)],
    entries_are_damaged: [_first(3), _next(3, 5)],
}
"""With the scripts of the sockets, in the order in which the tabs connect."""


async def play(story: Story, browser: "Browser", sources: Path, within: float) -> None:
    """In a browser profile of its own, with the client of these sources.

    Raises:
        AssertionError: it does not come as it is told, within so many seconds for each of its steps.
    """
    context = await browser.new_context(permissions=["local-network-access"])
    try:
        await serve_modules(context, client=sources, tests=Path(__file__).parent)
        async with ScriptedServer({"sockets": STORIES[story]}) as server:
            await story(Tabs(context, server, within))
    finally:
        await context.close()
