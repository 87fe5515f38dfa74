"""The log of refused tokens: every reason, and no flood of lines."""

import logging

import pytest

from holdfast.web.refusals import Refusals
from support.fakes import ManualClock


def test_each_reason_is_logged_once_a_minute_with_how_often_it_came(caplog: pytest.LogCaptureFixture) -> None:
    """A fleet of clients with one wrong token must not fill a disk, and an operator must see the cause."""
    clock = ManualClock()
    refusals = Refusals(clock, "a token")
    missing, other = 'unauthenticated: the claim "aud" is missing', "token_expired: over"
    with caplog.at_level(logging.WARNING, "holdfast.web.refusals"):
        for _ in range(1_000):
            refusals.note(missing)
        refusals.note(other)
        clock.now += 61.0
        refusals.note(missing)
    assert [record.getMessage() for record in caplog.records] == [
        'a token was refused: unauthenticated: the claim "aud" is missing',
        "a token was refused: token_expired: over",
        'a token was refused: unauthenticated: the claim "aud" is missing (999 more since the last line)',
    ]


def test_the_number_of_reasons_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """There are about twenty of them; a mistake that makes more must not make memory grow."""
    refusals = Refusals(ManualClock(), "a token")
    with caplog.at_level(logging.WARNING, "holdfast.web.refusals"):
        for number in range(1_000):
            refusals.note(f"reason {number}")
    assert len(caplog.records) == 64
