"""The pattern language, and how it refuses invalid patterns."""

import copy
import tomllib

import pytest

from reminders.conversation import Meaning
from reminders.conversation.meaning import _lexicon
from reminders.conversation.rules import Lexicon, files

MEANINGS = frozenset(meaning.value for meaning in Meaning)
SMALL = {
    "version": "1",
    "language": "en",
    "turns": ["but"],
    "fillers": ["just", "really"],
    "groups": {"fruit": ["apple", "blood orange"]},
    "short": {"dont": "do not"},
    "spelling": {"correct": [], "join": [], "ordinary": []},
}


def lexicon(*say: str, **tables) -> Lexicon:
    return Lexicon({"small.toml": SMALL | {"change": {"rule": {"say": list(say)}}} | tables}, MEANINGS)


def found(lexicon: Lexicon, text: str) -> list[str]:
    words = lexicon.spelling.words(text)
    return [" ".join(words[one.begin : one.end]) for one in lexicon.find(words) if one.rule.means == "change"]


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("eat apples", "i eat apples now", ["eat apples"]),
        ("eat apples", "i eat applesauce", []),
        ("eat apples", "eat just really apples", ["eat just really apples"]),
        ("eat apples", "eat red apples", []),
        ("eat ... apples", "eat three big red apples", ["eat three big red apples"]),
        ("eat ... apples", "eat four very big red apples", []),
        ("eat ... apples", "eat but not apples", []),
        ("eat*", "eaten by eats", ["eaten", "eats"]),
        ("eat # apples", "eat 12 apples", ["eat 12 apples"]),
        ("at #", "at 3pm", ["at 3pm"]),
        ("pear|plum", "a plum", ["plum"]),
        ("eat (pear|big plum)", "eat big plum", ["eat big plum"]),
        ("eat @fruit", "eat blood orange", ["eat blood orange"]),
        ("eat (a @fruit|(two|three) plums)", "eat three plums", ["eat three plums"]),
        ("eat (the)? plum", "eat plum eat the plum", ["eat plum", "eat the plum"]),
        ("eat (the|big)* plum", "eat the big big plum", ["eat the big big plum"]),
        ("eat !(the plum)", "eat the plum", []),
        ("eat !(the plum)", "eat the pear", ["eat"]),
        ("eat !plum", "eat really plum", []),
        ("^ eat", "eat eat", ["eat"]),
        ("eat $", "eat now eat just", ["eat"]),
        ("eat (now|$)", "i eat", ["eat"]),
        ("don't eat", "DONT eat", ["do not eat"]),
        ("eat plum", "eat eat plum", ["eat plum"]),
        ("eat ... plum", "eat eat plum", ["eat eat plum", "eat plum"]),
    ],
)
def test_a_pattern_finds(pattern, text, expected):
    assert found(lexicon(pattern), text) == expected


def test_a_figure_of_speech_hides_what_shares_a_word_with_it_and_nothing_else():
    figures = {"of_speech": {"hides": ["change"], "say": ["eat my words"]}}
    small = lexicon("eat", "drink", figures=figures)
    assert found(small, "i eat my words and drink and eat") == ["drink", "eat"]


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("eat (plum", "a parenthesis that is not closed"),
        ("eat plum)", "one parenthesis too many"),
        ("eat (|plum)", "an empty choice"),
        ("eat @meat", "no such group: @meat"),
        ("eat Plum", "cannot be read: eat Plum"),
        ("eat; plum", "cannot be read"),
        ("? eat", "expected a word"),
        ("... eat", "must begin and end with words"),
        ("eat ...", "must begin and end with words"),
        ("!eat plum", "must begin and end with words"),
        ("(eat)?", "requires no word"),
        ("$", "requires no word"),
        ("", "has an empty choice"),
    ],
)
def test_a_pattern_that_cannot_be_meant_is_refused_with_file_and_rule(pattern, problem):
    with pytest.raises(ValueError, match=r"small\.toml: en\.change\.rule: ") as refused:
        lexicon(pattern)
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        ({"chanqe": {"rule": {"say": ["eat"]}}}, "small.toml: chanqe: no such meaning or table"),
        ({"change": {"rule": {"says": ["eat"]}}}, "small.toml: en.change.rule: say: must be a list of patterns"),
        ({"change": {"rule": {"say": []}}}, "small.toml: en.change.rule: say: must be a list of patterns"),
        ({"change": {"rule": {"say": ["eat"], "hole": True}}}, "small.toml: en.change.rule: no such setting: hole"),
        ({"change": {"rule": {"say": ["a ... b"], "whole": True}}}, "explains words it does not name"),
        ({"polite": {"rule": {"say": ["a ... b"]}}}, "explains words it does not name"),
        ({"figures": {"rule": {"say": ["eat"]}}}, "small.toml: en.figures.rule: hides: must name meanings"),
        ({"figures": {"rule": {"say": ["eat"], "hides": ["nothing"]}}}, "hides: must name meanings"),
        ({"version": 1}, "small.toml: version, language: must be texts"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(tables, problem):
    with pytest.raises(ValueError, match="small") as refused:
        lexicon("eat", **tables)
    assert problem in str(refused.value)


def test_a_lexicon_without_a_part_is_refused():
    for part in SMALL:
        with pytest.raises(ValueError, match=rf"small\.toml: {part}: is missing"):
            Lexicon({"small.toml": {key: value for key, value in SMALL.items() if key != part}}, MEANINGS)


def test_files_of_two_versions_are_refused():
    other = copy.deepcopy(SMALL) | {"version": "2"}
    with pytest.raises(ValueError, match=r"a\.toml, b\.toml: version: must be the same"):
        Lexicon({"a.toml": SMALL, "b.toml": other}, MEANINGS)


def test_our_lexicon_compiles_whole_and_its_rules_have_names_of_their_own():
    assert all(pattern.compiled for _, pattern, _ in _lexicon()._patterns)
    ids = {rule.id: rule for rule, *_ in _lexicon()._patterns}
    assert all(rule == ids[rule.id] for rule, *_ in _lexicon()._patterns)


def test_our_lexicon_is_one_version_in_all_files():
    for text in files().values():
        assert tomllib.loads(text)["version"] == _lexicon().version
