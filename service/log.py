"""What the processes say on standard error: one line for each event, for people or for log collectors."""

from __future__ import annotations

import json
import logging
import sys
import threading
from datetime import UTC, datetime
from typing import Literal

from domain.timeline import to_rfc3339

_LEAST = {
    **dict.fromkeys(("faust", "mode", "httpx", "httpcore", "urllib3", "uvicorn", "alembic"), "WARNING"),
    # Faust logs its own life under the name of the module that makes its application.
    "stream.faust_app": "WARNING",
    # While brokers are away they log errors several times a second. What they can't mend they raise, and we say once.
    **dict.fromkeys(("aiokafka", "kafka"), "CRITICAL"),
}
"""Libraries, and from which level what they say is for the operator; at level DEBUG all of it is shown."""


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = f"{_at(record):%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03d}Z {record.levelname:<7} {record.name}: "
        line += record.getMessage()
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "at": to_rfc3339(_at(record), timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def set_up(level: str = "INFO", form: Literal["text", "json"] = "text", *, libraries: str = "NOTSET") -> None:
    """Send every logger's lines to standard error, in UTC: ours from `level` on, those of libraries only from
    `libraries` on too; and so what ends a thread. May be called again."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    levels = logging.getLevelNamesMapping()
    for name, least in _LEAST.items():
        quiet = max(levels[level], levels[least], levels[libraries])
        logging.getLogger(name).setLevel(logging.NOTSET if level == "DEBUG" else quiet)
    # A library's thread, such as that of a consumer which stops while its broker is away, is a record as all else is.
    threading.excepthook = _log_end_of_thread


def _log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_type is SystemExit:
        return  # a thread's way to end itself
    name = ended.thread.name if ended.thread else "of no name"
    logging.getLogger(__name__).error("Thread %s ended: %r", name, ended.exc_value, exc_info=ended.exc_value)


def _at(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)
