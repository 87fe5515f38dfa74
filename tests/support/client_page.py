"""Pages of a real browser that load the JavaScript client."""

import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from support.page import ARGUMENTS, chromium
from support.up import require

if TYPE_CHECKING:  # not installed everywhere
    from playwright.async_api import Browser, BrowserContext, Page, Route

ADDRESS = "http://127.0.0.1/modules/"
"""Of pages: a secure context, as on https."""


def require_chromium() -> None:
    """Without a browser and its driver the test is skipped, loudly, and fails in CI."""
    require(importlib.util.find_spec("playwright") is not None, "playwright is not installed: pip install playwright")
    require(chromium() is not None, "no chromium here: apt-get install chromium")


@asynccontextmanager
async def launched() -> AsyncIterator["Browser"]:
    """A headless chromium while the context lasts."""
    from playwright.async_api import async_playwright  # not installed everywhere

    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            await browser.close()


async def new_page(browser: "Browser", **folders: Path) -> "Page":
    """An empty page, in a context of its own, that can import the files of the folders from `/modules/NAME/…`."""
    context = await browser.new_context(permissions=["local-network-access"])
    await serve_modules(context, **folders)
    page = await context.new_page()
    await page.goto(ADDRESS)
    return page


async def serve_modules(context: "BrowserContext", **folders: Path) -> None:
    """Let pages of the context be opened at `ADDRESS`, where no server is, and import the files of the folders there."""

    async def answer(route: "Route") -> None:
        name, _, rest = route.request.url.removeprefix(ADDRESS).partition("/")
        if not name:
            await route.fulfill(content_type="text/html", body="<!doctype html><title>client</title>")
        else:
            body = (folders[name] / rest).read_text(encoding="utf-8")
            await route.fulfill(content_type="text/javascript", body=body)

    await context.route(f"{ADDRESS}**", answer)
