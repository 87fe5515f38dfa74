"""The JavaScript client on Node against every script of `scenarios/`: it fails what cannot succeed, and nothing else."""

from pathlib import Path

import pytest

from client_conformance.judge import SCENARIOS, failures, scenarios_for, soon
from client_conformance.line_driver import LinePlay
from client_conformance.mutants import MUTANTS, Mutant
from client_conformance.server import Json
from support.javascript import CLIENT, require_node

DRIVER = Path(__file__).with_name("node_driver.mjs")
LEFT_OUT = {"hook_that_is_a_plain_function": "JavaScript awaits the result of a function, be it a promise or not"}
"""Scenarios that cannot be expressed in JavaScript, and why."""


PLAYED = [each for each in scenarios_for("frame") if each["name"] not in LEFT_OUT]


@pytest.mark.parametrize("scenario", PLAYED, ids=lambda scenario: scenario["name"])
async def test_scenario(scenario: Json) -> None:
    """What the scenario expects, within its bound; its own `why` says what depends on it."""
    found = await _failures(scenario, CLIENT / "src" / "index.js")
    assert not found, "\n".join(found)


def test_every_scenario_that_is_left_out_exists() -> None:
    """A name that is gone hides nothing."""
    assert set(LEFT_OUT) <= {scenario["name"] for scenario in SCENARIOS}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
async def test_client_without_a_mechanism_fails_a_scenario(mutant: Mutant, tmp_path: Path) -> None:
    """A scenario that passes without the mechanism that it is about says nothing."""
    entry = mutant.source(CLIENT / "src", tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    (scenario,) = (each for each in PLAYED if each["name"] == mutant.scenario)
    assert await _failures(soon(scenario), entry)


async def _failures(scenario: Json, entry: Path) -> list[str]:
    return await failures(LinePlay(scenario, [require_node(), DRIVER, entry]), has="frame")
