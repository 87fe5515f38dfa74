"""The stores of the JavaScript client: the same contract for that in memory and that in IndexedDB, in Chromium."""

import gzip
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from support.client_page import launched, new_page, require_chromium
from support.javascript import CLIENT, require_tool

if TYPE_CHECKING:  # not installed everywhere
    from playwright.async_api import Page

_HERE = Path(__file__).parent
_NAMES = re.findall(r"^export async function (\w+)", (_HERE / "store_contract.mjs").read_text(encoding="utf-8"), re.MULTILINE)
_MOST_BYTES = 4_700  # with the parts that a bundle of the whole client has anyway
_CHECK = "async ([kind, name]) => (await import('/modules/tests/store_page.mjs')).check(kind, name)"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page() -> AsyncIterator["Page"]:
    """One page for all: each test has a user of its own."""
    require_chromium()
    async with launched() as browser:
        yield await new_page(browser, client=CLIENT / "src", tests=_HERE)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("kind", ["memory", "indexeddb"])
@pytest.mark.parametrize("name", _NAMES)
async def test_contract(page: "Page", kind: str, name: str) -> None:
    """What the next client finds is what the one before it left."""
    await page.evaluate(_CHECK, [kind, name])


@pytest.mark.asyncio(loop_scope="module")
async def test_newest_messages_of_the_conversations_that_moved_last_are_kept(page: "Page") -> None:
    """The database is bounded, and no cursor is lost by that."""
    bounds = await page.evaluate("async () => (await import('/modules/tests/store_page.mjs')).bounds()")
    assert bounds == {"cursors": 120, "kept": [0] * 20 + [1] * 99 + [200]}


def test_indexeddb_store_is_small() -> None:
    """A page that keeps nothing does not load it; others load it before their first message."""
    options = ["--bundle", "--minify", "--format=esm", "--target=es2022", "--log-level=error"]
    command = [require_tool("esbuild"), CLIENT / "src" / "indexeddb.js", *options]
    bundle = subprocess.run(command, capture_output=True, timeout=60, check=True).stdout
    assert len(gzip.compress(bundle, 9)) <= _MOST_BYTES
