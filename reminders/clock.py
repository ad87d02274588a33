"""The one place that reads the time. Everything else takes `now` as an argument (sending rule 2)."""

from datetime import UTC, datetime, timedelta

_ahead = timedelta(0)


def machine() -> datetime:
    """The machine's own clock: aware, UTC."""
    return datetime.now(UTC)  # ruff: ignore[banned-api]  this is the one place


def now() -> datetime:
    """The current instant, aware and UTC: the machine's clock plus the measured offset to the database."""
    return machine() + _ahead


def correct(ahead: timedelta) -> None:
    """Set how far the database's clock is ahead of the machine's."""
    global _ahead  # ruff: ignore[global-statement]  one clock per process
    _ahead = ahead
