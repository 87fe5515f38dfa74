"""The chart's page of values and the comments in `values.yaml`, made of its schema:
`python -m support.values_page` writes both."""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from support.helm import CHART

_HEAD = """# The holdfast chart

Made of `values.yaml` and `values.schema.json` by `make manifests`. How to install it, edges, rehearsing failures:
[docs/kubernetes.md](../../docs/kubernetes.md). Complete examples, all of them tested: [ci](ci).

| value | default | what it is |
|---|---|---|
"""


def page() -> str:
    """The text of `charts/holdfast/README.md`."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    return _HEAD + "".join(f"| `{name}` | {default} | {text} |\n" for name, default, text in _rows(values, schema, ""))


def commented() -> str:
    """The text of `charts/holdfast/values.yaml`: what each value means stands above it, as `helm show values` prints it."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    lines: list[str] = []
    parents: list[tuple[int, str]] = []  # (indent, name) of the maps that the line is in
    for line in (CHART / "values.yaml").read_text().splitlines():
        if line.lstrip().startswith("# --"):
            continue
        if found := re.match(r"( *)(\w+):", line):
            indent, name = len(found[1]), found[2]
            parents = [*(each for each in parents if each[0] < indent), (indent, name)]
            text = _description(schema, [each for _, each in parents])
            lines += [f"{found[1]}# -- {text}"] if text else []
        lines.append(line)
    return "\n".join(lines) + "\n"


def _description(schema: dict[str, Any], names: list[str]) -> str | None:
    """What the schema says of one value; None of a map of values, and of what is inside a value."""
    part = schema
    for name in names:
        if "description" in part:
            return None
        part = part["properties"][name]
    return _text(part) if "description" in part else None


def _text(part: dict[str, Any]) -> str:
    choices = ", ".join(f"`{choice}`" for choice in part.get("enum", ()) if choice)
    return f"{part['description']}. One of {choices}" if choices else str(part["description"])


def _rows(values: dict[str, Any], schema: dict[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    for name, value in values.items():
        part, where = schema["properties"][name], f"{path}{name}"
        if "description" in part:
            yield where, _shown(value), _text(part)
        else:
            yield from _rows(value, part, f"{where}.")


def _shown(value: Any) -> str:
    if value in ("", None, [], {}):
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


if __name__ == "__main__":
    (CHART / "README.md").write_text(page())
    (CHART / "values.yaml").write_text(commented())
