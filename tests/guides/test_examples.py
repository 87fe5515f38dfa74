"""The programs of `examples` are those of the guides; the load script does what it says."""

import asyncio
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from support.guide_cluster import Cluster
from support.guides import ROOT, blocks
from support.javascript import require_node

_GUIDES = ROOT / "docs" / "guides"
_EXAMPLES = ROOT / "examples"
_STAND_INS = Path(__file__).with_name("k6")


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


async def test_load_script_finds_what_it_measures(cluster: Cluster, tmp_path: Path) -> None:
    """There is no k6 here, and the script says so. In Node, with stand-ins for k6's modules, its users talk to a real cluster."""
    script = (_EXAMPLES / "k6" / "chat.js").read_text(encoding="utf-8")
    assert "k6 itself has not run this script" in script
    shutil.copytree(_STAND_INS, tmp_path / "k6")
    (tmp_path / "chat.mjs").write_text(re.sub(r'from "k6(?:/(\w+))?"', _stand_in, script), encoding="utf-8")
    command = [require_node(), tmp_path / "k6" / "run.mjs"]
    told = {"CHAT": cluster.up.url, "USERS": "4", "EVERY_MS": "200", "STAY_MS": "2000"}
    done = await asyncio.to_thread(
        subprocess.run, command, env={**os.environ, **told}, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["checks"] == 4
    assert found["holdfast_acknowledged"] >= 8
    assert found["holdfast_delivered"] > found["holdfast_acknowledged"], "each message goes to every connected member"
    assert "holdfast_wrong_order" not in found
    assert "holdfast_refused" not in found


def _stand_in(found: re.Match[str]) -> str:
    return f'from "./k6/{found[1] or "k6"}.mjs"'
