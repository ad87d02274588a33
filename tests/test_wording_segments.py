# ruff: file-ignore[ambiguous-unicode-character-string]  look-alike letters are what is tested
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reminders.wording.segments import segments

# 3GPP TS 23.038, table 6.2.1, row by row; and its extension table.
BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅå" + "Δ_ΦΓΛΩΠΨΣΘΞÆæßÉ" + " !\"#¤%&'()*+,-./" + "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO" + "PQRSTUVWXYZÄÖÑÜ§" + "¿abcdefghijklmno" + "pqrstuvwxyzäöñüà"
)  # fmt: skip
EXTENSION = "\f^{}\\[~]|€"


def counted_slowly(body):
    """The septets or UTF-16 units one by one, cut whenever a part is full."""
    if all(character in BASIC + EXTENSION for character in body):
        encoding, alone, in_part = "GSM-7", 160, 153
        written = [["esc", character] if character in EXTENSION else [character] for character in body]
    else:
        encoding, alone, in_part = "UCS-2", 70, 67
        raw = [character.encode("utf-16-be", "surrogatepass") for character in body]
        written = [[unit[at : at + 2] for at in range(0, len(unit), 2)] for unit in raw]
    units = sum(map(len, written))
    if units <= alone:
        return encoding, units, 1
    parts = [[]]
    for character in written:
        if len(parts[-1]) + len(character) > in_part:
            parts.append([])
        parts[-1] += character
    return encoding, units, len(parts)


@pytest.mark.parametrize(
    ("body", "encoding", "units", "count"),
    [
        ("", "GSM-7", 0, 1),
        ("a" * 160, "GSM-7", 160, 1),
        ("a" * 161, "GSM-7", 161, 2),
        ("a" * 306, "GSM-7", 306, 2),
        ("a" * 307, "GSM-7", 307, 3),
        ("€" * 80, "GSM-7", 160, 1),
        ("€" * 81, "GSM-7", 162, 2),
        ("a" * 152 + "€" + "a" * 152, "GSM-7", 306, 3),  # 306 septets fill two parts, but the € is not split
        ("a" * 151 + "€" + "a" * 153, "GSM-7", 306, 2),
        ("ñ" * 160, "GSM-7", 160, 1),
        ("á" * 70, "UCS-2", 70, 1),
        ("á" * 71, "UCS-2", 71, 2),
        ("á" * 134, "UCS-2", 134, 2),
        ("á" * 135, "UCS-2", 135, 3),
        ("🙏" * 35, "UCS-2", 70, 1),
        ("🙏" * 36, "UCS-2", 72, 2),
        ("á" * 66 + "🙏" + "á" * 66, "UCS-2", 134, 3),  # the pair moves whole into the next part
        ("á" * 65 + "🙏" + "á" * 67, "UCS-2", 134, 2),
        ("a\r\nb", "GSM-7", 4, 1),
        ("a\fb", "GSM-7", 4, 1),
    ],
)
def test_bodies_at_the_edges_of_a_segment(body, encoding, units, count):
    found = segments(body)
    assert (found.encoding, found.units, found.count) == (encoding, units, count)


@pytest.mark.parametrize("character", "çáíóúÁÍÓÚ`\t’“–…\u00a0")
def test_w3_one_character_outside_gsm_7_makes_all_of_it_ucs_2(character):
    assert segments("Su cita es hoy " + character).encoding == "UCS-2"


@pytest.mark.parametrize("character", "ÇéÉñÑüÜ¿¡àèìòù")
def test_w3_these_spanish_letters_are_gsm_7(character):
    assert segments("Su cita es hoy " + character).encoding == "GSM-7"


pieces = st.sampled_from([*BASIC, *EXTENSION * 3, "á", "ç", "🙏", "\u200d", "\ud83d"])
long_bodies = st.one_of(
    st.text(),
    st.lists(st.sampled_from([*BASIC, *EXTENSION * 5]), min_size=100, max_size=350).map("".join),
    st.lists(pieces, min_size=50, max_size=250).map("".join),
)


@given(long_bodies)
def test_counting_agrees_with_writing_the_units_out(body):
    found = segments(body)
    assert (found.encoding, found.units, found.count) == counted_slowly(body)


@given(long_bodies, st.text(max_size=3))
def test_a_longer_body_never_takes_fewer_segments(body, more):
    assert segments(body + more).count >= segments(body).count
