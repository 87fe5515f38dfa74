"""The rooms of an instance: CONTRIBUTING shows them and their imports as they are, and each says which question it answers."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NODE = ROOT / "service" / "holdfast" / "node"
ROOMS = sorted(path.parent.name for path in NODE.glob("*/__init__.py"))


def _imported_rooms(room: str) -> set[str]:
    """The other rooms that modules of `room` import something of."""
    found = set()
    for path in (NODE / room).glob("*.py"):
        for each in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(each, ast.ImportFrom) and (each.module or "").startswith("holdfast.node."):
                found.add((each.module or "").split(".")[2])
    return found & set(ROOMS) - {room}


def test_the_import_graph_of_the_rooms_stands_in_contributing() -> None:
    """The graph is what tells a newcomer where a change belongs, and which rooms it can reach."""
    house = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    drawn = {room: set(words.split()) for room, words in re.findall(r"^(\w+) +-> ?(.*)$", house, re.MULTILINE)}
    assert drawn == {room: _imported_rooms(room) for room in ROOMS}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_asks_its_question_and_holds_nothing_else(room: str) -> None:
    """A room with a second question is two rooms; names passed on hide where they are made."""
    body = ast.parse((NODE / room / "__init__.py").read_text(encoding="utf-8")).body
    question = ast.get_docstring(ast.Module(body, [])) or ""
    assert len(body) == 1
    assert question.endswith("?")
    assert "\n" not in question


@pytest.mark.parametrize("room", ROOMS)
def test_the_tests_of_a_room_are_in_the_same_room(room: str) -> None:
    """The tests of a module are found by its path, and none stays behind when the module moves."""
    modules = {path.stem for path in (NODE / room).glob("*.py")}
    elsewhere = [
        path
        for path in (ROOT / "tests" / "unit" / "node").rglob("test_*.py")
        if path.parent.name != room and path.stem.removeprefix("test_") in modules
    ]
    assert not elsewhere
