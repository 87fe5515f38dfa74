"""The Python client against every script of `scenarios/`: it fails what cannot succeed, and nothing else."""

import pytest

from client_conformance.judge import SCENARIOS, problems, scenarios_for, story
from client_conformance.python_driver import Play
from client_conformance.server import Json, ScriptedServer
from holdfast.client import backoff

_pause = backoff.pause


def _short(attempt: int, *, at_least: float = 0.0) -> float:
    return (_pause(attempt, at_least=at_least)) / 50


@pytest.mark.parametrize("scenario", scenarios_for("answer"), ids=lambda scenario: scenario["name"])
async def test_scenario(scenario: Json, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the scenario expects, within its bound; its own `why` says what depends on it."""
    if scenario.get("pauses") != "real":
        monkeypatch.setattr(backoff, "pause", _short)
    play = Play(scenario)
    async with ScriptedServer(scenario.get("server", {})) as server:
        try:
            await play.run(server)
        except (TimeoutError, AssertionError) as error:
            pytest.fail(f"{scenario['why']}\nnot within its bound ({error}): {story(play, server)}")
        found = problems(scenario["expect"], play, server, has="answer")
        assert not found, f"{scenario['why']}\n" + "\n".join(found) + f"\n{story(play, server)}"


def test_each_scenario_has_a_name_of_its_own_and_a_reason() -> None:
    """A failure is looked up by its name."""
    assert len({scenario["name"] for scenario in SCENARIOS}) == len(SCENARIOS)
    assert all(scenario["why"] and scenario["expect"] for scenario in SCENARIOS)
