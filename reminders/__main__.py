"""`python -m reminders` and the `reminders` command."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer


@cache
def commands() -> "typer.Typer":
    """Every command: those of the service, and the demo."""
    from reminders.cli.app import RUNNING, app
    from reminders.demo.command import demo

    app.command(rich_help_panel=RUNNING)(demo)
    return app


def main() -> None:
    """Run the command line."""
    commands()(prog_name="reminders")


if __name__ == "__main__":
    main()
