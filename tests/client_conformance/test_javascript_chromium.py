"""The JavaScript client in Chromium against every script of `scenarios/`, as on Node."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from client_conformance.chromium_driver import ChromiumPlay, PlayingPage
from client_conformance.judge import failures, scenarios_for
from client_conformance.server import Json
from client_conformance.test_javascript_client import LEFT_OUT
from support.client_page import launched, require_chromium

_PLAYED = [each for each in scenarios_for("frame") if each["name"] not in LEFT_OUT]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page() -> AsyncIterator[PlayingPage]:
    """One browser, and as long as nothing hangs one page, for all scenarios."""
    require_chromium()
    async with launched() as browser:
        yield PlayingPage(browser)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("scenario", _PLAYED, ids=lambda scenario: scenario["name"])
async def test_scenario(scenario: Json, page: PlayingPage) -> None:
    """What the scenario expects, within its bound; its own `why` says what depends on it."""
    found = await failures(ChromiumPlay(scenario, page), has="frame")
    assert not found, "\n".join(found)
