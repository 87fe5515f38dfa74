"""What a scenario expects, compared with what came of it: the same for the client of each language."""

import json
from pathlib import Path
from typing import Any

from client_conformance.server import Json, ScriptedServer, contains

SCENARIOS: list[Json] = [
    scenario
    for file in sorted(Path(__file__).with_name("scenarios").glob("*.json"))
    for scenario in json.loads(file.read_text(encoding="utf-8"))
]
"""All of them, in the order of their files."""


def scenarios_for(has: str) -> list[Json]:
    """Those of a client that has `answer` or `frame` (README.md, `needs`)."""
    return [scenario for scenario in SCENARIOS if scenario.get("needs", has) == has]


def soon(scenario: Json) -> Json:
    """The scenario for a client that is expected to fail it: it need not hang for long."""
    return scenario if scenario.get("pauses") == "real" else {**scenario, "within_seconds": 2}


class Played:
    """One scenario, and what came of it. A driver plays it in `run`.

    Attributes:
        shown: `conversation:seq` of each message that the application was given, in order.
        events: as JSON objects, in order.
        outcomes: of each command with a name (`as`).
        refused: why there is no client at all.
        stopped: why the client ended.
        cursors: what the application would keep.
    """

    def __init__(self, scenario: Json) -> None:
        self.scenario = scenario
        self.shown: list[str] = []
        self.events: list[Json] = []
        self.outcomes: dict[str, Json] = {}
        self.refused = ""
        self.stopped: Json | None = None
        self.cursors: dict[str, int] = {}

    async def run(self, server: ScriptedServer) -> None:
        """Everything that the scenario's client does, within the scenario's bound.

        Raises:
            TimeoutError: it takes longer than `within_seconds`.
            AssertionError: the client's program failed; its message says why.
        """
        raise NotImplementedError


async def failures(play: Played, has: str) -> list[str]:
    """All that differs from what the scenario expects; the first line says what depends on it. `has`: as in `scenarios_for`."""
    why = play.scenario["why"]
    async with ScriptedServer(play.scenario.get("server", {})) as server:
        try:
            await play.run(server)
        except (TimeoutError, AssertionError) as error:
            return [f"{why}\nnot within its bound ({error}): {story(play, server)}"]
        found = problems(play.scenario["expect"], play, server, has)
    return [why, *found, story(play, server)] if found else []


def problems(expect: Json, play: Played, server: ScriptedServer, has: str) -> list[str]:
    """The failed expectations, of all that README.md names. `has`: as in `scenarios_for`."""
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
    for event in [*expect.get("events", []), *(expect.get("seen", []) if has == "answer" else [])]:
        check("events", event, play.events, is_right=any(contains(each, event) for each in play.events))
    for name in ("shown", "cursors"):
        if name in expect:
            check(name, expect[name], getattr(play, name), is_right=getattr(play, name) == expect[name])
    counts = {
        "sockets": sum("asked" in entry for entry in server.log),
        "rest_calls": sum("rest" in entry for entry in server.log),
        "sends_too_many": sum("too_many" in entry for entry in server.log),
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


def story(play: Played, server: ScriptedServer) -> str:
    """What happened, for the message of a failed test."""
    log = [f"{entry!s:.200}" for entry in server.log[:40]]
    told = {name: getattr(play, name) for name in ("shown", "events", "outcomes", "refused", "stopped", "cursors")}
    return "\n".join([*(f"{name}: {value!s:.600}" for name, value in told.items()), *log])
