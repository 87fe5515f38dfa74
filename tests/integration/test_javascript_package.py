"""The package of the JavaScript client: its types, its size, and what an application gets that installs it."""

import asyncio
import gzip
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support.javascript import CLIENT, require_node, require_tool
from support.up import Up, require, require_redis

_SECONDS = 60
_MOST_BYTES = 12_120  # of the whole client, bundled, minified and compressed: it only falls
_GUIDE = Path(__file__).parents[2] / "docs" / "javascript.md"
_README = CLIENT / "README.md"
_ASKED = 'fetch("/session/chat-token", { method: "POST" })'  # of the application's own backend
_JSON = 'headers: { "Content-Type": "application/json" }'
_OPTIONS = ["--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2023,dom,dom.iterable"]


def _run(*command: str | Path, cwd: Path = CLIENT) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=_SECONDS, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def _blocks(page: Path) -> str:
    """The page's JavaScript as one module: later blocks use what earlier ones define."""
    return "\n".join(re.findall(r"^```js\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with nothing but the packed client in its node_modules, and with a `package.json`."""
    npm = shutil.which("npm")
    require(npm is not None, "no npm here: apt-get install npm")
    require_node()
    directory = tmp_path_factory.mktemp("application")
    packed = json.loads(_run(str(npm), "pack", "--json", "--silent", "--pack-destination", directory))
    tarball = directory / packed[0]["filename"]
    shutil.unpack_archive(tarball, directory / "unpacked", "gztar", filter="data")
    (directory / "node_modules" / "@holdfast").mkdir(parents=True)
    (directory / "unpacked" / "package").rename(directory / "node_modules" / "@holdfast" / "client")
    (directory / "package.json").write_text('{"type": "module", "private": true}', encoding="utf-8")
    return directory


def test_types_are_strict_and_those_that_are_committed(tmp_path: Path) -> None:
    """The declarations are the report of the API: a change of them is seen in a review. `npm run types` writes them."""
    _run(require_tool("tsc"), "--project", CLIENT, "--outDir", tmp_path)
    written = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_text(encoding="utf-8") for path in (CLIENT / "types").iterdir()}


def test_client_is_small() -> None:
    """A page loads it before its first message."""
    sources = require_tool("esbuild"), CLIENT / "src" / "index.js"
    bundle = _run(*sources, "--bundle", "--minify", "--format=esm", "--target=es2022", "--log-level=error")
    assert len(gzip.compress(bundle.encode(), 9)) <= _MOST_BYTES


def test_packed_client_is_imported_by_an_empty_application(application: Path) -> None:
    """The package has what it needs and depends on nothing."""
    (application / "import.js").write_text('import * as all from "@holdfast/client"; console.log(Object.keys(all).join());\n')
    names = _run(require_node(), "import.js", cwd=application).strip()
    assert names == "Client,ClientStopped,RestFailed,SendFailed,Unauthorized,memoryStore"
    described = json.loads((application / "node_modules" / "@holdfast" / "client" / "package.json").read_text(encoding="utf-8"))
    assert not {"dependencies", "optionalDependencies", "peerDependencies", "bundleDependencies"} & set(described)


@pytest.mark.parametrize("page", [_GUIDE, _README], ids=lambda page: page.name)
def test_code_of_the_guide_fits_the_types(application: Path, page: Path) -> None:
    """Each block of a page goes on where the one before it ended, and calls nothing that does not exist."""
    module = application / f"{page.stem.lower()}.mjs"
    module.write_text(_blocks(page), encoding="utf-8")
    _run(require_tool("tsc"), "--allowJs", "--checkJs", "--noEmit", *_OPTIONS, module, cwd=application)


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
    return await asyncio.to_thread(_run, require_node(), "run.mjs", cwd=application)


def test_lock_holds_versions_and_hashes_only() -> None:
    """A lock must work with whichever registry an installer is configured for, and with no other content than was locked."""
    packages = json.loads((CLIENT / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert all("resolved" not in package for package in packages.values())
    assert all(package["integrity"].startswith("sha512-") for name, package in packages.items() if name)
