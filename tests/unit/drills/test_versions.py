"""The code of an older commit beside this one."""

import random
import subprocess
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path

import pytest

from holdfast.adapters.sqlite.schema import VERSION as SQLITE_LAYOUT
from holdfast.domain.conversations import Conversation
from holdfast.domain.notifications import flagged_since
from holdfast.drills.history import JOINED_SEQ, LATEST_HEARD, READ_SEQ
from holdfast.drills.local.versions import THIS, Version, checked_out, other_libraries
from holdfast.drills.scenarios import upgrade as scenario
from holdfast.drills.scenarios.upgrade import upgrade
from holdfast.errors import ConfigurationError
from holdfast.protocol import frames

OLDER = Version("1234567", Path("older/service"), frozenset(["HOLDFAST_STORE__URL"]), sqlite_layout=SQLITE_LAYOUT)

SOURCES = {
    "locks/runtime.txt": "",
    "service/holdfast/__init__.py": "",
    "service/holdfast/settings.py": "from pydantic import BaseModel\n"
    "class Store(BaseModel):\n    url: str = ''\n"
    "class Settings(BaseModel):\n    instance_id: str = ''\n    store: Store = Store()\n",
    "service/holdfast/domain/conversations.py": "class Conversation:\n    members: tuple[str, ...] = ()\n",
    "service/holdfast/domain/notifications.py": "def flagged_since(stored_ms: int | None, seen_at_ms: int) -> int: ...\n",
    "service/holdfast/protocol/frames.py": "from msgspec import Struct\nclass Send(Struct):\n    body: str\n",
    "service/holdfast/adapters/sqlite/schema.py": "VERSION = 3\n",
}


def git(directory: Path, *arguments: str) -> None:
    """A command of git in that checkout."""
    who = ("-c", "user.name=author", "-c", "user.email=author@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *arguments], cwd=directory, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with one commit, of a package that has a store and nothing else."""
    for name, text in SOURCES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(tmp_path, "init", "--initial-branch=main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--message", "all of it")
    return tmp_path


def test_older_version_tells_what_it_knows(checkout: Path) -> None:
    """Its answers decide what can be played; the files are gone with the context."""
    with checked_out("main", checkout) as version:
        assert version.settings == {"HOLDFAST_STORE__URL"}
        assert version.sqlite_layout == 3
        assert version.lacks == {JOINED_SEQ, LATEST_HEARD, READ_SEQ}
        assert version.source is not None
        assert (version.source / "holdfast").is_dir()
    assert not version.source.exists()


def test_commit_that_the_checkout_lacks_is_named_with_the_remedy(checkout: Path) -> None:
    """A shallow clone has few commits; the person at the terminal must not look for a fault in the drill."""
    says = pytest.raises(ConfigurationError, match=r"'0123abc' is no commit of .*git fetch --unshallow")
    with says, checked_out("0123abc", checkout):
        raise AssertionError("there is no such commit")


def test_name_that_looks_like_an_option_is_no_commit(checkout: Path) -> None:
    """It comes from a command line."""
    with pytest.raises(ConfigurationError, match="is no commit"), checked_out("--all", checkout):
        raise AssertionError("that is no commit")


def test_code_that_does_not_run_here_is_refused_with_its_reason(checkout: Path) -> None:
    """An older version may need a library that is no longer installed; its instances would only not become ready."""
    (checkout / "service/holdfast/settings.py").write_text("import a_library_of_the_past\n")
    git(checkout, "commit", "--all", "--message", "needs more")
    with pytest.raises(ConfigurationError, match="a_library_of_the_past"), checked_out("HEAD", checkout):
        raise AssertionError("it cannot be imported")


def test_older_version_gets_the_settings_that_it_knows_and_its_own_code() -> None:
    """A setting that it does not know would end its start; other variables are for libraries."""
    variables = {"HOLDFAST_STORE__URL": "firestore://p", "HOLDFAST_LIMITS__NEW": "1", "FIRESTORE_EMULATOR_HOST": "here"}
    expected = {"HOLDFAST_STORE__URL": "firestore://p", "FIRESTORE_EMULATOR_HOST": "here", "PYTHONPATH": "older/service"}
    assert OLDER.environ(variables) == expected
    assert THIS.environ(variables) == variables


def test_libraries_of_another_version_are_named() -> None:
    """The older code runs on them all the same. Libraries that are not installed are for other platforms."""
    lock = "redis==5.0 \\\n    --hash=sha256:00\nhttpx==1.0 ; python_version < '3.14' \\\nabsent==1.0\n# via\n"
    assert other_libraries(lock, {"redis": "6.0", "httpx": "1.0"}) == ("redis 6.0 (5.0)",)


@pytest.mark.parametrize(("layout", "stores"), [(SQLITE_LAYOUT, ("sqlite", "firestore")), (SQLITE_LAYOUT - 1, ("firestore",))])
def test_sqlite_is_played_only_where_both_versions_write_the_same_layout(layout: int, stores: tuple[str, ...]) -> None:
    """A file has one layout: the older version refuses a newer one."""
    drill = upgrade(Version("1234567", sqlite_layout=layout))
    assert drill.stores == stores
    assert bool(drill.why) == (len(stores) == 1)


def test_run_excuses_the_features_that_the_older_version_lacks() -> None:
    """Messages that it loses by itself are no fault of the upgrade. Everything else is judged as ever."""
    assert upgrade(Version("1234567", lacks=frozenset([JOINED_SEQ]))).lacks == {JOINED_SEQ}
    assert not upgrade(Version("1234567")).lacks


def test_this_version_lacks_nothing() -> None:
    """Otherwise the question to the code would no longer find a feature, and the drill would excuse its faults for ever."""
    assert JOINED_SEQ in dir(Conversation)
    assert READ_SEQ in frames.Send.__struct_fields__
    assert "last_seen_at_ms" in signature(flagged_since).parameters


@dataclass
class Fleet:
    """The stage and the target of a drill, of which only the versions of the instances are kept."""

    random: random.Random
    versions: dict[str, Version] = field(default_factory=lambda: {"instance-1": THIS, "instance-2": THIS, "instance-3": OLDER})


@pytest.mark.parametrize("seed", range(12))
async def test_both_versions_run_after_the_kills(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failures after the kills have to meet instances of both versions."""
    fleet = Fleet(random.Random(seed))

    async def kill(stage: Fleet, victim: str, version: Version, **_: object) -> None:
        stage.versions[victim] = version

    monkeypatch.setattr(scenario, "_kill", kill)
    await scenario._kill_each(fleet, ("instance-3", OLDER), ("instance-1", THIS))  # type: ignore[arg-type]  # a stage without a cluster
    assert set(fleet.versions.values()) == {THIS, OLDER}
