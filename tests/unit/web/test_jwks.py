"""The keys of an identity provider that is away: at a start, later for a while, and for long."""

import asyncio
import ssl
import threading
from contextlib import suppress
from typing import Any

import pytest

from holdfast.bootstrap import Instance
from holdfast.errors import KeysUnavailable
from holdfast.loops import FAILING_SECONDS, Loops
from holdfast.settings import load
from holdfast.telemetry import Telemetry
from holdfast.web import jwks as web_jwks
from holdfast.web.jwks import PATIENCE_SECONDS, Jwks
from support.eventually import eventually
from support.fakes import ManualClock


class Scene:
    """Keys, and a provider that is away until `is_there`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(web_jwks, "_RETRY_SECONDS", 0.0)
        monkeypatch.setattr(web_jwks, "_REFRESH_SECONDS", 0.0)
        self.clock, self.is_there = ManualClock(), False
        self.jwks = Jwks("https://login.example.com/keys", self.clock)
        monkeypatch.setattr(self.jwks, "_fetch", self._fetch)

    async def _fetch(self) -> dict[str, Any]:
        if not self.is_there:
            raise OSError("connection refused")
        return {"good": object()}


async def test_round_fails_while_no_key_was_ever_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance that can verify no token must not look like one that works."""
    scene = Scene(monkeypatch)
    with pytest.raises(KeysUnavailable, match="connection refused"):
        await scene.jwks.loop.step()
    assert not scene.jwks.is_known
    scene.is_there = True
    await scene.jwks.loop.step()
    assert scene.jwks.is_known


async def test_outage_after_a_fetch_fails_no_round_until_it_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known keys stay in use throughout; only a provider that is away for long is worth an alert."""
    scene = Scene(monkeypatch)
    scene.is_there = True
    await scene.jwks.loop.step()
    scene.is_there = False
    scene.clock.now += PATIENCE_SECONDS - 1
    await scene.jwks.loop.step()
    scene.clock.now += 2
    with pytest.raises(KeysUnavailable):
        await scene.jwks.loop.step()
    assert scene.jwks.is_known
    assert scene.jwks.key("good") is not None


async def test_a_key_is_refused_only_by_a_fetch_that_began_after_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The issuer may have made it a moment ago, and a client that is refused for good stops for good."""
    scene = Scene(monkeypatch)
    scene.is_there = True
    await scene.jwks.loop.step()
    scene.clock.now += 1
    with pytest.raises(KeysUnavailable):
        scene.jwks.key("new")
    scene.is_there = False
    scene.clock.now += 1
    await scene.jwks.loop.step()
    with pytest.raises(KeysUnavailable):
        scene.jwks.key("new")
    scene.is_there = True
    scene.clock.now += 1
    await scene.jwks.loop.step()
    assert scene.jwks.key("new") is None
    assert scene.jwks.key("good") is not None
    assert scene.jwks.key(None) is None
    scene.clock.now += 61
    with pytest.raises(KeysUnavailable):
        scene.jwks.key("new")


async def test_many_unknown_keys_take_no_room_and_cause_few_fetches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their names come from callers."""
    scene = Scene(monkeypatch)
    scene.is_there = True
    await scene.jwks.loop.step()
    for number in range(1_000):
        with pytest.raises(KeysUnavailable):
            scene.jwks.key(f"junk{number}")
    assert len(scene.jwks._asked_at) <= 64
    assert not scene.jwks._wake.is_set(), "the last fetch is not ten seconds old"
    scene.clock.now += 11
    with pytest.raises(KeysUnavailable):
        scene.jwks.key("junk")
    assert scene.jwks._wake.is_set()


async def test_loop_is_failing_soon_when_the_provider_is_away_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten of its refreshes would be fifty minutes: a rollout would have timed out before anything said why."""
    scene = Scene(monkeypatch)
    telemetry = Telemetry("test")
    loops = Loops(scene.clock.monotonic, telemetry)
    running = asyncio.create_task(loops.run(scene.jwks.loop))
    try:
        await asyncio.sleep(0)
        scene.clock.now += 2 * FAILING_SECONDS
        await eventually(lambda: loops.failing == {"jwks": "KeysUnavailable"})
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    failures = telemetry.registry.get_sample_value("holdfast_loop_failures_total", {"loop": "jwks"})
    assert failures == 0, "an outage of the provider is no mistake of this instance"


def test_loop_allows_for_the_wait_between_two_refreshes() -> None:
    """A round ends with its wait; a provider that answers each time must not count as a failure."""
    loop = Jwks("https://login.example.com/keys", ManualClock()).loop
    assert loop.busy_seconds > web_jwks._REFRESH_SECONDS + web_jwks.FETCH_SECONDS


async def test_authorities_are_loaded_outside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take tens of milliseconds, and any client can cause a fetch by an unknown `kid`."""
    threads = []

    def create() -> ssl.SSLContext:
        threads.append(threading.get_ident())
        raise ssl.SSLError("seen")

    monkeypatch.setattr(ssl, "create_default_context", create)
    with pytest.raises(ssl.SSLError, match="seen"):
        await Jwks("https://login.example.com/keys", ManualClock())._fetch()
    assert threads
    assert threads[0] != threading.get_ident()


async def test_instance_starts_only_with_keys() -> None:
    """Ready without keys, a rollout would replace every pod that still knows them."""
    given = {
        "HOLDFAST_STORE__URL": "sqlite:////nowhere/chat.db",
        "HOLDFAST_REDIS__URL": "redis://127.0.0.1:1",
        "HOLDFAST_AUTH__JWKS_URL": "https://login.example.com/keys",
    }
    assert not Instance(load(given)).gate.node.health.has_keys()
    with_secret = {name: value for name, value in given.items() if "JWKS" not in name} | {"HOLDFAST_AUTH__SECRET": "x" * 32}
    assert Instance(load(with_secret)).gate.node.health.has_keys()


async def test_second_run_of_a_process_knows_the_keys_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run ends in an ordinary restore; without keys a whole fleet would wait for a provider that is away."""
    scene = Scene(monkeypatch)
    scene.is_there = True
    await scene.jwks.loop.step()
    given = load(
        {
            "HOLDFAST_STORE__URL": "sqlite:////nowhere/chat.db",
            "HOLDFAST_REDIS__URL": "redis://127.0.0.1:1",
            "HOLDFAST_AUTH__JWKS_URL": "https://login.example.com/keys",
        }
    )
    assert Instance(given, keys=scene.jwks).gate.node.health.has_keys()
