"""The JavaScript client on Node against every script of `scenarios/`: it fails what cannot succeed, and nothing else."""

from pathlib import Path

import pytest

from client_conformance.judge import SCENARIOS, problems, scenarios_for, story
from client_conformance.line_driver import LinePlay
from client_conformance.server import Json, ScriptedServer
from support.javascript import CLIENT, require_node

DRIVER = Path(__file__).with_name("node_driver.mjs")
LEFT_OUT = {"hook_that_is_a_plain_function": "JavaScript awaits the result of a function, be it a promise or not"}
"""Scenarios that cannot be expressed in JavaScript, and why."""


PLAYED = [each for each in scenarios_for("frame") if each["name"] not in LEFT_OUT]


@pytest.mark.parametrize("scenario", PLAYED, ids=lambda scenario: scenario["name"])
async def test_scenario(scenario: Json) -> None:
    """What the scenario expects, within its bound; its own `why` says what depends on it."""
    play = LinePlay(scenario, [require_node(), DRIVER, CLIENT / "src" / "index.js"])
    async with ScriptedServer(scenario.get("server", {})) as server:
        try:
            await play.run(server)
        except (TimeoutError, AssertionError) as error:
            pytest.fail(f"{scenario['why']}\nnot within its bound ({error}): {story(play, server)}")
        found = problems(scenario["expect"], play, server, has="frame")
        assert not found, f"{scenario['why']}\n" + "\n".join(found) + f"\n{story(play, server)}"


def test_every_scenario_that_is_left_out_exists() -> None:
    """A name that is gone hides nothing."""
    assert set(LEFT_OUT) <= {scenario["name"] for scenario in SCENARIOS}
