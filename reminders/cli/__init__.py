"""The same verbs for a terminal. Data goes to stdout, words to stderr (README.md#commands)."""

from reminders.cli.app import app

__all__ = ["app"]
