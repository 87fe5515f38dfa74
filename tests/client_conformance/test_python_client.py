"""The Python client against every script of `scenarios/`: it fails what cannot succeed, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from client_conformance.python_driver import Play
from client_conformance.server import Json, ScriptedServer, contains
from holdfast.client import backoff

SCENARIOS: list[Json] = [
    scenario
    for file in sorted(Path(__file__).with_name("scenarios").glob("*.json"))
    for scenario in json.loads(file.read_text(encoding="utf-8"))
]
_pause = backoff.pause


def _short(attempt: int, *, at_least: float = 0.0) -> float:
    return (_pause(attempt, at_least=at_least)) / 50


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario["name"])
async def test_scenario(scenario: Json, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the scenario expects, within its bound; its own `why` says what depends on it."""
    if scenario.get("pauses") != "real":
        monkeypatch.setattr(backoff, "pause", _short)
    play = Play(scenario)
    async with ScriptedServer(scenario.get("server", {})) as server:
        try:
            await play.run(server)
        except (TimeoutError, AssertionError) as error:
            pytest.fail(f"{scenario['why']}\nnot within its bound ({error}): {_story(play, server)}")
        problems = _problems(scenario["expect"], play, server)
        assert not problems, f"{scenario['why']}\n" + "\n".join(problems) + f"\n{_story(play, server)}"


def test_each_scenario_has_a_name_of_its_own_and_a_reason() -> None:
    """A failure is looked up by its name."""
    assert len({scenario["name"] for scenario in SCENARIOS}) == len(SCENARIOS)
    assert all(scenario["why"] and scenario["expect"] for scenario in SCENARIOS)


def _problems(expect: Json, play: Play, server: ScriptedServer) -> list[str]:
    """The failed expectations, of all that README.md names."""
    found = []

    def check(what: str, expected: Any, actual: Any, *, is_right: bool) -> None:
        if not is_right:
            found.append(f"{what}: expected {expected}, was {actual}")

    is_refused = expect.get("refused", False)
    check("refused", is_refused, play.refused, is_right=bool(play.refused) == is_refused)
    stopped = expect.get("stopped")
    check("stopped", stopped, play.stopped, is_right=contains(play.stopped, stopped) if stopped else play.stopped is None)
    for name, outcome in expect.get("outcomes", {}).items():
        check(name, outcome, play.outcomes.get(name), is_right=contains(play.outcomes.get(name, {}), outcome))
    for event in expect.get("events", []):
        check("events", event, play.events, is_right=any(contains(each, event) for each in play.events))
    for name in ("shown", "cursors"):
        if name in expect:
            check(name, expect[name], getattr(play, name), is_right=getattr(play, name) == expect[name])
    counts = {
        "sockets": sum("asked" in entry for entry in server.log),
        "rest_calls": sum("rest" in entry for entry in server.log),
        "frames_too_big": sum("too_big" in entry for entry in server.log),
    }
    for name, (least, most) in expect.get("counts", {}).items():
        check(name, (least, most), counts[name], is_right=least <= counts[name] <= most)
    for entry in expect.get("log", []):
        check("log", entry, "see below", is_right=any(contains(each, entry) for each in server.log))
    for text in expect.get("nowhere", []):
        said = json.dumps([play.events, play.outcomes, play.stopped, play.refused])
        check("nowhere", text, said, is_right=text not in said)
    return found


def _story(play: Play, server: ScriptedServer) -> str:
    log = [f"{entry!s:.200}" for entry in server.log[:40]]
    told = {name: getattr(play, name) for name in ("refused", "stopped", "outcomes", "events", "shown", "cursors")}
    return "\n".join([*(f"{name}: {value!s:.600}" for name, value in told.items()), *log])
