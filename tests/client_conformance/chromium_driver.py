"""Plays scenarios with the JavaScript client in a real browser: one page plays all of them, one after the other."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from client_conformance.judge import Played
from client_conformance.server import Json, ScriptedServer
from support.client_page import new_page
from support.javascript import CLIENT

if TYPE_CHECKING:  # not installed everywhere
    from playwright.async_api import Browser, Page

_START_SECONDS = 20  # of a page, on a machine that is busy with other tests
_LOAD = """async () => {
  const [client, { play }] = await Promise.all([import('/modules/client/index.js'), import('/modules/tests/scenario.mjs')]);
  window.play = (wanted) => play(client, wanted, { open: window.openGate, log: window.serverLog });
}"""


class PlayingPage:
    """A page that has loaded the client. One scenario at a time is played in it; one that hangs ends the page."""

    def __init__(self, browser: "Browser") -> None:
        self._browser = browser
        self._page: Page | None = None
        self._server: ScriptedServer | None = None
        self._complaints: list[str] = []

    async def load(self) -> None:
        """Open the page where there is none."""
        if self._page is not None:
            return
        async with asyncio.timeout(_START_SECONDS):
            page = await new_page(self._browser, client=CLIENT / "src", tests=Path(__file__).parent)
            page.on("pageerror", lambda error: self._complaints.append(str(error)))
            await page.expose_function("openGate", self._open)
            await page.expose_function("serverLog", self._log)
            await page.evaluate(_LOAD)
        self._page = page

    async def play(self, scenario: Json, server: ScriptedServer) -> Json:
        """What came of it, as a driver's last line has it.

        Raises:
            TimeoutError: it takes longer than `within_seconds`.
            AssertionError: an error of the page that nothing caught.
        """
        assert self._page is not None, "load first"
        page, self._page, self._server = self._page, None, server
        self._complaints.clear()
        try:
            async with asyncio.timeout(scenario.get("within_seconds", 5)):
                played: Json = await page.evaluate("(wanted) => window.play(wanted)", {"scenario": scenario, "port": server.port})
            assert not self._complaints, self._complaints
        except BaseException:
            await page.context.close()
            raise
        self._page = page
        return played

    def _open(self, gate: str) -> None:
        assert self._server is not None
        self._server.gate(gate).set()

    def _log(self) -> list[Json]:
        assert self._server is not None
        return self._server.log


class ChromiumPlay(Played):
    """Played in a page of another origin than the server's, as most pages are."""

    def __init__(self, scenario: Json, page: PlayingPage) -> None:
        super().__init__(scenario)
        self._page = page

    async def run(self, server: ScriptedServer) -> None:
        """Within the scenario's bound, which begins when the page is there.

        Raises:
            TimeoutError: it takes longer than `within_seconds`, or than a start may take.
            AssertionError: an error of the page that nothing caught.
        """
        await self._page.load()
        for name, value in (await self._page.play(self.scenario, server)).items():
            setattr(self, name, value)
