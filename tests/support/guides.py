"""The guides of `docs/guides` as their reader follows them: in the page's order files are written, commands typed, programs run.

The first word behind a fence says what a block is:

* `bash`: typed into the reader's terminal, which begins in a checkout. `bash background`: typed into a terminal of its own, which
  stays open until the page's end. One that ends in `make run` starts the cluster: it runs already, with the settings of all.
* `js`, `python`: the blocks of a page are one module each, run where its last block is. One that begins with a comment which is
  the name of a file is that file, whatever its language.
* `text`: the output of the block before it; `…` stands for anything within a line.
"""

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from support.javascript import TOOLS, require_node
from support.terminal import Terminal

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted((ROOT / "docs" / "guides").glob("*.md"))

_FENCED = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"(?:#|//|<!--|/\*) ([\w./-]+\.\w+)(?: -->| \*/)?\n")
_START = re.compile(r"make run\s*$")
_SECONDS = 60
_MARK = "\x1e"
_SUFFIXES: Final = {"js": ".mjs", "python": ".py"}
_MODULES: Final = {
    "js": f"\nconsole.log({json.dumps(_MARK)});\n",
    "python": f"\nprint({json.dumps(_MARK)})\n",
}
"""Language -> the statement behind each block that divides the output."""

_TOP_LEVEL_AWAIT = """
import ast, asyncio, inspect, sys
code = compile(sys.stdin.read(), "guide", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
names = {"__name__": "__main__"}
async def main():
    answer = eval(code, names)
    if inspect.isawaitable(answer):
        await answer
asyncio.run(main())
"""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. `expected`: its output, where the page shows it."""

    language: str
    is_background: bool
    text: str
    expected: str | None

    @property
    def file(self) -> str | None:
        """The name of the file that this is."""
        named = _FILE.match(self.text)
        return named[1] if named else None

    @property
    def starts_cluster(self) -> bool:
        """Whether it starts the cluster."""
        return self.is_background and _START.search(self.text) is not None

    @property
    def settings(self) -> dict[str, str]:
        """Of the cluster that it starts."""
        words = shlex.split(self.text)
        return dict(word.split("=", 1) for word in words if re.match(r"HOLDFAST_\w+=", word))


def blocks(page: Path) -> list[Block]:
    """All of a page, in order."""
    found: list[Block] = []
    for line, text in _FENCED.findall(page.read_text(encoding="utf-8")):
        language, *options = line.split()
        if language == "text":
            found[-1] = Block(found[-1].language, found[-1].is_background, found[-1].text, text)
            continue
        block = Block(language, options == ["background"], text, None)
        is_known = options in ([], ["background"]) and (language in ("bash", *_MODULES) or block.file is not None)
        assert is_known, f"{page.name}: the runner does not know this block: {line}"
        found.append(block)
    return found


def settings_of(pages: Iterable[Path]) -> dict[str, str]:
    """Of the one cluster that serves all guides."""
    wanted: dict[str, str] = {}
    for block in (block for page in pages for block in blocks(page) if block.starts_cluster):
        for name, value in block.settings.items():
            assert wanted.setdefault(name, value) == value, f"two guides start the cluster with another {name}"
    return wanted


def on_ports(text: str, ports: dict[int, int]) -> str:
    """With other ports than a guide has."""
    return re.sub(r"\b\d{4}\b", lambda port: str(ports.get(int(port[0]), port[0])), text)


def matches(expected: str, output: str) -> bool:
    """Whether the output is what the page shows."""
    pattern = ".*".join(re.escape(part) for part in expected.strip().split("…"))
    return re.fullmatch(pattern, output.strip()) is not None


class Reader:
    """A reader with a checkout and terminals. `close` ends what they run."""

    def __init__(self, directory: Path, ports: dict[int, int]) -> None:
        """`directory`: has the checkout as `holdfast`. `ports`: of the guide -> of this machine."""
        require_node()
        self._directory = directory
        self._ports = ports
        environ = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
        self._environ = {**environ, "PATH": f"{TOOLS}:{environ['PATH']}"}
        self._terminals: list[Terminal] = []

    async def follow(self, page: Path, is_wanted: Callable[[Block], bool] = lambda _: True) -> None:
        """From the first block to the last. `is_wanted`: where a page leaves a choice to its reader."""
        all_of_page = [block for block in blocks(page) if is_wanted(block)]
        terminal = self._terminal(self._directory / "holdfast")
        modules: dict[str, list[Block]] = {}
        for index, block in enumerate(all_of_page):
            if block.file is not None:
                await self._write(block, terminal)
            elif block.language in _MODULES:
                modules.setdefault(block.language, []).append(block)
                if not any(later.language == block.language and later.file is None for later in all_of_page[index + 1 :]):
                    await self._run(block.language, modules[block.language], terminal)
            elif block.is_background:
                await self._leave(block, terminal)
            else:
                await self._type(block, terminal)

    def here(self, text: str) -> str:
        """With the ports of this machine."""
        return on_ports(text, self._ports)

    def close(self) -> None:
        """Close all windows."""
        for terminal in self._terminals:
            terminal.close()

    def _terminal(self, directory: Path) -> Terminal:
        self._terminals.append(Terminal(directory, self._environ))
        return self._terminals[-1]

    async def _where(self, terminal: Terminal) -> Path:
        return Path((await terminal.run("pwd")).strip())

    async def _write(self, block: Block, terminal: Terminal) -> None:
        path = await self._where(terminal) / str(block.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.here(block.text), encoding="utf-8")

    async def _type(self, block: Block, terminal: Terminal) -> None:
        output = await terminal.run(f"{self.here(block.text).rstrip()}\necho status $?", _SECONDS)
        printed, _, status = output.rpartition("status ")
        assert status.strip() == "0", f"{block.text}\n{output}"
        self._compare(block, printed)

    async def _leave(self, block: Block, terminal: Terminal) -> None:
        """In a terminal of its own, at the same place."""
        if block.starts_cluster:
            return
        another = self._terminal(await self._where(terminal))
        another.type(self.here(block.text))
        if block.expected is not None:
            await another.shows(".*".join(re.escape(part) for part in self.here(block.expected).strip().split("…")), _SECONDS)

    async def _run(self, language: str, module: list[Block], terminal: Terminal) -> None:
        """In the reader's terminal: what was exported there counts."""
        directory = await self._where(terminal)
        source = directory / f"guide{_SUFFIXES[language]}"
        source.write_text(self.here("".join(block.text + _MODULES[language] for block in module)), encoding="utf-8")
        program = f"node {source}" if language == "js" else f"{sys.executable} -c {shlex.quote(_TOP_LEVEL_AWAIT)} < {source}"
        status = await terminal.run(f"{program} > guide.out 2> guide.err\necho status $?", _SECONDS)
        printed, complaints = ((directory / name).read_text(encoding="utf-8") for name in ("guide.out", "guide.err"))
        assert status.strip() == "status 0", f"{printed[-2000:]}\n{complaints[-3000:]}"
        for block, output in zip(module, printed.split(_MARK), strict=False):
            self._compare(block, output)

    def _compare(self, block: Block, printed: str) -> None:
        if block.expected is not None:
            expected = self.here(block.expected)
            assert matches(expected, printed), f"{block.text}\n--- the page shows\n{expected}\n--- printed\n{printed}"
