"""The Python client against every script of `scenarios/`: it fails what cannot succeed, and nothing else."""

from collections.abc import Callable

import pytest

from client_conformance.judge import SCENARIOS, failures, scenarios_for, soon
from client_conformance.python_driver import Play
from client_conformance.python_mutants import MUTANTS
from client_conformance.server import Json
from holdfast.client import backoff

_pause = backoff.pause


def _short(attempt: int, *, at_least: float = 0.0) -> float:
    return (_pause(attempt, at_least=at_least)) / 50


@pytest.mark.parametrize("scenario", scenarios_for("answer"), ids=lambda scenario: scenario["name"])
async def test_scenario(scenario: Json, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the scenario expects, within its bound; its own `why` says what depends on it."""
    if scenario.get("pauses") != "real":
        monkeypatch.setattr(backoff, "pause", _short)
    found = await failures(Play(scenario), has="answer")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(("alter", "name"), MUTANTS, ids=lambda value: getattr(value, "__name__", value))
async def test_client_without_a_mechanism_fails_a_scenario(
    alter: Callable[[pytest.MonkeyPatch], None], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scenario that passes without the mechanism that it is about says nothing."""
    scenario = next(each for each in SCENARIOS if each["name"] == name)
    if scenario.get("pauses") != "real":
        monkeypatch.setattr(backoff, "pause", _short)
    alter(monkeypatch)
    assert await failures(Play(soon(scenario)), has="answer")


def test_each_scenario_has_a_name_of_its_own_and_a_reason() -> None:
    """A failure is looked up by its name."""
    assert len({scenario["name"] for scenario in SCENARIOS}) == len(SCENARIOS)
    assert all(scenario["why"] and scenario["expect"] for scenario in SCENARIOS)
