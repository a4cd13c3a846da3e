"""Log lines on stderr: a sentence with fields beside it, plain for people or JSON for a collector."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime

from alpimonitor_api.settings import LogFormat, LogLevel
from alpimonitor_api.times import utc_text

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""Which request a line is about; empty outside of any."""

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
"""What every record carries; everything else was given as `extra`."""


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields = {name: value for name, value in vars(record).items() if name not in _OWN}
    if request_id := REQUEST_ID.get():
        fields["request_id"] = request_id
    return fields


def _at(record: logging.LogRecord) -> str:
    return utc_text(datetime.fromtimestamp(record.created, UTC))


class PlainFormatter(logging.Formatter):
    """`2026-04-20T20:20:00.123456Z WARNING alpimonitor_api.database: a sentence (action=…, reason=…)`"""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_at(record)} {record.levelname} {record.name}: {record.getMessage()}"
        fields = _fields(record)
        if fields:
            line += " (" + ", ".join(f"{name}={value}" for name, value in fields.items()) + ")"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonFormatter(logging.Formatter):
    """An object a line: at, level, logger, message, the fields, and exception where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            **_fields(record),
            "at": _at(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class OncePerSecond(logging.Filter):
    """Of each sentence below ERROR one line a second, which says how many were passed over.

    For a logger that tells what a client did wrong: whoever does it again and again must not fill the disk.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told_at: dict[str, float] = {}
        self._passed_over: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        sentence = str(record.msg)
        if record.levelno >= logging.ERROR:
            return True
        # By the distance: a clock that is set back must not silence it until that time comes again.
        if abs(record.created - self._told_at.get(sentence, float("-inf"))) < 1:
            self._passed_over[sentence] = self._passed_over.get(sentence, 0) + 1
            return False
        self._told_at[sentence] = record.created
        if passed_over := self._passed_over.pop(sentence, 0):
            record.passed_over = passed_over
        return True


def configure(level: LogLevel, form: LogFormat) -> None:
    """Send every line of this process to stderr in this form; for a composition root to call once."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form is LogFormat.JSON else PlainFormatter())
    logging.basicConfig(level=level.value, handlers=[handler], force=True)
    # They tell of each step and each request at INFO: that is what DEBUG is for.
    for chatty in ("uvicorn", "httpx", "httpcore", "psycopg", "asyncio"):
        heard = level.value if level in (LogLevel.DEBUG, LogLevel.ERROR, LogLevel.CRITICAL) else "WARNING"
        logging.getLogger(chatty).setLevel(heard)
    logging.getLogger("uvicorn.error").addFilter(OncePerSecond())
