"""The one line that reads the time. Everything else takes `now` as an argument (DESIGN: rules of sending, 2)."""

from datetime import UTC, datetime


def now() -> datetime:
    """The present instant: aware, UTC."""
    return datetime.now(UTC)  # noqa: TID251  this is the one place
