"""The dashboards over a range of time, as Grafana's own components draw them in Chromium."""

import asyncio
import shutil
import subprocess
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from support.dashboards.files import DASHBOARDS
from support.dashboards.panels import Dashboard
from support.page import ARGUMENTS, chromium
from support.pictures.scene import Ranges
from support.prometheus import Prometheus

SOURCE = Path(__file__).with_name("page")
_STEP_SECONDS = 2.0
_RATE_SECONDS = 20
_ANNOTATION_STEP_SECONDS = 60.0  # Grafana's own, whatever the range
_WIDTH, _HEIGHT = 1_460, 800

Series = list[dict[str, Any]]


def build(directory: Path) -> None:
    """The page, with what it is made of from npm: half a minute the first time."""
    shutil.copytree(SOURCE, directory, dirs_exist_ok=True)
    subprocess.run(["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"], cwd=directory, check=True)
    subprocess.run(["npm", "run", "--silent", "build"], cwd=directory, check=True)


async def draw(scene: Path, page: Path, pictures: Path, ranges: Ranges) -> dict[str, list[str]]:
    """`{dashboard}-{range}.png` of all of them; returns which panels were empty in each."""
    prometheus = await Prometheus(scene, {}, scrape_seconds=60).start()
    try:
        async with async_playwright() as driver:
            browser = await driver.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS))
            found = {}
            for name, between in ranges.items():
                for dashboard in DASHBOARDS:
                    picture = pictures / f"{dashboard.name}-{name}.png"
                    arguments = await _arguments(prometheus, dashboard, between)
                    found[picture.name] = await _draw(browser, page, arguments, picture)
            return found
    finally:
        prometheus.close()


async def _arguments(prometheus: Prometheus, dashboard: Dashboard, between: tuple[float, float]) -> list[Any]:
    """Of the function `draw` of the page."""
    made = dashboard.as_json()
    answers = {panel["id"]: await _answers(prometheus, panel, between) for panel in made["panels"] if panel["type"] != "row"}
    marks = [mark for each in dashboard.annotations if "expr" in each for mark in await _marks(prometheus, each, between)]
    return [made, answers, marks, 1000 * _STEP_SECONDS, *(1000 * at for at in between)]


async def _draw(browser: Browser, directory: Path, arguments: list[Any], picture: Path) -> list[str]:
    page = await browser.new_page(viewport={"width": _WIDTH, "height": _HEIGHT})
    try:
        await page.goto((directory / "index.html").resolve().as_uri())
        await page.evaluate("arguments => window.draw(...arguments)", arguments)
        await page.wait_for_selector("[data-testid=panel]")
        await page.wait_for_timeout(1_000)  # canvases are drawn in frames of their own
        await page.screenshot(path=picture, full_page=True)
        await asyncio.to_thread(subprocess.run, ["node", "shrink.cjs", picture.resolve()], cwd=directory, check=True)
        return await _empty(page)
    finally:
        await page.close()


async def _answers(prometheus: Prometheus, panel: dict[str, Any], between: tuple[float, float]) -> list[Series]:
    chosen = {"__rate_interval": f"{_RATE_SECONDS}s", "__range": f"{between[1] - between[0]:.0f}s"}
    return [await prometheus.query_range(target["expr"], *between, step=_STEP_SECONDS, **chosen) for target in panel["targets"]]


async def _marks(prometheus: Prometheus, annotation: dict[str, Any], between: tuple[float, float]) -> list[dict[str, Any]]:
    """As Grafana makes them of a query: one where values above 0 begin."""
    step = _ANNOTATION_STEP_SECONDS
    first = between[0] // step * step
    marks = []
    for series in await prometheus.query_range(annotation["expr"], first, between[1], step=step):
        at = -step
        for moment, text in series["values"]:
            if float(text) > 0 and moment > at + step and moment >= between[0]:
                marks.append({"name": annotation["name"], "color": annotation["iconColor"], "at": 1000 * moment})
            at = moment if float(text) > 0 else at
    return marks


async def _empty(page: Page) -> list[str]:
    found = page.locator("[data-testid=panel][data-empty=true]")
    return [str(await each.get_attribute("data-title")) for each in await found.all()]
