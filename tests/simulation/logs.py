"""What the processes of a simulation log, in memory, with virtual time."""

import contextlib
import logging
import traceback
from collections.abc import Iterator
from dataclasses import dataclass

from simulation.loop import SimulatedLoop
from simulation.process import process_of


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line. `at`: virtual monotonic seconds. `error`: the traceback, where there is one."""

    at: float
    process: str
    level: int
    logger: str
    message: str
    error: str = ""

    def __str__(self) -> str:
        level = logging.getLevelName(self.level).lower()
        return f"{self.at:12.6f} {self.process:<10} {level:<7} {self.logger}: {self.message}" + (
            f"\n{self.error}" if self.error else ""
        )


class Logs(logging.Handler):
    """Keeps the lines of all processes. What a dead process logs in its last callback is not kept."""

    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self.lines: list[LogLine] = []
        self._loop = loop

    def of(self, process: str, at_least: int = logging.INFO) -> list[LogLine]:
        """Those of one process, by name."""
        return [line for line in self.lines if line.process == process and line.level >= at_least]

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        process = process_of(None, self._loop.root)
        if process.is_dead:
            return
        error = "".join(traceback.format_exception(record.exc_info[1])) if record.exc_info and record.exc_info[1] else ""
        fields = getattr(record, "fields", None)
        message = record.getMessage() + (f" {fields}" if fields else "")
        self.lines.append(LogLine(self._loop.now, process.name, record.levelno, record.name, message, error))


@contextlib.contextmanager
def captured(loop: SimulatedLoop, level: int = logging.INFO) -> Iterator[Logs]:
    """Keep what is logged, from this level on, also where a command of this Python process made the service silent."""
    logs, root = Logs(loop), logging.getLogger()
    before = {logger: logger.level for logger in (root, logging.getLogger("holdfast"))}
    root.addHandler(logs)
    for logger in before:
        logger.setLevel(level)
    try:
        yield logs
    finally:
        root.removeHandler(logs)
        for logger, its_level in before.items():
            logger.setLevel(its_level)
