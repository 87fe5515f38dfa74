"""`docs/guides/add-chat.md` followed to the letter in an empty directory: two users chat in a browser, and an instance dies."""

import importlib.util
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from support.eventually import eventually
from support.guide_cluster import Cluster
from support.guides import ROOT, Block, Reader
from support.page import ARGUMENTS, chromium
from support.up import require

if TYPE_CHECKING:  # not installed everywhere
    from playwright.async_api import Browser, Page

_GUIDE = ROOT / "docs" / "guides" / "add-chat.md"
_OTHERS = {"fastapi": ("server.mjs",), "node": ("backend.py", "backend:app")}
"""Backend -> the words by which the blocks of the other one are known, which its reader leaves out."""


@pytest.fixture
async def browser() -> AsyncIterator["Browser"]:
    """A headless chromium."""
    require(importlib.util.find_spec("playwright") is not None, "playwright is not installed: pip install playwright")
    require(chromium() is not None, "no chromium here: apt-get install chromium")
    from playwright.async_api import async_playwright  # not installed everywhere

    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS))
        yield browser
        await browser.close()


def _is_kill(block: Block) -> bool:
    return block.text.startswith("kill -9")


def _is_of(block: Block, backend: str) -> bool:
    return not _is_kill(block) and not any(word in block.text for word in _OTHERS[backend])


async def _signed_in(browser: "Browser", reader: Reader, user: str, other: str) -> "Page":
    """A window of its own, and the two addresses that the guide names for this user."""
    page = await (await browser.new_context()).new_page()
    links = [reader.here(link) for link in (f"http://localhost:3000/login?user={user}", f"http://localhost:3000/?with={other}")]
    assert all(f"<{link}>" in reader.here(_GUIDE.read_text(encoding="utf-8")) for link in links)
    for link in links:
        await page.goto(link)
    await eventually(lambda: _state(page, "open"))
    return page


async def _state(page: "Page", wanted: str) -> bool:
    return (await page.locator("#state").inner_text()).startswith(wanted)


async def _shown(page: "Page") -> list[str]:
    return await page.locator("#messages li").all_inner_texts()


async def _say(page: "Page", text: str) -> None:
    await page.locator("#text").fill(text)
    await page.get_by_role("button").click()


@pytest.mark.parametrize("backend", sorted(_OTHERS))
async def test_users_chat_through_the_death_of_an_instance(
    backend: str, cluster: Cluster, reader: Reader, browser: "Browser"
) -> None:
    """What the guide builds in a quarter of an hour does what Holdfast is for."""
    await cluster.restore()
    await reader.follow(_GUIDE, lambda block: _is_of(block, backend))
    ann = await _signed_in(browser, reader, "ann", "ben")
    ben = await _signed_in(browser, reader, "ben", "ann")
    before = await _shown(ann)  # of the other backend: the store is the same
    await _say(ann, f"hello by {backend}")
    expected = [*before, f"ann: hello by {backend}"]
    await eventually(lambda: _has(ben, expected))

    states = [await page.locator("#state").inner_text() for page in (ann, ben)]
    assert "open instance-1" in states, "the instance that is killed serves neither of them"
    await reader.follow(_GUIDE, _is_kill)
    await _say(ann, "are you still there?")
    await _say(ben, "yes")
    lines = ["ann: are you still there?", "ben: yes"]
    for page in (ann, ben):
        await eventually(lambda page=page: _state(page, "open instance-2"))  # type: ignore[misc]  # its default is typed by the value
        await eventually(lambda page=page: _ends_with(page, lines))  # type: ignore[misc]  # its default is typed by the value
    said = await _shown(ann)
    assert said[:-2] == expected
    assert await _shown(ben) == said
    assert await ann.locator("#unsent li").count() == 0


async def _has(page: "Page", expected: list[str]) -> bool:
    return await _shown(page) == expected


async def _ends_with(page: "Page", lines: list[str]) -> bool:
    """In either order: both write at once."""
    return sorted((await _shown(page))[-len(lines) :]) == lines
