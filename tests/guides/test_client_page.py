"""The blocks of `docs/client.md`, run with the three functions that its reader writes."""

import ast
import inspect
import re
from typing import Any

import pytest

from holdfast.cli.token import local_token
from holdfast.client import Client, Message
from support.guide_cluster import Cluster
from support.guides import ROOT

_PAGE = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
_HOOK = "async def fetch_token() -> str: ...  # from your own login service\n"


class _EnoughRead(Exception):
    """Ends the loop of the page, which has no end."""


async def _run(block: str, **names: Any) -> None:
    answer = eval(compile(block, "client.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
    if inspect.isawaitable(answer):
        await answer


async def test_python_of_the_page_runs(cluster: Cluster) -> None:
    """It is what a developer copies first."""
    loop, calls = re.findall(r"^```python\n(.*?)^```$", _PAGE, re.MULTILINE | re.DOTALL)
    async with Client([cluster.up.url], local_token("zoe", cluster.up.data)) as client:
        await client.rest.create(["user123", "user456"], conversation_id="team-42")

    saved: list[tuple[Message, dict[str, int], str]] = []

    def save(message: Message, cursors: dict[str, int], generation: str) -> None:
        saved.append((message, cursors, generation))
        raise _EnoughRead

    async def fetch_token() -> str:
        return local_token("user123", cluster.up.data)

    assert _HOOK in loop
    block = loop.replace(_HOOK, "").replace("https://chat.example.com", cluster.up.url)
    with pytest.raises(_EnoughRead):
        await _run(block, save=save, load_cursors=lambda: (None, ""), fetch_token=fetch_token)
    ((message, cursors, generation),) = saved
    assert (message.conversation_id, message.sender, message.body) == ("team-42", "user123", "hello")
    assert cursors["team-42"] == message.seq
    assert generation
    async with Client([cluster.up.url], local_token("zoe", cluster.up.data)) as client:
        await _run(calls, client=client)
