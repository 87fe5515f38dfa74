"""Redis's words about passwords and rights, of several versions, each with the remedy."""

import pytest

from holdfast.adapters.redis.liveness import Liveness
from holdfast.adapters.redis.permissions import explained, is_denial

CHANNELS = "NOPERM this user has no permissions to access one of the channels used as arguments"


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("WRONGPASS invalid username-password pair or user is disabled.", "HOLDFAST_REDIS__PASSWORD"),
        ("invalid username-password pair or user is disabled.", "HOLDFAST_REDIS__PASSWORD"),
        ("NOAUTH Authentication required.", "HOLDFAST_REDIS__PASSWORD"),
        ("AUTH <password> called without any password configured for the default user.", "HOLDFAST_REDIS__PASSWORD"),
        (CHANNELS, "&*"),
        ("NOPERM No permissions to access a channel", "&*"),
        ("NOPERM this user has no permissions to access one of the keys used as arguments", "~*"),
        ("NOPERM No permissions to access a key", "~*"),
        ("NOPERM this user has no permissions to run the 'eval' command", "+@all"),
        ("NOPERM User chat has no permissions to run the 'eval' command", "+@all"),
    ],
)
def test_a_denial_names_its_remedy_and_keeps_the_words_of_redis(text: str, remedy: str) -> None:
    """An operator searches for Redis's own words; the remedy is ours."""
    assert remedy in explained(text)
    assert explained(text).endswith(text)
    assert is_denial(explained(text))
    assert explained(explained(text)) == explained(text)


@pytest.mark.parametrize(
    "text", ["Connection refused", "OOM command not allowed when used memory > 'maxmemory'.", "LOADING Redis"]
)
def test_other_failures_are_told_as_they_are(text: str) -> None:
    """An outage has no remedy here."""
    assert explained(text) == text
    assert not is_denial(text)


def test_a_bus_without_rights_says_so_though_it_was_never_live() -> None:
    """At the start there is no turn of liveness that could tell the reason."""
    liveness = Liveness()
    liveness.lost("Connection refused", 1.0)
    assert liveness.turn(1.0) is None
    liveness.lost(explained(CHANNELS), 2.0)
    assert liveness.turn(2.0) == (False, explained(CHANNELS))
    liveness.lost(explained(CHANNELS), 3.0)
    assert liveness.turn(3.0) is None
