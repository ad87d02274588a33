"""docs/security.md says which test shows what: every test and file that it names exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
CHAPTERS = (
    *("Encoding and Sanitization", "Validation and Business Logic", "Web Frontend Security", "API and Web Service"),
    *("File Handling", "Authentication", "Session Management", "Authorization", "Self-contained Tokens"),
    *("OAuth and OIDC", "Cryptography", "Secure Communication", "Configuration", "Data Protection"),
    *("Secure Coding and Architecture", "Security Logging and Error Handling", "WebRTC"),
)


def test_every_chapter_of_asvs_5_has_its_line_with_what_shows_it():
    lines = re.findall(r"^\| V(\d+) ([^|]+?) \|([^|]*)\|([^|]*)\|([^|]*)\|([^|]*)\|$", PAGE, re.MULTILINE)
    assert [(int(line[0]), line[1]) for line in lines] == list(enumerate(CHAPTERS, 1))
    for _, name, holds, shown_by, _, _ in lines:
        assert ("tests/" in shown_by) is (holds.strip() != "Not used"), name


def test_every_test_that_it_names_is_there():
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)
    assert len(named) > 25
    for file, function in named:
        path = ROOT / file
        assert path.is_file(), file
        if function:
            assert re.search(rf"^def {function}\(", path.read_text(encoding="utf-8"), re.MULTILINE), (file, function)
