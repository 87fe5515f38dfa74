"""The JavaScript client on Node through the death of its instance: its user sees a pause, and nothing else."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from support.chatting import new_conversation
from support.eventually import eventually
from support.instances import Instances, Serving, token
from support.javascript import CLIENT, require_node

PROGRAM = Path(__file__).with_name("javascript_person.mjs")


class Person:
    """A program with a client, and everything that it printed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.printed: list[dict[str, Any]] = []
        self._process = process

    def told(self, name: str) -> list[Any]:
        """The values that were printed under this name, in order."""
        return [line[name] for line in self.printed if name in line]

    def say(self, **line: object) -> None:
        """One line to the program."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line).encode() + b"\n")

    async def listen(self) -> None:
        """Until the program ends."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.printed.append(json.loads(line))


@contextlib.asynccontextmanager
async def person(user_id: str, instances: list[Serving]) -> AsyncIterator[Person]:
    """Connected, and every message taken as it comes."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(require_node(), PROGRAM, stdin=pipe, stdout=pipe)
    found = Person(process)
    listening = asyncio.create_task(found.listen())
    try:
        found.say(urls=[each.url for each in instances], token=token(user_id), entry=str(CLIENT / "src" / "index.js"))
        await eventually(lambda: "open" in found.told("state"))
        yield found
    finally:
        process.kill()
        await process.wait()
        await listening


async def test_an_instance_is_killed_while_messages_flow(sqlite_instances: Instances) -> None:
    """Nothing is lost, nothing comes twice, and both users see the same order."""
    one, two = await sqlite_instances.start("one", "two")
    c = await new_conversation(one, "ann", "ben")
    async with person("ann", [one, two]) as ann, person("ben", [two]) as ben:
        ann_says, ben_says = [f"ann {number}" for number in range(60)], [f"ben {number}" for number in range(60)]
        ann.say(send=[c, ann_says])
        ben.say(send=[c, ben_says])
        await eventually(lambda: len(ann.told("shown")) >= 10)
        one.kill()
        await eventually(lambda: ann.told("stored") and ben.told("stored"))
        await eventually(lambda: len(ann.told("shown")) >= 120 and len(ben.told("shown")) >= 120)
        assert len(set(ann.told("stored")[0])) == 60
        assert ann.told("shown") == ben.told("shown")
        assert [(where, seq) for where, seq, _ in ann.told("shown")] == [(c, seq) for seq in range(1, 121)]
        bodies = [body for _, _, body in ann.told("shown")]
        assert [body for body in bodies if body.startswith("ann")] == ann_says
        assert [body for body in bodies if body.startswith("ben")] == ben_says
        assert {"state": "open", "instance": "two"} in ann.printed, "the client went on at the other instance"
