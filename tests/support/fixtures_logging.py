"""Logging is one for the whole process: what a test or the program that it calls sets is undone after it."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Levels of all loggers, and the handlers of the root: without, a later test of the same worker sees no records."""
    logging.getLogger("holdfast")  # the parent of ours is none yet where no test named it
    loggers = [logging.root, *(each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger))]
    levels, handlers = [(logger, logger.level) for logger in loggers], logging.root.handlers[:]
    yield
    logging.root.handlers[:] = handlers
    for logger, level in levels:
        logger.setLevel(level)
