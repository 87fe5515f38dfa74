"""Logs: one line per event on standard error."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final

_MAX_LOG_FIELD: Final = 2_000  # characters; a hostile field must not become a megabyte of log


class _JsonFormatter(logging.Formatter):
    """One line, one object; control characters cannot end it early because JSON escapes them."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:_MAX_LOG_FIELD],
        }
        fields = getattr(record, "fields", None)
        if fields:
            line.update({key: str(value)[:_MAX_LOG_FIELD] for key, value in fields.items()})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)[-8_000:]
        return json.dumps(line, ensure_ascii=True)


class _TextFormatter(logging.Formatter):
    """For a terminal; text from clients is escaped, so that it cannot control the operator's screen."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        fields = " ".join(f"{key}={str(value)[:200]!r}" for key, value in getattr(record, "fields", {}).items())
        message = record.getMessage()[:_MAX_LOG_FIELD].encode("unicode_escape").decode()
        text = f"{at} {record.levelname:<7} {record.name}: {message} {fields}".rstrip()
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def configure_logging(level: str, log_format: str) -> None:
    """Send everything to standard error, one line per event."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("holdfast.websocket").setLevel(logging.WARNING)  # the library would log frames, tokens among them
    for noisy in ("uvicorn.access", "asyncio", "google", "grpc", "httpx", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
