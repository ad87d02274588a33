"""The command `reminders demo`."""

from typing import Annotated

import typer


def demo(
    seconds: Annotated[float | None, typer.Option(min=1, help="Stop after this many seconds.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where the pages answer; 0: any free port.")] = 8000,
) -> None:
    """Run the whole service on sample data; nothing leaves this machine."""
    from reminders.demo.run import run_demo

    raise typer.Exit(run_demo(seconds=seconds, port=port))
