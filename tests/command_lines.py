"""Command lines as they stand in units, compose files and runbooks, held against the commands that there are."""

import re
import shlex

import typer

from reminders.cli.app import app

ENDS = {"|", ">", ">>", "&&", "||", "&", ";", "<"}


def wrong_with(line: str) -> str | None:
    """What is wrong with `reminders …`: an unknown command or option, or too many words; None where nothing is."""
    words = shlex.split(line, comments=True)
    assert words[0] == "reminders"
    words = words[1 : next((at for at, word in enumerate(words) if word in ENDS or word.startswith(">")), len(words))]
    command, said = typer.main.get_command(app), "reminders"
    while hasattr(command, "commands"):
        if not words or words[0].startswith("-"):
            return None if words[:1] in (["--version"], ["--help"]) else f"{said}: names no command"
        name = words.pop(0)
        if name not in command.commands:
            return f"{said}: no command {name}"
        command, said = command.commands[name], f"{said} {name}"
    options = {name: one for one in command.params for name in (*one.opts, *one.secondary_opts) if name.startswith("-")}
    places = [one for one in command.params if one.param_type_name == "argument"]
    given = 0
    while words:
        word = words.pop(0)
        if not word.startswith("-") or word == "-":
            given += 1
            continue
        name, equals, _ = word.partition("=")
        if name not in options:
            return f"{said}: no option {name}"
        if not options[name].is_flag and not equals:
            if not words:
                return f"{said}: {name} wants a value"
            words.pop(0)
    if any(one.nargs == -1 for one in places):
        return None
    needed = sum(one.required for one in places)
    return None if needed <= given <= len(places) else f"{said}: takes {needed} to {len(places)} words, not {given}"


def lines_in(text: str) -> list[str]:
    """Every `reminders …` line of the fenced blocks of a page; a backslash joins lines."""
    blocks = re.findall(r"^ *```\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    found = []
    for block in blocks:
        for line in re.sub(r"\\\n\s*", "", block).splitlines():
            words = re.sub(r"^\s*(?:sudo -u reminders |\$ )?", "", line)
            found += [words] if words.startswith("reminders ") else []
    return found
