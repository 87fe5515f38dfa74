"""README.md followed to the letter: its blocks and the commands of its scenarios, typed into terminals, with wscat from npm.

Ports are those that are free here, and `redis-cli` gets the `-p` that `holdfast up` prints; nothing else is changed.
"""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from holdfast.launcher.redis import program
from support.eventually import eventually
from support.terminal import Terminal
from support.up import Up, require, require_redis

_README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
_INSTALL_SECONDS = 120


@pytest.fixture(scope="module")
def wscat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the program `wscat`, installed by npm into a temporary folder."""
    require(shutil.which("npm") is not None, "no npm here (it brings wscat): apt-get install npm")
    folder = tmp_path_factory.mktemp("npm")
    command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), "wscat@^6"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False)
        outcome = done.stderr[-500:] if done.returncode else ""
    except subprocess.TimeoutExpired:
        outcome = f"not done after {_INSTALL_SECONDS} s"
    require(not outcome, f"npm cannot install wscat: {outcome}")
    return folder / "node_modules" / ".bin"


class Reader:
    """A reader with the README, a checkout and terminals."""

    def __init__(self, up: Up, directory: Path, wscat: Path) -> None:
        self.up = up
        self._directory = directory
        self._environ = {**os.environ, "PATH": f"{wscat}:{os.environ['PATH']}"}
        self._terminals: list[Terminal] = []

    def terminal(self) -> Terminal:
        """Another one, in the checkout."""
        self._terminals.append(Terminal(self._directory, self._environ))
        return self._terminals[-1]

    def here(self, text: str) -> str:
        """With the ports of this machine."""
        printed = re.search(r"^ +redis +(.+)$", self.up.output, re.MULTILINE)
        assert printed is not None
        text = re.sub(r"\b80(0[0-2])\b", lambda port: str(self.up.port + int(port[1])), text)
        return re.sub(r"\bredis-cli\b", lambda _: printed[1], text)

    def blocks(self, heading: str) -> list[str]:
        """The shell blocks of a section."""
        section = _README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        return [self.here(block) for block in re.findall(r"```bash\n(.*?)```", section, re.DOTALL)]

    def scenario(self, number: int) -> list[str]:
        """The commands of a row of the scenarios: what stands as code and is more than a word."""
        row = re.search(rf"^\| {number} \| .*$", _README, re.MULTILINE)
        assert row is not None
        return [self.here(code) for code in row[0].split("`")[1::2] if " " in code]

    async def printed(self, part: str, what: str) -> None:
        """Run the command that `holdfast up` prints to `kill`, `stop` or `start` a part."""
        section = self.up.output.partition(f"\n  {part}  ")[2]
        command = re.search(rf"^ +{what} +(.+)$", section, re.MULTILINE)
        assert command is not None
        seen = self.up.output.count(f"{part} is ")
        if what == "start":
            self.terminal().type(command[1])
        else:
            await self.terminal().run(command[1])
        await eventually(lambda: self.up.output.count(f"{part} is ") > seen, within=60)

    def close(self) -> None:
        """Close all windows."""
        for terminal in self._terminals:
            terminal.close()


@pytest.fixture
async def reader(tmp_path: Path, wscat: Path) -> AsyncIterator[Reader]:
    """With a cluster that runs."""
    require_redis()
    require(shutil.which("curl") is not None, "no curl here: apt-get install curl")
    require(shutil.which("redis-cli") is not None or program("redis-cli") is not None, "no redis-cli here")
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    up = Up(tmp_path / ".data")
    await up.start()
    found = Reader(up, tmp_path, wscat)
    yield found
    found.close()
    await up.stop()


async def _conversation(reader: Reader) -> tuple[Terminal, Terminal]:
    """*A first conversation*, up to its first message; the two terminals."""
    one, two = reader.terminal(), reader.terminal()
    first, second, _ = reader.blocks("A first conversation")
    one.type(first)
    await one.shows('"conversation_id":"team-42"')
    await one.shows('"type":"synced"')
    two.type(second)
    await two.shows('"type":"ack"')
    await one.shows('"type":"message".*"body":"hello"')
    return one, two


@pytest.mark.timeout(180)
async def test_the_first_conversation(reader: Reader) -> None:
    """The first five minutes with Holdfast: every line works as it is written."""
    one, two = await _conversation(reader)
    _, second, third = reader.blocks("A first conversation")
    await two.prompt()
    two.type(second)
    await two.shows('"type":"ack".*"duplicate":true')
    await two.prompt()
    two.type(third)
    await two.shows('"seq":2')
    await one.shows('"body":"hello over REST"')
    assert one.text.count('"body":"hello"') == 1


@pytest.mark.timeout(300)
async def test_the_scenarios(reader: Reader) -> None:
    """Each row of *Testing high availability* but the load test: what is typed, and what is seen."""
    for terminal in await _conversation(reader):
        terminal.interrupt()
    connect_a, connect_b, functions, *_ = reader.blocks("Testing high availability")
    a, b, shell = reader.terminal(), reader.terminal(), reader.terminal()
    await shell.run(functions)
    await _scenarios_1_to_4(reader, a, b, shell, connect_a, connect_b)
    await _scenarios_5_and_6(reader, a, b, shell, connect_a)
    await _scenarios_7_to_10(reader, a, b, shell, connect_a, connect_b)


async def _scenarios_1_to_4(reader: Reader, a: Terminal, b: Terminal, shell: Terminal, connect_a: str, connect_b: str) -> None:
    connections, channels, presence = reader.scenario(1)
    a.type(connect_a)
    await a.shows('"type":"synced"')
    assert "instance-1" in await shell.run(connections)
    assert "conversation:team-42" in await shell.run(channels)
    assert '"online":true' in await shell.run(presence)

    monitor_command, send, messages = reader.scenario(2)
    b.type(connect_b)
    await b.shows('"type":"synced"')
    monitor = reader.terminal()
    monitor.type(monitor_command)
    await monitor.shows("OK")
    await shell.run(send)
    await b.shows('"type":"message".*"body":"two"')
    await monitor.shows(r'(?i)"publish" "conversation:team-42"')
    monitor.interrupt()
    assert '"body":"two"' in await shell.run(messages)

    read, messages = reader.scenario(3)
    await shell.run(read)
    await a.shows('"type":"receipt".*"user_id":"user456".*"message_id":"000000000001"')
    await eventually(lambda: _has(shell, messages, r'"read_by":\["user456"\]'), within=20)

    (typing,) = reader.scenario(4)
    await shell.run(typing)
    await b.shows('"type":"typing".*"user_id":"user123".*"active":true.*"expires_in_ms":6000')


async def _has(shell: Terminal, command: str, pattern: str) -> bool:
    return re.search(pattern, await shell.run(command)) is not None


async def _scenarios_5_and_6(reader: Reader, a: Terminal, b: Terminal, shell: Terminal, connect_a: str) -> None:
    send, again, connections = reader.scenario(5)
    await reader.printed("instance-1", "kill")
    await shell.run(send)
    a.type("A=$(.venv/bin/holdfast token user123)\n" + again)
    await a.shows('"body":"five"')
    await eventually(lambda: _has(shell, connections, "instance-2"), within=20)
    await reader.printed("instance-1", "start")
    await a.prompt()
    a.type(connect_a)
    await a.shows('"type":"synced"')

    send, health = reader.scenario(6)
    await reader.printed("redis", "stop")
    await shell.run(send)
    await b.shows('"body":"six"')
    await eventually(lambda: _has(shell, health, '"degraded".*"disconnected"'), within=20)
    await reader.printed("redis", "start")
    await eventually(lambda: _has(shell, health, '"status":"healthy"'), within=30)


async def _scenarios_7_to_10(reader: Reader, a: Terminal, b: Terminal, shell: Terminal, connect_a: str, connect_b: str) -> None:
    *_, presence = reader.scenario(1)
    await b.prompt()
    offline = presence.replace("user123", "user456")
    await eventually(lambda: _has(shell, offline, '"online":false'), within=40)
    send, log, *_ = reader.scenario(7)
    await shell.run(send)
    notified = r"offline notification user='user456'"
    await eventually(lambda: _has(shell, log, notified), within=20)
    said = await shell.run(log)
    assert len(re.findall(notified, said)) == 1
    assert "filtered out of offline notifications: active connection users='user123'" in said

    send, count = reader.scenario(8)
    other = reader.terminal()
    other.type(connect_a.replace(str(reader.up.port + 1), str(reader.up.port + 2)))
    await other.shows('"type":"synced"')
    await shell.run(send)
    await asyncio.gather(a.shows('"body":"eight"'), other.shows('"body":"eight"'))
    await eventually(lambda: _has(shell, count, r"(?m)^\(integer\) 2|^2$"), within=20)
    other.interrupt()
    await eventually(lambda: _has(shell, count, r"(?m)^\(integer\) 1|^1$"), within=20)

    typing, read, *_ = reader.scenario(9)
    b.type(connect_b)
    await b.shows('"type":"synced"')
    assert '"expires_in_ms":6000' in await shell.run(typing)
    await b.shows('"type":"typing".*"user_id":"user123"')
    assert '"seq"' in await shell.run(read)
    await a.shows('"type":"receipt".*"user_id":"user456"')

    (health,) = reader.scenario(10)
    assert '"status":"healthy"' in await shell.run(health)
