"""Plays a scenario with a driver in another language, which is a program that reads and prints lines of JSON; see README.md."""

import asyncio
import contextlib
import json
from pathlib import Path

from client_conformance.judge import Played
from client_conformance.server import Json, ScriptedServer

_START_SECONDS = 20  # of a program, on a machine that is busy with other tests
_LINE_BYTES = 2**22


class LinePlay(Played):
    """Played by a program that reads and writes lines of JSON."""

    def __init__(self, scenario: Json, command: list[str | Path]) -> None:
        super().__init__(scenario)
        self._command = command

    async def run(self, server: ScriptedServer) -> None:
        """From the program's start to its end, within the scenario's bound.

        Raises:
            TimeoutError: it takes longer than `within_seconds`, or than a start may take.
            AssertionError: the program ended without a result; its message says why.
        """
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe, stderr=pipe, limit=_LINE_BYTES)
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            async with asyncio.timeout(_START_SECONDS):
                assert await process.stdout.readline() == b'{"ready":true}\n', (await process.stderr.read()).decode(
                    errors="replace"
                )
            async with asyncio.timeout(self.scenario.get("within_seconds", 5)):
                await self._talk(process.stdin, process.stdout, server)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()

    async def _talk(self, stdin: asyncio.StreamWriter, stdout: asyncio.StreamReader, server: ScriptedServer) -> None:
        self._say(stdin, {"scenario": self.scenario, "port": server.port})
        while line := await stdout.readline():
            match json.loads(line):
                case {"open": gate}:
                    server.gate(gate).set()
                case {"log": _}:
                    self._say(stdin, {"log": server.log})
                case {"played": played}:
                    for name, value in played.items():
                        setattr(self, name, value)
                    return
        raise AssertionError("the program ended without a result")

    def _say(self, stdin: asyncio.StreamWriter, line: Json) -> None:
        stdin.write(json.dumps(line).encode() + b"\n")
