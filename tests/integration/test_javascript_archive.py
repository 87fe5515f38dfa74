"""The archive of the JavaScript client that npm would publish: what is in it, and what tools of applications make of it."""

import gzip
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from support.javascript import CLIENT, described, module_of, require_node, require_tool, run, subpaths

_REPORT = Path(__file__).with_name("javascript_report.mjs")
_LICENSE = Path(__file__).parents[2] / "LICENSE"
_NAMES = {
    ".": "Client,ClientStopped,RestFailed,SendFailed,Unauthorized,memoryStore",
    "./view": "ChatView",
    "./react": "HoldfastProvider,useConnection,useConversation,useConversations,useOutbox,usePresence,useView",
}
"""The exports of modules, by subpath: the rest is in `types`."""

_MOST_BYTES = {".": 12_750, "./view": 5_100, "./react": 800}
_MOST_BYTES_OF_OTHERS = 5_000
"""What a page loads of each module alone, bundled without React, minified and compressed. These numbers only fall."""

_RUN_AT_AN_INSTALL = {"preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare", "postprepare"}
_RESOLUTIONS = {"node16": "--skipLibCheck", "nodenext": "--skipDefaultLibCheck", "bundler": "--skipLibCheck"}
"""`moduleResolution` of TypeScript -> which declarations are not checked: ours need it once only."""


def _tracked() -> set[str]:
    """The files of `src` and `types` that git has, and those that would be committed."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "src", "types"]
    done = subprocess.run(command, cwd=CLIENT, capture_output=True, check=True, text=True)
    return {name for name in done.stdout.split("\0") if name and (CLIENT / name).exists()}


def test_archive_holds_modules_with_their_types_and_nothing_else(client_archive: Path) -> None:
    """Tests, tools and files that lie about in a checkout are nothing for an application."""
    with tarfile.open(client_archive) as archive:
        names = {member.name.removeprefix("package/") for member in archive if member.isfile()}
        modules = {name.removeprefix("src/").removesuffix(".js") for name in names if name.startswith("src/")}
        types = {name.removeprefix("types/").removesuffix(".d.ts") for name in names if name.startswith("types/")}
        assert archive.extractfile("package/LICENSE").read() == _LICENSE.read_bytes()  # type: ignore[union-attr]  # it is a file
    assert names == _tracked() | {"LICENSE", "README.md", "package.json"}
    assert modules == types


def test_package_runs_nothing_at_its_install_and_brings_nothing_along(application: Path) -> None:
    """An application would have to trust that, too. A peer that is optional is the application's own."""
    package = described(application / "node_modules" / "@holdfast" / "client")
    assert not _RUN_AT_AN_INSTALL & set(package["scripts"])
    assert not {"dependencies", "optionalDependencies", "bundleDependencies", "bundledDependencies"} & set(package)
    peers = package.get("peerDependencies", {})
    assert {name: {"optional": True} for name in peers} == package.get("peerDependenciesMeta", {})
    installed = [path.name for path in (application / "node_modules").iterdir() if not path.name.startswith(".")]
    assert installed == ["@holdfast"]


def test_checkers_of_packages_find_nothing(client_archive: Path) -> None:
    """publint: files and formats are what `exports` says. attw: TypeScript resolves what Node resolves."""
    script = _REPORT.read_text(encoding="utf-8")
    report = json.loads(run(require_node(), "--input-type=module", "-", client_archive, text=script))
    assert report == {"linted": [], "problems": [], "entries": list(described()["exports"])}


@pytest.fixture
def home(request: pytest.FixtureRequest, subpath: str) -> Path:
    """An application that has what it needs for one of the modules: of the others none needs React."""
    name = "react_application" if subpath == "./react" else "application"
    return request.getfixturevalue(name)  # type: ignore[no-any-return]  # both are paths


@pytest.mark.parametrize("subpath", subpaths())
def test_module_is_imported_by_an_application_that_has_nothing_else(home: Path, subpath: str) -> None:
    """The package has what each of its modules needs; React is the application's own."""
    script = f'import * as all from "{module_of(subpath)}"; console.log(Object.keys(all).join());'
    names = run(require_node(), "--input-type=module", "-", cwd=home, text=script).strip()
    assert names
    assert names == _NAMES.get(subpath, names)


def test_module_that_is_not_exported_is_not_found(application: Path) -> None:
    """Otherwise an application would depend on the way in which the client is divided into modules."""
    script = 'import("@holdfast/client/src/engine.js").catch((error) => console.log(error.code));'
    assert run(require_node(), "--input-type=module", "-", cwd=application, text=script) == "ERR_PACKAGE_PATH_NOT_EXPORTED\n"


@pytest.mark.parametrize("resolution", _RESOLUTIONS)
def test_types_of_each_module_are_strict(react_application: Path, resolution: str) -> None:
    """An application that checks the declarations of its dependencies, too, finds no mistake, and its own mistakes."""
    lines = [f'import * as module{at} from "{module_of(subpath)}";' for at, subpath in enumerate(subpaths())]
    lines += [f"// @ts-expect-error\nexport const no{at}: number = module{at};" for at, _ in enumerate(lines)]
    lines += ["// @ts-expect-error\nnew module0.Client({ urls: [] });", 'new module0.Client({ urls: ["a"], token: "b" });']
    program = react_application / f"types-{resolution}.mts"
    program.write_text("\n".join(lines), encoding="utf-8")
    options = ["--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess", "--verbatimModuleSyntax", "--noEmit"]
    module = "esnext" if resolution == "bundler" else resolution
    where = [
        _RESOLUTIONS[resolution],
        "--target",
        "es2022",
        "--lib",
        "es2023,dom,dom.iterable",
        "--module",
        module,
        "--moduleResolution",
        resolution,
    ]
    run(require_tool("tsc"), *options, *where, program, cwd=react_application)


@pytest.mark.parametrize("subpath", subpaths())
def test_module_is_bundled_for_a_page(home: Path, subpath: str) -> None:
    """A page is served one file, and loads it before its first message. A module that is not used is left out."""
    name = module_of(subpath)
    bundle = _bundled(home, f'export * from "{name}";')
    assert 500 < len(gzip.compress(bundle.encode(), 9)) <= _MOST_BYTES.get(subpath, _MOST_BYTES_OF_OTHERS)
    assert _bundled(home, f'import "{name}";') == ""


def _bundled(home: Path, script: str) -> str:
    options = ["--bundle", "--minify", "--format=esm", "--target=es2022", "--external:react", "--log-level=error"]
    return run(require_tool("esbuild"), *options, cwd=home, text=script)
