"""The chat page in a real browser, two people in two windows on two instances, before a real `holdfast up`.

Browser and driver are not part of Holdfast: where chromium or playwright is missing these tests are skipped with the
reason, and fail when CI=true.
"""

import asyncio
import contextlib
import importlib.util
import secrets
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest

from support.eventually import eventually
from support.up import Up, require, require_redis

if TYPE_CHECKING:  # not installed everywhere
    from playwright.async_api import Browser, Locator, Page

_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync")
_PHONE = (360, 640)
_WITHIN = 15.0


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One cluster for all tests of this file; each restores what it has killed."""
    require(importlib.util.find_spec("playwright") is not None, "playwright is not installed: pip install playwright")
    require(_chromium() is not None, "no chromium here: apt-get install chromium")
    require_redis()
    cluster = Up(tmp_path_factory.mktemp("page") / "data")
    asyncio.run(cluster.start())
    yield cluster
    asyncio.run(cluster.stop())


def _chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Window:
    """One person's window. Closed with the browser."""

    def __init__(self, page: "Page", user: str) -> None:
        self.page = page
        self.user = user
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog {dialog.message}"))

    def find(self, testid: str) -> "Locator":
        """The element with this data-testid."""
        return self.page.get_by_test_id(testid)

    async def is_connected(self) -> bool:
        """Whether the page says so."""
        return await self.find("status").get_attribute("data-state") == "connected"

    async def instance(self) -> str:
        """Which one it says it is connected to."""
        await eventually(self.is_connected, within=_WITHIN)
        return await self.find("instance").inner_text()

    async def say(self, text: str) -> None:
        """Write a message and press Enter."""
        field = self.find("composer").get_by_role("textbox")
        await field.fill(text)
        await field.press("Enter")

    async def bodies(self) -> list[str]:
        """All messages shown, in order."""
        return await self.find("messages").get_by_test_id("body").all_inner_texts()

    async def sees(self, *texts: str) -> None:
        """Exactly these messages, soon."""

        async def is_so() -> bool:
            return await self.bodies() == list(texts)

        try:
            await eventually(is_so, within=_WITHIN)
        except AssertionError:
            raise AssertionError(f"{self.user} sees {await self.bodies()}, not {list(texts)}") from None

    async def states(self) -> list[str | None]:
        """data-state of all messages."""
        return [await message.get_attribute("data-state") for message in await self.find("message").all()]


class Couple:
    """Two people in a conversation with each other, each in a window."""

    def __init__(self, browser: "Browser", up: Up) -> None:
        mark = secrets.token_hex(3)
        self.users = (f"ann-{mark}", f"bob-{mark}")
        self._browser = browser
        self._up = up

    async def window(self, user: str, size: tuple[int, int] = (1_100, 720)) -> Window:
        """A window of its own browser context."""
        context = await self._browser.new_context(viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce")
        window = Window(await context.new_page(), user)
        await window.page.goto(f"{self._up.url}/?user={user}")
        await eventually(window.is_connected, within=_WITHIN)
        return window

    async def windows(self) -> tuple[Window, Window]:
        """Both, with the conversation begun by the first and open in both."""
        ann, bob = await self.window(self.users[0]), await self.window(self.users[1])
        await start(ann, bob.user)
        await bob.find("composer").wait_for()
        return ann, bob


async def start(window: Window, other: str) -> None:
    """Begin a conversation through the dialog."""
    await window.find("new-conversation").click()
    await window.page.get_by_label("With whom?").fill(other)
    await window.page.get_by_role("button", name="Start", exact=True).click()
    await window.find("composer").wait_for()


@pytest.fixture
async def browser(up: Up) -> AsyncIterator["Browser"]:
    """A headless chromium; the cluster is whole again before each test."""
    from playwright.async_api import async_playwright  # not installed everywhere

    await up.restore()
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=_chromium(), args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            with contextlib.suppress(Exception):
                await browser.close()


@pytest.fixture
async def couple(browser: "Browser", up: Up) -> Couple:
    """Two people nobody else knows."""
    return Couple(browser, up)


async def test_two_windows_on_two_instances_talk(couple: Couple) -> None:
    """The first minute: a message, typing, a receipt, presence, through two instances."""
    ann, bob = await couple.windows()
    assert {await ann.instance(), await bob.instance()} == {"instance-1", "instance-2"}
    await ann.say("hello bob")
    await bob.sees("hello bob")
    await ann.page.locator('[data-testid=message][data-state=read][data-seq="1"]').wait_for()
    await bob.find("composer").get_by_role("textbox").press_sequentially("hi")
    await eventually(lambda: _says(ann, "typing", f"{bob.user} is typing"), within=_WITHIN)
    await bob.say("hi ann")
    await ann.sees("hello bob", "hi ann")
    await eventually(lambda: _says(ann, "typing", ""), within=_WITHIN)
    assert await ann.find(f"presence-{bob.user}").get_attribute("data-online") == "true"
    assert ann.complaints + bob.complaints == []


async def _says(window: Window, testid: str, text: str) -> bool:
    return await window.find(testid).inner_text() == text


async def test_the_page_carries_on_when_its_instance_is_killed(couple: Couple, up: Up) -> None:
    """C5: what was written meanwhile arrives, once, in order; the page names its new instance."""
    ann, bob = await couple.windows()
    await ann.say("before")
    await bob.sees("before")
    lost = await ann.instance()
    up.kill(lost)
    await ann.say("during one")
    await ann.say("during two")
    await bob.sees("before", "during one", "during two")
    await ann.sees("before", "during one", "during two")
    assert await ann.instance() != lost
    await bob.say("after")
    await ann.sees("before", "during one", "during two", "after")
    await eventually(lambda: _none_is(ann, "pending"), within=_WITHIN)


async def test_the_page_moves_when_its_instance_drains(couple: Couple, up: Up) -> None:
    """A rolling deployment asks for this of every client."""
    ann, bob = await couple.windows()
    leaving = await bob.instance()
    up.kill(leaving, signal.SIGTERM)

    async def has_moved() -> bool:
        return await bob.is_connected() and await bob.find("instance").inner_text() != leaving

    await eventually(has_moved, within=_WITHIN)
    await ann.say("still there?")
    await bob.sees("still there?")


async def test_the_page_says_that_redis_is_gone_and_goes_on(couple: Couple, up: Up) -> None:
    """C10: degraded, across instances, and told to the reader."""
    ann, bob = await couple.windows()
    up.kill("redis")
    await ann.find("degraded").wait_for()
    assert "redis" in await ann.find("degraded").inner_text()
    await ann.say("without redis")
    await bob.sees("without redis")
    await eventually(lambda: "redis is gone" in up.output)
    await up.start_again("redis")
    await ann.find("degraded").wait_for(state="hidden")


async def test_what_people_write_is_text(couple: Couple) -> None:
    """T33: in the thread, in the list and as a title."""
    ann, bob = await couple.windows()
    evil = '<img src=x onerror="alert(1)"><script>alert(2)</script>&lt;b&gt;'
    await ann.say(evil)
    await bob.sees(evil)
    assert await bob.page.locator("img, #messages script, #conversations b").count() == 0
    assert ann.complaints + bob.complaints == []


async def test_unread_messages_are_counted_until_they_are_seen(couple: Couple) -> None:
    """On a phone the list is a pane of its own: nothing is read while it shows."""
    ann = await couple.window(couple.users[0])
    bob = await couple.window(couple.users[1], _PHONE)
    await start(ann, bob.user)
    await ann.say("one")
    await ann.say("two")
    entry = bob.find(f"conversation-pair-{couple.users[0]}--{couple.users[1]}")
    await eventually(lambda: _unread(entry, "2"), within=_WITHIN)
    await eventually(lambda: _are(ann, "sent"), within=_WITHIN)  # an ack may come after the message at the other's
    await entry.click()
    await bob.sees("one", "two")
    await eventually(lambda: _unread(entry, "0"), within=_WITHIN)
    await ann.page.locator('[data-testid=message][data-state=read][data-seq="2"]').wait_for()
    assert await bob.page.evaluate("document.documentElement.scrollWidth") <= _PHONE[0]


async def _none_is(window: "Window", state: str) -> bool:
    return state not in await window.states()


async def _are(window: "Window", state: str) -> bool:
    return set(await window.states()) == {state}


async def _unread(entry: "Locator", count: str) -> bool:
    return await entry.count() == 1 and await entry.get_attribute("data-unread") == count


async def test_history_is_paged_and_survives_a_reload(couple: Couple) -> None:
    """A fresh page has no cursor: it pages by REST and sees the same."""
    ann, bob = await couple.windows()
    texts = [f"message {number}" for number in range(1, 71)]
    for text in texts:
        await ann.say(text)
    await bob.sees(*texts)
    await bob.page.reload()
    await bob.page.locator('[data-testid=message][data-seq="70"]').wait_for()
    await bob.page.locator("#scroll").evaluate("box => { box.scrollTop = 0; }")
    await bob.sees(*texts)


async def test_somebody_is_picked_with_a_click(browser: "Browser", up: Up) -> None:
    """Without ?user= the page asks, and offers the names of the guide."""
    page = await (await browser.new_context()).new_page()
    await page.goto(f"{up.url}/")
    await page.get_by_test_id("user-picker").wait_for()
    await page.get_by_test_id("user-option-user123").click()
    window = Window(page, "user123")
    await eventually(window.is_connected, within=_WITHIN)
    assert page.url.startswith(f"{up.url}/?user=user123")


async def test_everything_can_be_reached_by_keyboard(couple: Couple) -> None:
    """Tab from the address bar: the skip link first, then the controls, with a visible focus."""
    ann, _ = await couple.windows()
    await ann.page.reload()
    await ann.find("composer").wait_for()
    await ann.page.locator("body").evaluate("() => document.activeElement.blur()")
    reached = []
    for _ in range(8):
        await ann.page.keyboard.press("Tab")
        reached.append(await ann.page.evaluate("document.activeElement.id || document.activeElement.dataset.testid"))
    assert {"me", "new-conversation", "scroll", "draft"} <= set(reached)
