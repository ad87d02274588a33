"""The same verbs for a terminal. Data goes to stdout, words to stderr (CONTRACT: Commands)."""

from reminders.cli.app import app

__all__ = ["app"]
