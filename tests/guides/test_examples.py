"""The programs of `examples` are those of the guides; the load script is well-formed."""

import subprocess
from pathlib import Path

from support.guides import ROOT, blocks
from support.javascript import require_node

_GUIDES = ROOT / "docs" / "guides"
_EXAMPLES = ROOT / "examples"


def test_files_of_add_chat_are_those_of_its_guide() -> None:
    """One source: a reader of the one has what a reader of the other has."""
    shown = {str(block.file): block.text for block in blocks(_GUIDES / "add-chat.md") if block.file is not None}
    folder = _EXAMPLES / "add-chat"
    files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert shown == {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in files}


def test_bot_is_that_of_its_guide() -> None:
    """The same for the bot."""
    (shown,) = (block.text for block in blocks(_GUIDES / "python.md") if block.file == "bot.py")
    assert shown == "# bot.py\n" + (_EXAMPLES / "python-bot" / "bot.py").read_text(encoding="utf-8")


def test_load_script_is_javascript(tmp_path: Path) -> None:
    """There is no k6 here to run it: its head says so, and its syntax is all that is checked."""
    text = (_EXAMPLES / "k6" / "chat.js").read_text(encoding="utf-8")
    assert "has not been run" in text
    module = tmp_path / "chat.mjs"
    module.write_text(text, encoding="utf-8")
    done = subprocess.run([require_node(), "--check", module], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
