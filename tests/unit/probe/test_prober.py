"""Which conversations the probe tidies up."""

from datetime import UTC, datetime

import pytest

from holdfast.probe.prober import is_left_behind

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("conversation", "created_at", "is_left"),
    [
        ("probe-mine-7", "2026-03-01T11:59:59.500Z", True),
        ("probe-other-7", "2026-03-01T11:49:59Z", True),
        ("probe-other-7", "2026-03-01T11:58:00Z", False),
        ("direct-0123", "2026-01-01T00:00:00Z", False),
    ],
)
def test_fresh_conversations_of_rounds_that_are_over_are_left(conversation: str, created_at: str, is_left: bool) -> None:
    """A probe of a year must not fill its users' lists; another probe's round that goes on is not disturbed."""
    assert is_left_behind(conversation, created_at, "mine", NOW) is is_left
