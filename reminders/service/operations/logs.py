"""What a process writes about itself: one line an event, to stderr, without personal data.

An exception is written as its type and where it happened, never its text: a ValueError may carry someone's name.
"""

import json
import logging
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from reminders.settings import LoggingSettings

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being answered."""

_Info = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class _Formatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S%z")

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever is in it."""
        found = request_id.get()
        line = super().format(record).replace("\n", " | ")
        return f"{line} [request {found}]" if found is not None else line

    def formatException(self, ei: _Info) -> str:  # ruff: ignore[invalid-function-name]  logging's own name
        """The frames and the type of an exception."""
        return _described(ei)


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """One line, a JSON document."""
        said = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (found := request_id.get()) is not None:
            said["request_id"] = found
        if record.exc_info:
            said["error"] = _described(record.exc_info)
        return json.dumps(said)


def _described(info: _Info) -> str:
    kind, _, trace = info
    frames = traceback.extract_tb(trace)
    where = " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
    return f"{where}: {kind.__name__ if kind is not None else 'no exception'}"


def describe(error: BaseException) -> str:
    """An exception as a log may show it: its type and where it happened, never its text."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    return f"{type(error).__name__} at {where}"


def set_up(level: int | None = None, how: LoggingSettings | None = None) -> None:
    """Log to stderr as `how` says, ours at `level` where it is given, everyone else's warnings only.

    The SDK logs whole URLs at INFO, and a list by number has the number in its URL.
    """
    how = how or LoggingSettings()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if how.format == "json" else _Formatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for ours in ("reminders", "jobs"):
        logging.getLogger(ours).setLevel(level if level is not None else how.level.upper())
    # APScheduler's executor logs a failing job's exception text; our own listener reports it instead.
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
    logging.getLogger("uvicorn.error").setLevel(logging.INFO)
