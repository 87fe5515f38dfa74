"""People in windows of a real browser, before a real `holdfast up`.

Browser and driver are not part of Holdfast: where chromium or playwright is missing the tests are skipped with the reason, and
fail when CI=true.
"""

import secrets
import shutil
from typing import TYPE_CHECKING

from support.eventually import eventually
from support.up import Up

if TYPE_CHECKING:  # not installed everywhere
    from playwright.async_api import Browser, Locator, Page

ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync")
PHONE = (360, 640)
WITHIN = 15.0


def chromium() -> str | None:
    """The browser's program."""
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
        await eventually(self.is_connected, within=WITHIN)
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
            await eventually(is_so, within=WITHIN)
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

    async def window(self, user: str, size: tuple[int, int] = (1_100, 720), before: str | None = None) -> Window:
        """A window of its own browser context; `before`: a script that runs before the page's own."""
        context = await self._browser.new_context(viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce")
        if before is not None:
            await context.add_init_script(before)
        window = Window(await context.new_page(), user)
        await window.page.goto(f"{self._up.url}/?user={user}")
        await eventually(window.is_connected, within=WITHIN)
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
