"""The package of the JavaScript client: its types, its size, and what an application gets that installs it."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from support.javascript import CLIENT, require_node, require_tool, run
from support.up import Up, require_redis

_GUIDE = Path(__file__).parents[2] / "docs" / "javascript.md"
_README = CLIENT / "README.md"
_ASKED = 'fetch("/session/chat-token", { method: "POST" })'  # of the application's own backend
_JSON = 'headers: { "Content-Type": "application/json" }'
_OPTIONS = ["--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2023,dom,dom.iterable"]


def _blocks(page: Path, language: str = "js") -> str:
    """The page's JavaScript as one module: later blocks use what earlier ones define."""
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))


def _contents(directory: Path) -> dict[str, str]:
    """Path -> text of all files below the directory."""
    paths = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def test_types_are_strict_and_those_that_are_committed(tmp_path: Path) -> None:
    """The declarations are the report of the API: a change of them is seen in a review. `npm run types` writes them."""
    run(require_tool("tsc"), "--project", CLIENT, "--outDir", tmp_path)
    assert _contents(tmp_path) == _contents(CLIENT / "types")


@pytest.mark.parametrize("page", [_GUIDE, _README], ids=lambda page: page.name)
def test_code_of_the_guide_fits_the_types(application: Path, page: Path) -> None:
    """Each block of a page goes on where the one before it ended, and calls nothing that does not exist."""
    module = application / f"{page.stem.lower()}.mjs"
    module.write_text(_blocks(page), encoding="utf-8")
    run(require_tool("tsc"), "--allowJs", "--checkJs", "--noEmit", *_OPTIONS, module, cwd=application)


def test_components_of_the_guide_fit_the_types(react_application: Path) -> None:
    """A reader copies them; they are a module of their own."""
    module = react_application / "guide.jsx"
    module.write_text('const fetchToken = async () => "token";\n' + _blocks(_GUIDE, "jsx"), encoding="utf-8")
    options = [
        "--allowJs",
        "--checkJs",
        "--noEmit",
        "--jsx",
        "react-jsx",
        "--skipLibCheck",
        *_OPTIONS,
        "--noImplicitAny",
        "false",
    ]
    run(require_tool("tsc"), *options, module, cwd=react_application)


async def test_code_of_the_pages_runs(application: Path, tmp_path: Path) -> None:
    """An application that is written like them sends, receives and ends by itself."""
    require_redis()
    up = Up(tmp_path / ".data", 1)
    await up.start()
    try:
        readme = await _printed(application, _blocks(_README).replace("http://localhost:8000", up.url))
        assert "open\n" in readme
        assert "user123 hello\n" in readme
        ask = f'fetch("{up.url}/demo/token", {{ method: "POST", body: JSON.stringify({{ user_id: "user123" }}), {_JSON} }})'
        guide = _blocks(_GUIDE).replace("https://chat.example.com", up.url)
        assert _ASKED in guide
        guide = await _printed(application, guide.replace(_ASKED, ask))
        assert "stored as 2\n" in guide
        assert "0 false\n" in guide
        assert "ended closed\n" in guide
    finally:
        await up.stop()


async def _printed(application: Path, module: str) -> str:
    """What a module of the application prints until it ends by itself."""
    (application / "run.mjs").write_text(module, encoding="utf-8")
    return await asyncio.to_thread(run, require_node(), "run.mjs", cwd=application)


def test_lock_holds_versions_and_hashes_only() -> None:
    """A lock must work with whichever registry an installer is configured for, and with no other content than was locked."""
    text = (CLIENT / "package-lock.json").read_text(encoding="utf-8")
    packages = json.loads(text)["packages"]
    assert "://" not in text, "npm writes `resolved` (not with --omit-lockfile-registry-resolved) and `funding`: take them out"
    assert all(package["integrity"].startswith("sha512-") for name, package in packages.items() if name)
