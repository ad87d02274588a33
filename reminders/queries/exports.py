"""What all exports share: the notice with a disclosure (L-51), and cells that no spreadsheet runs."""

import unicodedata

PART_2_NOTICE = "42 CFR part 2 prohibits unauthorized use or disclosure of these records."
"""With every disclosure (L-51)."""


NOTICE = (
    PART_2_NOTICE,
    "Whoever receives this list may not pass it on or use it against a patient unless the patient agrees in writing.",
    "What each patient agreed to stands in the column consent_scope.",
)


BOM = "\ufeff"  # without it Excel reads UTF-8 as Windows-1252


def harmless(cell: str) -> str:
    """The cell, with an apostrophe in front where a spreadsheet could take it for a formula.

    Some trim blanks and invisible signs first, and take full-width signs as well (OWASP: CSV Injection).
    """
    visible = (sign for sign in unicodedata.normalize("NFKC", cell) if sign.isprintable() and not sign.isspace())
    return f"'{cell}" if next(visible, None) in {"=", "+", "-", "@"} else cell
