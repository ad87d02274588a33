"""The packaged figures of how well replies are understood, from the table of docs/replies.md.

`python -m tests.measured` writes them; run it after updating that table.
"""

import hashlib
import json
import re
from pathlib import Path

from reminders.conversation import understand

ROOT = Path(__file__).parents[1]
FILE = ROOT / "reminders" / "conversation" / "measured.json"
CORPUS = sorted((ROOT / "tests" / "corpus").glob("*.toml"))


def figures() -> dict[str, object]:
    """What the file must contain: the table's rows, and the versions of the lexicon and of the corpus."""
    text = (ROOT / "docs" / "replies.md").read_text(encoding="utf-8")
    phrases, table = re.search(r"^Of (\d+) phrases:\n\n((?:\|.*\n)+)", text, re.MULTILINE).groups()
    header, _, *lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines())
    rows = [dict(zip(header, cells, strict=True)) for cells in lines]
    return {
        "lexicon": understand("").version,
        "corpus": hashlib.sha256(b"".join(path.read_bytes() for path in CORPUS)).hexdigest()[:12],
        "phrases": int(phrases),
        "rows": [
            {
                "meaning": row["meaning"],
                "phrases": int(row["phrases"]),
                "found": int(row["found"]),
                "precision": row["precision"],
                "unseen": row["held out, first time"],
            }
            for row in rows
            if int(row["phrases"])
        ],
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(figures(), indent=2) + "\n", encoding="utf-8")
