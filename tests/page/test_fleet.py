"""The picture of the fleet in a real browser, before a real `holdfast up`: what it shows, and what its buttons do."""

from typing import TYPE_CHECKING

from support.eventually import eventually
from support.page import WITHIN
from support.up import Up

if TYPE_CHECKING:  # not installed everywhere
    from playwright.async_api import Browser, Page


async def _open(browser: "Browser", up: Up) -> tuple["Page", list[str]]:
    page = await browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(f"{up.url}/fleet")
    return page, complaints


async def _comes_to(page: "Page", part: str, state: str) -> None:
    await page.locator(f"[data-testid=part-{part}][data-state={state}]").wait_for(timeout=WITHIN * 1_000)


async def test_parts_are_broken_and_mended_in_the_picture(browser: "Browser", up: Up) -> None:
    """Kill, start, freeze, thaw: each shows within moments, and is written down."""
    page, complaints = await _open(browser, up)
    for part in ("front", "instance-1", "instance-2", "redis"):
        await _comes_to(page, part, "healthy")
    pid = up.pid("instance-2")
    await page.get_by_role("button", name="Kill instance-2").click()
    await _comes_to(page, "instance-2", "gone")
    await page.get_by_role("button", name="Start instance-2").click()
    await _comes_to(page, "instance-2", "healthy")
    assert up.pid("instance-2") != pid
    await page.get_by_role("button", name="Freeze instance-1").click()
    await _comes_to(page, "instance-1", "frozen")
    await page.get_by_role("button", name="Thaw instance-1").click()
    await _comes_to(page, "instance-1", "healthy")
    changes = await page.get_by_test_id("changes").inner_text()
    assert all(each in changes for each in ("instance-2 is told to kill", "instance-2 gone", "instance-1 frozen"))
    assert complaints == []


async def test_a_lost_redis_degrades_the_instances_in_the_picture(browser: "Browser", up: Up) -> None:
    """And the lines to it are cut; they are whole again when it is back."""
    page, _ = await _open(browser, up)
    await _comes_to(page, "instance-1", "healthy")
    assert await page.locator("#lines line.cut").count() == 0
    await page.get_by_role("button", name="Kill redis").click()
    await _comes_to(page, "redis", "gone")
    await _comes_to(page, "instance-1", "degraded")
    assert await page.locator("#lines line.cut").count() > 0
    await page.get_by_role("button", name="Start redis").click()
    await _comes_to(page, "instance-1", "healthy")

    async def is_whole() -> bool:
        return await page.locator("#lines line.cut").count() == 0

    await eventually(is_whole, within=WITHIN)
