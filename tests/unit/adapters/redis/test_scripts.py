"""The files of the Lua scripts: all of them used, documented at their head, and with the names of keys that the code has."""

import re
from pathlib import Path

import pytest

from holdfast.adapters.redis import keys, scripts
from holdfast.adapters.redis.scripts import Script

FOLDER = Path(scripts.__file__).parent / "lua"
FILES = {path.relative_to(FOLDER).with_suffix("").as_posix(): path.read_text(encoding="utf-8") for path in FOLDER.rglob("*.lua")}
SCRIPTS = {name: found for name, found in vars(scripts).items() if isinstance(found, Script)}


def test_every_file_is_a_script_or_a_part_of_one() -> None:
    """A file that nothing loads looks as if it were in force."""
    included = {f"parts/{name}" for text in FILES.values() for name in re.findall(r"^-- include (\w+)$", text, re.MULTILINE)}
    named = {name for name in FILES if name.rpartition("/")[2].upper() in SCRIPTS}
    assert len(named) == len(SCRIPTS)
    assert named | included == FILES.keys()


@pytest.mark.parametrize("name", sorted(name for name in FILES if not name.startswith("parts/")))
def test_head_of_each_script_says_keys_arguments_and_reply(name: str) -> None:
    """A script has no signature: its head is the only place where a caller finds it."""
    head, _, _ = FILES[name].partition("\n\n")
    assert re.findall(r"^-- (KEYS|ARGV|Reply): \S", head, re.MULTILINE) == ["KEYS", "ARGV", "Reply"]


def test_redis_gets_no_comments_and_no_include_that_was_not_resolved() -> None:
    """Each new connection sends a whole script."""
    assert all("--" not in each.source and "\n\n" not in each.source for each in SCRIPTS.values())


def test_names_of_keys_in_scripts_are_those_of_the_code() -> None:
    """A prefix that differs is a key that no other part of the code reads."""
    quoted = {found for text in FILES.values() for found in re.findall(r"'([a-z]+:)'", text)}
    assert quoted == {keys.LEASE_PREFIX, keys.HEAD_PREFIX, keys.FATE_PREFIX}
