"""Which drills are played again, and on which store."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from holdfast.cli import main
from holdfast.cli.drill import play
from holdfast.drills.checker import INVARIANTS, Verdict
from holdfast.drills.drill import Drill
from holdfast.drills.run import Options, Outcome
from holdfast.drills.scenarios import CATALOGUE
from holdfast.drills.stage import Expectation


async def _nothing(_: object) -> None: ...


DRILL = Drill("a-drill", "something breaks", _nothing, stores=("firestore",), why="there is no network to break")


def outcome(*, late: str = "", wrong: str = "", took: float = 0.0) -> Outcome:
    """Of a run in which these invariants did not hold, or not in time, and something took so long where 1 s is allowed."""
    verdict = Verdict()
    for name in late.split():
        verdict.check(name, False, 0.0, "so it was", is_late=True)
    for name in wrong.split():
        verdict.check(name, False, 0.0, "so it was")
    return Outcome(DRILL, Options(), Path("history"), [Expectation("soon", 1.0, took)], verdict=verdict)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Plays the drill, with what becomes of each run; tells what the last was, how many there were, and on which stores."""

    async def run(attempts: int, *outcomes: Outcome) -> tuple[Outcome, int, list[str]]:
        stores: list[str] = []
        left: Iterator[Outcome] = iter(outcomes)

        async def play_one(_: Drill, options: Options, *__: object) -> Outcome:
            stores.append(options.store)
            return next(left)

        monkeypatch.setattr(play, "play_one", play_one)
        (last,) = await play._play([DRILL], Options(store="each"), attempts, None, Console(file=io.StringIO()))
        return last, len(stores), stores

    return run


async def test_what_was_only_late_is_measured_again(run: Any) -> None:
    """A machine that is busy with something else is no fault of the service."""
    late, well = outcome(late="I7 I10 I12", took=2.0), outcome()
    assert await run(2, late, well) == (well, 2, ["firestore", "firestore"])
    assert await run(2, late, late, well) == (late, 2, ["firestore", "firestore"])
    assert (await run(1, late, well))[:2] == (late, 1)


@pytest.mark.parametrize("name", INVARIANTS)
async def test_what_was_wrong_is_not_tried_again(run: Any, name: str) -> None:
    """One message lost is one too many, however often it goes well."""
    wrong = outcome(wrong=name, late="I7")
    assert (await run(5, wrong, outcome()))[:2] == (wrong, 1)


async def test_what_passed_is_played_once(run: Any) -> None:
    """Each costs half a minute."""
    well = outcome()
    assert (await run(5, well, outcome()))[:2] == (well, 1)


@pytest.mark.parametrize(("drills", "shares"), [(7, 2), (36, 5), (1, 3)])
def test_shares_are_all_of_them_and_each_once(drills: int, shares: int) -> None:
    """A pipeline spreads them over machines: none may be left out."""
    names = [Drill(str(number), "", _nothing) for number in range(drills)]
    assert [drill for share in range(1, shares + 1) for drill in play.share_of(names, share, shares)] == names


@pytest.mark.parametrize("arguments", [("--share", "0/2"), ("--share", "3/2"), ("--share", "half"), ("--attempts", "0")])
def test_arguments_that_make_no_sense_are_named(arguments: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is started."""
    with pytest.raises(SystemExit):
        main(["drill", "run", "all", *arguments])
    assert arguments[0] in capsys.readouterr().err


def test_a_store_that_is_none_is_named_before_anything_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    """It is needed at the very end of a drill."""
    cluster = ("--target", "k8s", "--context", "c", "--namespace", "n", "--url", "http://x")
    assert main(["drill", "run", "pod-delete", *cluster, "--store-url", "mysql://x"]) == 2
    assert "--store-url" in capsys.readouterr().err


def test_a_token_command_that_is_no_command_line_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A quote that is not closed, for one."""
    place = ("--target", "k8s", "--context", "c", "--namespace", "n", "--url", "http://localhost")
    assert main(["drill", "run", "pod-delete", *place, "--token-command", "idp 'token"]) == 2
    assert "--token-command: No closing quotation" in capsys.readouterr().err


def test_pipeline_plays_on_firestore_what_sqlite_cannot_show() -> None:
    """`make drills-once` names these drills, because it plays them with nothing beside them."""
    named = re.search(r"^ONLY_FIRESTORE := (.*)$", (Path(__file__).parents[3] / "Makefile").read_text(), re.MULTILINE)
    assert named is not None
    assert set(named[1].split()) == {drill.name for drill in CATALOGUE.values() if "sqlite" not in drill.stores}
