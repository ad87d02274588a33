"""What a process writes about itself: one line an event, to stderr, without personal data.

An exception is written as its type and where it happened, never its text: a ValueError may carry someone's name.
"""

import logging
import sys
import traceback
from pathlib import Path
from types import TracebackType


class _Formatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S%z")

    def formatException(  # ruff: ignore[invalid-function-name]  logging's own name
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        """The frames and the type of an exception."""
        kind, _, trace = ei
        frames = "".join(traceback.format_tb(trace))
        return f"{frames}{kind.__name__ if kind is not None else 'no exception'}"


def describe(error: BaseException) -> str:
    """An exception as a log may show it: its type and where it happened, never its text."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    return f"{type(error).__name__} at {where}"


def set_up(level: int = logging.INFO) -> None:
    """Log to stderr, ours at `level`, everyone else's warnings only.

    The SDK logs whole URLs at INFO, and a list by number has the number in its URL.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for ours in ("reminders", "jobs"):
        logging.getLogger(ours).setLevel(level)
    # APScheduler's executor logs a failing job's exception text; our own listener reports it instead.
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
    logging.getLogger("uvicorn.error").setLevel(logging.INFO)
