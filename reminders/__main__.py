"""`python -m reminders` and the `reminders` command."""


def main() -> None:
    """Run the command line."""
    from reminders.cli import app

    app(prog_name="reminders")


if __name__ == "__main__":
    main()
