"""The fuzz targets themselves: they run on their seeds and on changes of them, and find a decoder that raises another error."""

import random
from typing import Any

import pytest

from fuzz import targets
from fuzz.run import changed


@pytest.mark.parametrize("name", targets.TARGETS)
def test_no_change_of_a_seed_breaks_a_target(name: str) -> None:
    """The same few hundred inputs in every run; `make fuzz` looks for others."""
    chance = random.Random(1)
    for seed in targets.SEEDS[name]:
        targets.TARGETS[name](seed)
        for _ in range(60):
            targets.TARGETS[name](changed(chance, seed))


def _broken(*_: Any, **__: Any) -> Any:
    raise KeyError("a bug")


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("frame", "holdfast.protocol.commands.decode"),
        ("frame", "holdfast.web.websocket.Protocol.receive_data"),
        ("handshake", "fuzz.targets.examine"),
        ("envelope", "holdfast.protocol.envelopes.decode"),
        ("redis", "holdfast.adapters.redis.decoding.json.loads"),
        ("store", "holdfast.adapters.sqlite.presence.json.loads"),
    ],
)
def test_a_target_fails_where_a_decoder_raises_an_error_of_another_kind(
    name: str, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target that swallows everything finds nothing."""
    monkeypatch.setattr(broken, _broken)
    with pytest.raises((KeyError, AssertionError)):
        _on_all_seeds(name)


def _on_all_seeds(name: str) -> None:
    for seed in targets.SEEDS[name]:
        targets.TARGETS[name](seed)
