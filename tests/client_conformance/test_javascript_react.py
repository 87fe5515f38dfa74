"""The hooks for React of an installed JavaScript client, rendered on Node; the tests are in JavaScript."""

import importlib.util
import shutil
from pathlib import Path

from support.javascript import require_node, require_tool, run
from support.page import ARGUMENTS, chromium
from support.up import require

_TESTS = [Path(__file__).with_name(name) for name in ("javascript_react.test.mjs", "fake_service.mjs")]
_PAGE = Path(__file__).with_name("javascript_react_page.mjs")


def test_hooks(react_application: Path) -> None:
    """A component renders when its own part has changed, and no other one does; a component that is removed is told nothing."""
    for each in _TESTS:
        shutil.copy(each, react_application)
    run(require_node(), "--test", "--test-force-exit", _TESTS[0].name, cwd=react_application)


def test_hooks_are_marked_as_code_of_the_client(react_application: Path) -> None:
    """Frameworks with server components refuse hooks in a module that does not begin with this directive."""
    module = react_application / "node_modules" / "@holdfast" / "client" / "src" / "react.js"
    assert module.read_text(encoding="utf-8").startswith('"use client";\n')


async def test_page_of_a_server_is_hydrated_while_the_client_connects(react_application: Path) -> None:
    """React throws a page away, and renders all of it again, where its first rendering is not what the server has rendered."""
    require(importlib.util.find_spec("playwright") is not None, "playwright is not installed: pip install playwright")
    require(chromium() is not None, "no chromium here: apt-get install chromium")
    from playwright.async_api import async_playwright  # not installed everywhere

    shutil.copy(_PAGE, react_application)
    html = run(require_node(), _PAGE.name, cwd=react_application).strip()
    assert html == "<p>idle</p>"
    script = run(require_tool("esbuild"), _PAGE.name, "--bundle", "--format=iife", "--log-level=error", cwd=react_application)
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS))
        try:
            page = await browser.new_page()
            await page.set_content(f"<main>{html}</main>")
            await page.add_script_tag(content=script)
            await page.get_by_text("connecting").wait_for()
            assert await page.evaluate("[before, mistakes]") == ["connecting", []]
        finally:
            await browser.close()
