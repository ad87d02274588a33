"""Everything that code, tests and docs cite is in the repository: each reference leads to a file, heading or number."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
FOLDERS = ("reminders", "jobs", "tests", "docs", "deploy")
SOURCES = "## Where the rules come from"
KINDS = {".py", ".md", ".toml", ".txt", ".html", ".sh"}
CORPUS = ROOT / "tests" / "corpus"  # what people might text: their words, not references

FILE = re.compile(r"(?<![\w/.-])((?:docs/)?[A-Za-z][\w-]*\.md)(?:#([a-z0-9-]+))?")
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
SECTIONS = re.compile(r"docs/twilio\.md ((?:\d+(?:\.\d+)?(?:, | to | and )?)+)")
NUMBERS = r"\d+(?:(?:, | and | to |, and )\d+)*"
RULE = re.compile(r"(?<![\w-])((?:[LCWPSEI]-\d+b?)|R0\.\d+)(?![\w-]|\.\d)")
POINT = re.compile(r"(?<![\w+-])(K(?:1[0-5]|\d)|INV\d+|(?:SEC|OPS)-\d+|F\d{1,2})(?![\w-])")
NAMED = re.compile(
    rf"\b(screens|long-run|field reports?|conversation|decisions?|(?:sending|data) rule|promise) ({NUMBERS})\b",
    re.IGNORECASE,
)

# Documents that were once cited and are not in the repository, and ambiguous codes.
STRANGE = re.compile(
    r"\bDESIGN\b|\bCONTRACT\b|domain-rules|reliability\.md|peers\.md|style\.md|screens-and-stack|\bshared/"
    r"|(?<!/)\btwilio\.md (?=§|\d)|docs/rules\.md|(?<!\d )§ ?\d|\(rules? \d+\)|ARCHITECTURE,? \d+"
    r"|(?<![\w\"'+-])(?:[SI]\d{1,2}|C1?\d)(?![\w\"'-])|\bfindings on\b"
)

# The tests named by the number of a finding (S), or of a section of docs/twilio.md; in others s10 is the rule S-10.
FINDING = re.compile(
    r"test_(doors_\w+|security_\w+|access|sign_in|pages_staff|cli|second_reader|simulator_shell|field_reports_intake)\.py"
)
TWILIO = re.compile(r"test_(simulator_\w+|gateway_inbound|disorder)\.py")
FIND = {"field_report": "field report", "long_run": "long-run", "screens": "screens", "conversation": "conversation"}


def files() -> Iterator[Path]:
    yield from (*ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "settings.toml", ROOT / "pyproject.toml")
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in KINDS and CORPUS not in path.parents and path != Path(__file__).resolve():
                yield path


@cache
def texts() -> dict[str, str]:
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in files()}


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@cache
def headings(name: str) -> frozenset[str]:
    outside = re.sub(r"```.*?```", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.DOTALL)
    return frozenset(map(slug, re.findall(r"^#+ (.+)$", outside, re.MULTILINE)))


@cache
def known() -> frozenset[str]:
    """Every code and number that a page of the repository explains."""
    found = set()
    for page in ("domain", "faults", "design", "simulation", "findings"):
        rows, _, _ = texts()[f"docs/{page}.md"].partition(SOURCES)
        found |= set(re.findall(r"^\| ([A-Za-z][\w .-]*?) \|", rows, re.MULTILINE))
    found |= {f"decision {number}" for number in re.findall(r"^(\d+)\. ", texts()["docs/decisions.md"], re.MULTILINE)}
    design = re.findall(r"^### ((?:Promise|Sending rule|Data rule) \d+)$", texts()["docs/design.md"], re.MULTILINE)
    twilio = texts()["docs/twilio.md"]
    found |= {name.lower() for name in design}
    found |= {f"twilio {number}" for number in re.findall(r"^##+ (\d+(?:\.\d+)?)\.? ", twilio, re.MULTILINE)}
    items = re.findall(r"^(\d+)\. ", twilio[twilio.index("## 10. ") :], re.MULTILINE)
    return frozenset(found | {f"twilio 10.{number}" for number in items})


def cited(text: str) -> Iterator[str]:
    """The codes and numbers in `text`, as `known` has them."""
    yield from (found[1] for found in RULE.finditer(text))
    yield from (found[1] for found in POINT.finditer(text))
    for found in NAMED.finditer(text):
        name = re.sub(r"(report|decision)s$", r"\1", found[1].lower())
        yield from (f"{name} {number}" for number in re.findall(r"\d+", found[2]))
    for found in SECTIONS.finditer(text):
        yield from (f"twilio {number}" for number in re.findall(r"\d+(?:\.\d+)?", found[1]))


@cache
def spoken(name: str) -> str:
    """The parts of a file that can cite: comments and docstrings of Python code, all of any other file."""
    text = re.sub(r"\n\s*", "\n", texts()[name])
    if not name.endswith(".py"):
        return text
    return "\n".join(re.findall(r'"""(?:[^"]|"(?!""))*"""|(?:^|(?<=  ))# .*$', text, re.MULTILINE))


def test_every_file_and_heading_that_is_cited_exists():
    wrong = []
    for name, text in texts().items():
        near = (ROOT / name).parent
        for file, heading in FILE.findall(text) if ".md" in text else ():
            place = next((folder / file for folder in (ROOT, near, DOCS) if (folder / file).is_file()), None)
            if place is None or (heading and heading not in headings(str(place.relative_to(ROOT)))):
                wrong.append(f"{name}: {file}#{heading}")
        for file, heading in LINK.findall(text) if name.endswith(".md") else ():
            place = (near / file).resolve() if file else ROOT / name
            if not place.exists() or (heading and heading not in headings(str(place.relative_to(ROOT)))):
                wrong.append(f"{name}: {file}#{heading}")
    assert wrong == []


def test_every_rule_and_number_that_is_cited_is_explained():
    wrong = {f"{name}: {code}" for name in texts() for code in cited(spoken(name)) if code not in known()}
    assert wrong == set()


def test_there_is_no_other_form_of_reference():
    wrong = []
    for name in texts():
        wrong += [f"{name}: {found[0]}" for found in STRANGE.finditer(spoken(name))]
    assert wrong == []


@pytest.mark.parametrize(
    "text",
    [
        *("DESIGN §8", "(CONTRACT: log)", "twilio.md §2.3", "domain-rules §2", "reliability.md §0.4", "(rule 11)"),
        *("who gets texts (S16).", "S2: a signature", "what recovers it (C13)", "at any of C0 … C15", "I9: the file"),
        *("ARCHITECTURE 32", "docs/rules.md", "findings on conversation, no. 3", "../shared/CONTRACT.md"),
    ],
)
def test_a_form_that_leads_nowhere_is_found(text):
    assert STRANGE.search(text)


@pytest.mark.parametrize("text", ["L-99", "C-16", "K16b, INV11", "SEC-17", "decision 99", "docs/twilio.md 10.16, 2"])
def test_a_number_that_is_not_there_is_found(text):
    assert set(cited(text)) - known()


def test_every_number_in_the_name_of_a_test_is_explained():
    wrong = []
    for name, text in texts().items():
        file = Path(name).name
        for test in re.findall(r"^(?:async )?def (test_\w+)\(", text, re.MULTILINE):
            if finding := re.match(r"test_(field_report|long_run|screens|conversation|code)_(\d+)_", test):
                code = f"{FIND.get(finding[1], finding[1])} {finding[2]}"
            elif number := re.match(r"test_(promise|rule)_(\d+)_", test):
                code = f"{'promise' if number[1] == 'promise' else 'sending rule'} {number[2]}"
            elif number := re.match(r"test_r0(\d)_", test):
                code = f"R0.{number[1]}"
            elif number := re.match(r"test_([fk])(\d+)_", test):
                code = f"{number[1].upper()}{number[2]}"
            elif not (number := re.match(r"test_([a-z])(\d+)_(?:(\d{1,2})_)?", test)):
                continue
            elif number[1] == "s" and TWILIO.fullmatch(file) and f"twilio {number[2]}" in known():
                code = f"twilio {number[2]}" + (f".{number[3]}" if number[3] else "")
            elif number[1] == "s" and FINDING.fullmatch(file):
                code = f"{'OPS' if int(number[2]) > 16 else 'SEC'}-{number[2]}"
            else:
                code = f"{number[1].upper()}-{number[2]}"
            if code not in known():
                wrong.append(f"{name}: {test} ({code})")
    assert wrong == []


def test_every_rule_has_a_source():
    rules, sources = texts()["docs/domain.md"].split(SOURCES)
    listed = re.findall(r"[A-Z]-\d+b?|R0\.\d+", " ".join(re.findall(r"^\| ([^|]+) \|", sources, re.MULTILINE)))
    assert sorted(listed) == sorted(re.findall(r"^\| ([A-Z]-\d+b?|R0\.\d+) \|", rules, re.MULTILINE))


def test_the_architecture_is_short():
    assert len(texts()["ARCHITECTURE.md"].splitlines()) <= 200
