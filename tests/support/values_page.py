"""The chart's page of values, made of its schema and its defaults: `python -m support.values_page` writes it."""

import json
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


def _rows(values: dict[str, Any], schema: dict[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    for name, value in values.items():
        part, where = schema["properties"][name], f"{path}{name}"
        if "description" in part:
            text = part["description"]
            choices = ", ".join(f"`{choice}`" for choice in part.get("enum", ()) if choice)
            yield where, _shown(value), f"{text}. One of {choices}" if choices else text
        else:
            yield from _rows(value, part, f"{where}.")


def _shown(value: Any) -> str:
    if value in ("", None, [], {}):
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


if __name__ == "__main__":
    (CHART / "README.md").write_text(page())
