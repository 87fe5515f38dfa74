"""Histories that tests write by hand, change line by line, and have judged."""

import json
from pathlib import Path
from typing import Any

from holdfast.drills.checker import Verdict, judge
from holdfast.drills.history import Bounds, Header, History, read_history

Line = dict[str, Any]


def verdict_of(path: Path, lines: list[Line], *, lacks: tuple[str, ...] = ()) -> Verdict:
    """Written and read as a file is."""
    bounds = Bounds(delivery_s=5.0, offline_s=40.0, grace_s=15.0, removal_s=2.0, healthy_s=15.0)
    header = Header(name="test", lacks=lacks, bounds=bounds)
    with History(path / "history.jsonl", header):
        pass
    with (path / "history.jsonl").open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    return judge(*read_history(path / "history.jsonl"))


def only(lines: list[Line], event: str, **fields: Any) -> list[Line]:
    """The lines that are so."""
    return [line for line in lines if line["event"] == event and all(line.get(name) == value for name, value in fields.items())]


def drop(lines: list[Line], event: str, **fields: Any) -> list[Line]:
    """Without them."""
    gone = {id(line) for line in only(lines, event, **fields)}
    assert gone
    return [line for line in lines if id(line) not in gone]


def change(lines: list[Line], event: str, where: dict[str, Any], **fields: Any) -> list[Line]:
    """With other values in them."""
    found = only(lines, event, **where)
    assert found
    for line in found:
        line.update(fields)
    return sorted(lines, key=lambda line: line["t"])


def more(lines: list[Line], t: float, event: str, **fields: Any) -> list[Line]:
    """With one more."""
    return sorted([*lines, {"event": event, "t": t, **fields}], key=lambda line: line["t"])
