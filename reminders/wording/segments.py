"""How many SMS segments a body takes, as Twilio counts and bills them (docs/twilio.md 9; 3GPP TS 23.038)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

# ç, backtick and tab are not in it; Ç is.
_GSM_7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_7_EXTENSION = frozenset("\f^{}\\[~]|€")  # sent as an escape and a character: two septets
_GSM_7_ALL = _GSM_7 | _GSM_7_EXTENSION


@dataclass(frozen=True, slots=True)
class Segments:
    """The size of a body: `units` are septets in GSM-7 and UTF-16 code units in UCS-2; Twilio bills `count`."""

    encoding: Literal["GSM-7", "UCS-2"]
    units: int
    count: int


def segments(body: str) -> Segments:
    """The encoding Twilio chooses for `body`, its length in units, and its number of segments.

    One character outside GSM-7 turns the whole body to UCS-2. A single segment holds 160 septets or 70 UTF-16 units;
    each part of a longer body holds 153 or 67. An extension character or a surrogate pair is never split over two
    parts. An empty body counts as one segment.
    """
    if _GSM_7.issuperset(body):
        units = len(body)
        return Segments("GSM-7", units, 1 if units <= 160 else -(-units // 153))
    if _GSM_7_ALL.issuperset(body):
        return _packed("GSM-7", [2 if character in _GSM_7_EXTENSION else 1 for character in body], 160, 153)
    return _packed("UCS-2", [2 if character > "\uffff" else 1 for character in body], 70, 67)


def _packed(encoding: Literal["GSM-7", "UCS-2"], sizes: Iterable[int], alone: int, in_part: int) -> Segments:
    units, parts, filled = 0, 1, 0
    for size in sizes:
        units += size
        filled += size
        if filled > in_part:
            parts, filled = parts + 1, size
    return Segments(encoding, units, 1 if units <= alone else parts)
