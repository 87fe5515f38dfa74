"""The JavaScript client that keeps its messages and sends in IndexedDB: reloads, several tabs, quota, sign-out; in Chromium."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from client_conformance.mutants import Mutant
from client_conformance.persistence_mutants import PERSISTENCE_MUTANTS
from client_conformance.persistence_stories import STORIES, Story, play
from support.client_page import launched, require_chromium
from support.javascript import CLIENT

if TYPE_CHECKING:  # not installed everywhere
    from playwright.async_api import Browser

_SOON = 3.0  # for a client that is expected to fail
_WITHIN = 15.0  # of each step; a send of a tab that has ended is found within 3 s


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator["Browser"]:
    """One for all stories."""
    require_chromium()
    async with launched() as browser:
        yield browser


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_story(story: Story, browser: "Browser") -> None:
    """The story's own docstring says what depends on it."""
    await play(story, browser, CLIENT / "src", _WITHIN)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("mutant", PERSISTENCE_MUTANTS, ids=lambda mutant: mutant.name)
async def test_client_without_a_mechanism_fails_a_story(mutant: Mutant, browser: "Browser", tmp_path: Path) -> None:
    """A story that passes without the mechanism that it is about says nothing."""
    entry = mutant.source(CLIENT / "src", tmp_path)
    (story,) = (each for each in STORIES if each.__name__ == mutant.scenario)
    with pytest.raises(AssertionError):
        await play(story, browser, entry.parent, _SOON)
