"""`python -m reminders` and the `reminders` command."""


def main() -> None:
    """Run the command line."""
    from reminders.cli.app import RUNNING, app
    from reminders.demo.command import demo

    app.command(rich_help_panel=RUNNING)(demo)
    app(prog_name="reminders")


if __name__ == "__main__":
    main()
