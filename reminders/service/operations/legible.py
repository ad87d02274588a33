"""What others wrote, made safe to look at: a sign that turns the line around or moves the cursor is shown as a mark."""

_TURNS = {
    "\u061c": "ALM",
    "\u200e": "LRM",
    "\u200f": "RLM",
    "\u202a": "LRE",
    "\u202b": "RLE",
    "\u202c": "PDF",
    "\u202d": "LRO",
    "\u202e": "RLO",
    "\u2066": "LRI",
    "\u2067": "RLI",
    "\u2068": "FSI",
    "\u2069": "PDI",
}
_PICTURES = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n\r"} | {0x7F: "\u2421"}
_OTHERS = {code: f"⟦U+{code:04X}⟧" for code in (*range(0x80, 0xA0), 0x2028, 0x2029)}
_MARKS = str.maketrans({sign: f"⟦{name}⟧" for sign, name in _TURNS.items()} | _PICTURES | _OTHERS)


def legible(text: str) -> str:
    """The text with every direction control and every control character but tabs and line ends as a visible mark.

    With U+202E before it, “I will not come” reads as “emoc ton lliw I”; an escape sequence colors a terminal or hides
    what stands above it (SEC-16).
    """
    return text.translate(_MARKS)
