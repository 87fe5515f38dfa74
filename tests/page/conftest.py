"""One cluster for each file of these tests, and a browser for each test."""

import asyncio
import contextlib
import importlib.util
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest

from support.page import ARGUMENTS, Couple, chromium
from support.up import Up, require, require_redis

if TYPE_CHECKING:  # not installed everywhere
    from playwright.async_api import Browser


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One cluster for all tests of this file; each restores what it has killed."""
    require(importlib.util.find_spec("playwright") is not None, "playwright is not installed: pip install playwright")
    require(chromium() is not None, "no chromium here: apt-get install chromium")
    require_redis()
    cluster = Up(tmp_path_factory.mktemp("page") / "data")
    asyncio.run(cluster.start())
    yield cluster
    asyncio.run(cluster.stop())


@pytest.fixture
async def browser(up: Up) -> AsyncIterator["Browser"]:
    """A headless chromium; the cluster is whole again before each test."""
    from playwright.async_api import async_playwright  # not installed everywhere

    await up.restore()
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            with contextlib.suppress(Exception):
                await browser.close()


@pytest.fixture
async def couple(browser: "Browser", up: Up) -> Couple:
    """Two users of this test alone."""
    return Couple(browser, up)
