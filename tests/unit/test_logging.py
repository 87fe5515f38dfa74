"""What a log line may become: one bounded line, whatever a client put into it."""

import json
import logging

import pytest

from holdfast.telemetry import configure_logging

NASTY = ("line one\r\nline two", "\x1b[2J\x1b[31mred", "x" * 1_000_000, "\u2028\u0085\x00", '","level":"error')


@pytest.fixture
def logger() -> logging.Logger:
    """One whose lines go where the service's go."""
    return logging.getLogger("of.a.test")


@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize("nasty", NASTY, ids=["lines", "ansi", "a megabyte", "other line ends", "json"])
def test_it_is_one_bounded_line(capsys: pytest.CaptureFixture[str], logger: logging.Logger, log_format: str, nasty: str) -> None:
    """In the message and in a field; nothing but printable ASCII reaches the terminal or the collector."""
    configure_logging("info", log_format)
    logger.warning("a client said %s", nasty, extra={"fields": {"user": nasty}})
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert line.rstrip("\n").isprintable()
    assert line.isascii()
    assert len(line) < 50_000
    if log_format == "json":
        document = json.loads(line)
        assert (document["level"], document["logger"]) == ("warning", "of.a.test")
