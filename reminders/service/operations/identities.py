"""The pair of keys that backups are sealed with: a recipient for the settings, an identity to be kept elsewhere."""

from pathlib import Path

from reminders.store.operations import age
from reminders.store.operations.backup import BadBackup

__all__ = ["new_pair", "read"]


def new_pair() -> tuple[str, str]:
    """A new identity (AGE-SECRET-KEY-1…) and its recipient (age1…)."""
    return age.new_pair()


def read(file: Path) -> list[str]:
    """The identities in a key file of age's. Raises BadBackup, which repeats nothing of the file."""
    try:
        return age.identities(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        raise BadBackup("the file of --identity cannot be read as text") from None
    except ValueError as wrong:
        raise BadBackup(f"the file of --identity {wrong}") from None
