# ruff: file-ignore[ambiguous-unicode-character-string]  look-alike letters are what is tested
"""Why a text typed by staff is refused, and how word-processor characters are replaced."""

import tomllib
import unicodedata
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_wording_lint import edge, telling

from reminders.wording import check_typed, languages, plainer, samples, telling_words
from reminders.wording.lint import _LOOK_ALIKES, _compile_asked
from reminders.wording.segments import segments

ASKED = tomllib.loads(resources.files("reminders.wording").joinpath("asked_words.toml").read_text(encoding="utf-8"))
BODIES = [rendered.body for language in sorted(languages()) for rendered in samples(language)]


def problem(body, about):
    found = [each for each in check_typed(body) if about in each]
    assert len(found) == 1, check_typed(body)
    return found[0]


@pytest.mark.parametrize("body", BODIES)
def test_what_we_write_ourselves_may_be_typed(body):
    assert check_typed(body) == ()
    assert plainer(body) == body


@pytest.mark.parametrize(
    "body",
    [
        "Please call us at 202-555-0100 before 9:00 a.m. Ask for the front desk.",
        "Hi José, we found your umbrella (the blue one). It's at the desk.",
        "Su hermana María llamó: vuelva a llamar al 202.555.0100, por favor.",
        "Door code N/A today, and/or ring the bell at No. 5. See you then - drop in!",
        "We moved the check-in to 10:30; don't worry, it's the same room.\nThanks",
        "Please text us if you are late. Did you say yes to Thursday?",
        "Come to the end of the hall. Text us at the end of the day.",
        "Send STOP to stop our texts, START to get them, HELP for help.",
    ],
)
def test_ordinary_words_may_be_typed(body):
    assert check_typed(plainer(body)) == ()


@pytest.mark.parametrize("body", ["", "   ", "\n\t ", "\u200b\u00ad", "\u3164"])
def test_an_empty_text_is_not_sent(body):
    assert check_typed(body) == ("is empty",)


@given(telling, st.text(max_size=40), st.text(max_size=40), edge, edge)
def test_w2_a_telling_word_is_named_wherever_it_stands(word, before, after, left, right):
    assert any("tells" in each for each in check_typed(before + left + word + right + after))
    assert any("tells" in each for each in check_typed(plainer(before + left + word + right + after)))


brackets = st.sampled_from(["()", "[]", '""', "''", "**", "//", "--", "“”", "«»", "¿?", "__", "<>"])


@given(telling, brackets)
def test_w2_a_telling_word_is_found_in_any_brackets_and_quotes(word, pair):
    assert any("tells" in each for each in check_typed(f"See you {pair[0]}{word}{pair[1]} today"))


hidden = st.sampled_from(
    ["\u200b", "\u200d", "\u00ad", "\u2060", "\ufeff", "\u034f", "\ufe0f", "\u3164", "\u180e", "\u0301"]
)


@given(telling, hidden, st.data())
def test_w2_what_does_not_show_hides_no_letter(word, sign, data):
    at = data.draw(st.integers(1, len(word) - 1))
    assert any("tells" in each for each in check_typed(f"See you {word[:at]}{sign}{word[at:]} today"))


ALIKE = {}
for code, letter in _LOOK_ALIKES.items():
    ALIKE.setdefault(letter, []).append(chr(code))


@given(telling, st.data())
def test_w2_letters_that_only_look_like_ours_hide_no_word(word, data):
    places = [at for at, letter in enumerate(word) if letter in ALIKE]
    at = data.draw(st.sampled_from(places or [0]))
    other = data.draw(st.sampled_from(ALIKE.get(word[at], [word[at]])))
    disguised = f"See you {word[:at]}{other}{word[at + 1 :]} today"
    assert telling_words(disguised)
    assert any("tells" in each for each in check_typed(disguised))


@given(telling.filter(str.isalpha))
def test_w2_fullwidth_and_mathematical_letters_hide_no_word(word):
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", word) if letter.isascii())
    wide = "".join(chr(ord(letter) + 0xFEE0) for letter in plain)
    bold = "".join(chr(0x1D400 + ord(c) - 65) if c.isupper() else chr(0x1D41A + ord(c) - 97) for c in plain)
    assert telling_words(wide)
    assert telling_words(bold)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("See you at rеhab", "rehab"),
        ("СОСАINЕ", "cocaine"),
        ("clınic", "clinic"),
        ("alcøhol", "alcohol"),
        ("ᴅʀᴜɢꜱ", "drugs"),
        ("🅰🅰", "AA"),
        ("de-tox at nine", "detox"),
        ("d.e.t.o.x", "detox"),
        ("d e t o x", "detox"),
        ("re\u2011hab", "rehab"),
        ("the M-A-T visit", "MAT"),
        ("so*ber", "sober"),
    ],
)
def test_w2_a_word_that_is_spelt_apart_or_in_other_letters_is_named_as_it_is_read(body, word):
    assert word in problem(body, "tells").rpartition(": ")[2].split(", ")


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("привет", "cyrillic small letter pe"),
        ("Hola Ж", "cyrillic capital letter zhe"),
        ("你好", "cjk unified ideograph-4f60"),
        ("Σ", "greek capital letter sigma"),
    ],
)
def test_w2_what_the_list_cannot_know_is_not_sent(body, named):
    assert named in problem(body, "another alphabet")


@pytest.mark.parametrize("name", ["José", "Łukasz", "Søren", "Zoë", "Nguyễn", "Ángel", "Müller", "O'Brien", "ß"])
def test_w3_names_in_latin_letters_are_no_problem_and_are_never_spelled_otherwise(name):
    assert check_typed(name) == ()
    assert plainer(name) == name
    assert plainer(unicodedata.normalize("NFD", name)) == name


@pytest.mark.parametrize(
    "body",
    [
        "See https://example.org/x", "www.example.org", "bit.ly/abc", "Go to example.com.", "a@example.org",
        "http://10.0.0.1", "10.0.0.1/x", "EXAMPLE.ORG", "example．com", "exam\u200bple.com", "example。com", "ftp://x",
        "Call us.Thanks",
    ],
)  # fmt: skip
def test_l35_links_are_not_sent(body):
    assert problem(body, "link")


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("Reply CANCEL to cancel", "CANCEL"),
        ("reply cancel if you can't come", "CANCEL"),
        ('Text back "end" please', "END"),
        ("Reply C to confirm or CANCEL", "CANCEL"),
        ("reply c or cancel", "CANCEL"),
        ("Just answer yes or no", "YES"),
        ("Please reply with the word Yes.", "YES"),
        ("Send us Stop All", "STOP ALL"),
        ("Responda cancelar si no puede venir", "CANCELAR"),
        ("mande la palabra BAJA", "BAJA"),
        ("Conteste: no más", "NO MAS"),
        ("QUIT", "QUIT"),
        ("Reply YES", "YES"),
        ("Reply ＹＥＳ", "YES"),
    ],
)
def test_r04_words_that_end_or_begin_texts_are_not_asked_for(body, word):
    assert word in problem(body, "asks for")


@given(
    st.sampled_from(sorted({word for words in ASKED["ask"].values() for word in words})),
    st.sampled_from(sorted({word for words in ASKED["skip"].values() for word in words} | {"c", "r", ""})),
    st.sampled_from(sorted({word for words in ASKED["never"].values() for word in words})),
    st.sampled_from([str.lower, str.upper, str.title]),
    st.sampled_from([" ", ": ", ' "', " - "]),
)
def test_r04_every_way_to_ask_for_such_a_word_is_found(ask, skip, never, style, before):
    body = style(f"{ask} {skip}{before}{never}.")
    assert never.upper() in problem(body, "asks for")


@pytest.mark.parametrize(
    "sign", ["\x00", "\x07", "\x1b", "\t", "\x7f", "\ud800", "\ue000", "\u202e", "\u200b", "\u2800"]
)
def test_what_does_not_show_is_not_sent(sign):
    assert problem(f"Hello{sign}there", "has invisible")


def test_a_text_of_more_than_two_segments_is_not_sent():
    assert check_typed("so long " * 38) == ()
    assert check_typed("x" * 306) == ()
    assert "3 segments" in problem("x" * 307, "too long")
    assert "shorter" not in problem("x" * 307, "too long")


def test_w3_the_letters_that_make_a_text_long_are_named():
    assert check_typed("á" + "x" * 133) == ()
    found = problem("á" + "x" * 134, "too long")
    assert "3 segments" in found
    assert "without 'á'" in found


def test_every_problem_is_told_at_once():
    body = "Rеhab\x00 at example.com, reply YES " + "x" * 400
    assert len(check_typed(body)) == 6


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("“Hi” – it’s ‘us’…", "\"Hi\" - it's 'us'..."),
        ("a\u00a0b\u2009c\u3000d", "a b c d"),
        ("• one\r\n• two\rthree\u2028four", "- one\n- two\nthree\nfour"),
        ("so\u00adber\u200b\ufeff", "sober"),
        ("\t tab\tand ends \n", "tab and ends"),
        ("«¿Qué?» — ´x`", "\"¿Qué?\" - 'x'"),
        ("Jose\u0301, mañana", "José, mañana"),
    ],
)
def test_w3_the_signs_of_word_processors_become_those_of_a_phone(typed, plain):
    assert plainer(typed) == plain


def test_w3_plain_signs_halve_the_price():
    typed = "We’ll see you – call 202-555-0100 “before” nine"
    assert (segments(typed).encoding, segments(plainer(typed)).encoding) == ("UCS-2", "GSM-7")


@given(st.text())
def test_w3_what_is_plain_stays_and_letters_are_only_composed(text):
    plain = plainer(text)
    assert plainer(plain) == plain
    letters = [c for c in unicodedata.normalize("NFC", text) if c.isalpha() and c.isascii()]
    assert [c for c in plain if c.isalpha() and c.isascii()] == letters


@given(st.text())
def test_any_text_is_judged(text):
    for found in (check_typed(text), check_typed(plainer(text))):
        assert all(isinstance(each, str) and each for each in found)


@pytest.mark.parametrize(
    "broken",
    [
        {},
        ASKED | {"version": 1},
        ASKED | {"extra": {}},
        ASKED | {"never": {}},
        ASKED | {"never": {"en": []}},
        ASKED | {"ask": {"en": ["Reply"]}},
        ASKED | {"skip": {"es": ["más"]}},
    ],
)
def test_r04_a_list_that_is_empty_or_broken_is_an_error_and_never_nothing_found(broken):
    with pytest.raises(ValueError, match=r"asked_words\.toml"):
        _compile_asked(broken)


def test_w7_every_catalog_has_asked_words_of_its_own_language():
    assert all(languages() <= ASKED[name].keys() for name in ("ask", "skip", "never"))
