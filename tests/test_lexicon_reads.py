"""A reviewer can read the lexicon: short lines, and above each group of patterns what it finds, with an example."""

import re
import tomllib
from collections import defaultdict

import pytest

from reminders.conversation import Meaning
from reminders.conversation.meaning import _lexicon
from reminders.conversation.rules import Lexicon, files

MEANINGS = frozenset(meaning.value for meaning in Meaning)
SETTINGS = ("version", "language", "turns", "fillers", "groups", "short", "spelling")
LONGEST = 120
RULE = re.compile(r"\[([a-z_]+)\.([a-z_]+)\]")
HEADING = re.compile(r'  # (\S.*\S): "(.+)"')


def written(name: str) -> list[tuple[str, str, str, list[str]]]:
    """The groups of patterns of a lexicon file: each with table and rule, heading, example and patterns."""
    data = tomllib.loads(files()[name])
    parts: list[tuple[str, str, list[str]]] = []
    rule, said = "", []
    for line in files()[name].splitlines():
        if line.startswith("["):
            rule, said = line, []
        elif heading := HEADING.fullmatch(line):
            said = []
            parts.append((rule, f"{heading[1]}\n{heading[2]}", said))
        elif RULE.fullmatch(rule) and line.startswith("  "):
            assert parts, f"{rule}: patterns stand before the first heading"
            assert parts[-1][0] == rule, f"{rule}: patterns stand before the first heading"
            said.append(line)
    found = []
    for rule, heading, lines in parts:
        table, name_of_rule = RULE.fullmatch(rule).groups()
        patterns = tomllib.loads("say = [\n" + "\n".join(lines) + "\n]")["say"]
        found.append((f"{table}.{name_of_rule}", *heading.split("\n"), patterns))
    headed = {rule for rule, *_ in found}
    assert headed == {f"{table}.{rule}" for table in data.keys() - set(SETTINGS) for rule in data[table]}
    return found


@pytest.mark.parametrize("name", files())
def test_no_line_of_the_lexicon_is_too_long_to_read(name):
    assert [line for line in files()[name].splitlines() if len(line) > LONGEST] == []


@pytest.mark.parametrize("name", files())
def test_every_group_of_patterns_has_a_heading_and_finds_its_own_example(name):
    groups = written(name)
    data = tomllib.loads(files()[name])
    tables: dict[str, dict] = {}
    for number, (rule, _, _, patterns) in enumerate(groups):
        table = rule.split(".")[0]
        extra = {"hides": ["help"]} if table == "figures" else {}
        tables.setdefault(table, {})[str(number)] = {"say": patterns} | extra
    lexicon = Lexicon({name: {key: data[key] for key in SETTINGS} | tables}, MEANINGS)
    by_rule = defaultdict(list)
    for one, pattern, needs in lexicon._patterns:
        by_rule[one.id].append((pattern, needs))
    for number, (rule, heading, example, _) in enumerate(groups):
        words = _lexicon().spelling.words(example)
        said = " " + "".join(f"{lexicon._mark(word)} " for word in words)
        assert any(
            pattern.compiled.search(said)
            for pattern, needs in by_rule[f"{data['language']}.{rule.split('.')[0]}.{number}"]
            if all(any(stands(atom, words) for atom in atoms) for atoms in needs)  # compiling the others takes long
        ), f"{rule}: {heading}: {example}"


def stands(atom: str, words: list[str]) -> bool:
    return any(word.startswith(atom[:-1]) if atom.endswith("*") else atom in {"#", word} for word in words)


def test_the_headings_of_a_rule_differ():
    for name in files():
        headings = [(rule, heading) for rule, heading, *_ in written(name)]
        assert len(set(headings)) == len(headings)


def test_a_pattern_broken_over_lines_is_the_pattern_on_one_line():
    data = tomllib.loads(files()["en.toml"])
    settings = {key: data[key] for key in SETTINGS}
    broken = "\n  (he|she)\n  (is|was)\n  (very|\n    too) tired\n"
    whole = [
        Lexicon({"en.toml": settings | {"change": {"rule": {"say": [pattern]}}}}, MEANINGS)
        for pattern in (broken, "(he|she) (is|was) (very|too) tired")
    ]
    assert whole[0].find(["she", "was", "too", "tired"]) == whole[1].find(["she", "was", "too", "tired"]) != []
