"""The guides are complete: each code that a user can meet has its row. Each claim about another product has its source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from holdfast.protocol.codes import CODES, CloseCode

ROOT = Path(__file__).parents[2]
GUIDES = ROOT / "docs" / "guides"
TROUBLESHOOTING = (GUIDES / "troubleshooting.md").read_text(encoding="utf-8")

_SILENT = {1001, 1006}  # of RFC 6455; no instance sends them
_TOKEN_CODES = {code for code, row in CODES.items() if row.status == 401}
_REFUSING = ("web/auth.py", "web/calls.py", "web/claims.py", "web/gate.py", "node/users/revocations.py")
_CLIENT_ERRORS = re.compile(
    r"(?:SendFailed|CallFailed|ClientStopped|RestFailed|Refused|Unauthorized)\(\s*(?:\d+, )?\"([a-z_]+)\""
)


def _section(heading: str) -> str:
    return TROUBLESHOOTING.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def _rows(heading: str) -> list[list[str]]:
    """The cells of each row of a section's table, without its head."""
    lines = [line for line in _section(heading).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


def test_every_error_code_has_a_row_with_its_status() -> None:
    """A developer looks up the code that was printed."""
    rows = {code.strip("`"): status for code, status, *_ in _rows("Other refusals")}
    assert rows == {code: str(row.status or "-") for code, row in CODES.items()}


def test_every_close_code_has_a_row() -> None:
    """Some sockets end without an error frame before."""
    assert {int(code) for code, *_ in _rows("Close codes")} == {int(code) for code in CloseCode} | _SILENT


def test_every_reason_for_a_401_has_a_row() -> None:
    """The reason is in `detail`; a developer who reads it wants to know where to look."""
    rows = [phrase.strip() for row in _rows("401: the token") for phrase in row[0].split(", ")]
    found = set(_reasons())
    assert len(found) >= 20, "the test does not find the reasons any more"
    unknown = [reason for reason in found if not any(_is_about(row, reason) for row in rows)]
    assert not unknown, "add a row to docs/guides/troubleshooting.md for:\n" + "\n".join(unknown)
    stale = [row for row in rows if not any(_is_about(row, reason) for reason in found)]
    assert not stale, "no refusal says any more:\n" + "\n".join(stale)


def test_every_code_of_the_clients_has_a_row() -> None:
    """Codes that no instance sends are in no other table."""
    rows = {code.strip("`") for code, *_ in _rows("Codes of the clients alone")}
    sources = [*(ROOT / "service/holdfast/client").glob("*.py"), *(ROOT / "clients/javascript/src").rglob("*.js")]
    raised = {code for path in sources for code in _CLIENT_ERRORS.findall(path.read_text(encoding="utf-8"))}
    assert {"unreachable", "closed"} <= raised, "the test does not find the codes any more"
    missing = raised - CODES.keys() - rows
    assert not missing, f"add rows to docs/guides/troubleshooting.md: {missing}"


def test_other_products_are_compared_with_their_source() -> None:
    """A claim about another product that has no source is hearsay; each cell links the page that says it."""
    page = (GUIDES / "guarantees.md").read_text(encoding="utf-8")
    table = [line for line in page.split("\n## Compared\n")[1].splitlines() if line.startswith("| ")]
    head, *rows = ([cell.strip() for cell in line.strip("|").split(" | ")] for line in table)
    hosts = {"Centrifugo": "https://centrifugal.dev/", "Socket.IO": "https://socket.io/", "Ably": "https://ably.com/"}
    assert len(rows) >= 8
    for row in rows:
        cells = dict(zip(head, row, strict=True))
        assert all(f"]({host}docs/" in cells[product] for product, host in hosts.items()), row[0]


def _is_about(row: str, reason: str) -> bool:
    """`…` stands for the names of claims."""
    return re.search(".*".join(map(re.escape, row.split("…"))), reason) is not None


def _reasons() -> Iterator[str]:
    """The details of all refusals of tokens, as far as they are constant."""
    for name in _REFUSING:
        tree = ast.parse((ROOT / "service" / "holdfast" / name).read_text(encoding="utf-8"))
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            called = call.func.id if isinstance(call.func, ast.Name) else ""
            if called == "CommandError" and _text(call.args[0]) in _TOKEN_CODES:
                yield from _texts(call.args[1])
            elif called == "_refused":
                yield from _texts(call.args[0])


def _texts(node: ast.expr) -> Iterator[str]:
    """Both of a conditional expression; nothing of a name, which is of another call."""
    if isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)
    elif text := _text(node):
        yield text


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return ""
