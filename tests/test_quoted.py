# ruff: file-ignore[line-too-long, ambiguous-unicode-character-string]  what phones send
"""Field report 1: what a phone quotes of our texts is not what the person says; the rest of the reply counts."""

import pytest

from reminders.conversation import Meaning, own_words, understand
from reminders.wording.render import samples

TEXTS = sorted({one.body for language in ("en", "es") for one in samples(language)})
PLAIN = {
    "liked": "Liked “{}”",
    "loved": 'Loved "{}"',
    "laughed": "Laughed at “{}”",
    "emphasized": "Emphasized “{}”",
    "questioned": "Questioned “{}”",
    "disliked": "Disliked “{}”",
    "removed": "Removed a heart from “{}”",
    "removed a like": "Removed a like from “{}”",
    "reacted": "Reacted 👍 to “{}”",
    "reacted, hidden signs": "Reacted \u200b❤️\u200b to “\u200b{}\u200b”",
    "android": "👍 to “{}”",
    "android, hidden signs": "\u200a\u200b👍\u200b to “\u200a\u200b{}\u200b” ",
    "android, straight": '❤️ to "{}"',
    "me gusta": "Me gusta “{}”",
    "le gusto": "Le gustó «{}»",
    "le encanto": "Le encantó “{}”",
    "risa": "Le dio risa “{}”",
    "enfatizo": "Enfatizó “{}”",
    "no le gusto": "No le gustó “{}”",
    "elimino": "Eliminó un me gusta de “{}”",
    "reacciono": 'Reaccionó con 👍 a "{}"',
    "android, es": "👍 a “{}”",
    "lines": "> {}",
    "mail": "On Mon, Nov 30, 2026 at 9:05 AM +15005550006 wrote:\n> {}",
    "mail, no marks": "On Nov 30, 2026, at 9:05 AM, 50055 wrote:\n\n{}",
    "correo": "El lun, 30 nov 2026 a las 9:05, Oak escribió:\n> {}",
    "original": "-----Original Message-----\nFrom: Oak\nSent: Monday\n\n{}",
    "forwarded": "Begin forwarded message:\n\n{}",
    "signature": "{}\n\nSent from my iPhone",
    "firma": "{}\nEnviado desde mi iPhone",
    "alone": "{}",
    "in marks": "“{}”",
}
MORE = {
    "removed a laugh": "Removed a laugh from “{}”",
    "removed an exclamation": "Removed an exclamation from “{}”",
    "removed a question mark": "Removed a question mark from “{}”",
    "removed a dislike": "Removed a dislike from “{}”",
    "reacted, laugh": "Reacted 😂 to “{}”",
    "android, removed": "Removed 👍 from “{}”",
    "android, sad": "😢 to “{}”",
    "le dio importancia": "Destacó “{}”",
    "cuestiono": "Cuestionó “{}”",
    "elimino un corazon": "Eliminó un corazón de “{}”",
    "android, es, risa": "😂 a “{}”",
    "reacciono, es": "Reaccionó 😮 a “{}”",
    "correo, sin marcas": "El 30 nov 2026, a las 9:05, 50055 escribió:\n\n{}",
}
HARMLESS = {Meaning.OTHER, Meaning.CONFIRM, Meaning.YES}


def shortened(text, share=0.6):
    return text[: int(len(text) * share)].rstrip() + "…"


def broken(text):
    return text.replace(". ", ".\n").upper().replace("’", "'")


@pytest.mark.parametrize("form", PLAIN.values(), ids=PLAIN)
@pytest.mark.parametrize("change", [str, shortened, broken], ids=["whole", "shortened", "retyped"])
def test_field_report_1_no_text_of_ours_played_back_means_anything(form, change):
    for text in TEXTS:
        body = form.format(change(text))
        own = own_words(body, [text])
        meanings = set(understand(own.said).meanings)
        assert meanings <= HARMLESS, (body, own.said, meanings)
        for added in ("i want to die", "me quiero morir"):
            own = own_words(f"{body}\n{added}" if form.startswith(">") else f"{body} {added}", [text])
            if "escribi" in form or "> {}" in form:
                own = own_words(f"{added}\n{body}", [text])
            elif "iPhone" in form:
                own = own_words(f"{added} {body}", [text])
            assert Meaning.CRISIS in understand(own.said).meanings, (body, own.said)


@pytest.mark.parametrize("form", MORE.values(), ids=MORE)
def test_field_report_1_no_other_kind_of_reaction_to_any_text_means_anything(form):
    for place, text in enumerate(TEXTS):
        for said in (text, shortened(text)):
            body, added = form.format(said), ("i want to die", "me quiero morir")[place % 2]
            own = own_words(body, [text])
            assert set(understand(own.said).meanings) <= HARMLESS, (body, own.said)
            own = own_words(f"{added}\n{body}" if "escribi" in form else f"{body} {added}", [text])
            assert Meaning.CRISIS in understand(own.said).meanings, (body, own.said)


@pytest.mark.parametrize(
    "typed",
    ["STOP", "stop", "STOP.", "Stop to end", "C", "R", "HELP", "AYUDA", "START", "SI", "Y", "end texts", "988", "911"],
)
def test_field_report_1_a_keyword_typed_by_the_person_is_never_taken_for_a_quotation(typed):
    assert own_words(typed, TEXTS[:40]).said == typed


@pytest.mark.parametrize(
    "said",
    [
        "in danger call 911", "i am in danger call 911", "en peligro, al 911", "el otro dia mi esposo escribio: te voy a matar",
        "Loved 'em i want to die", 'he texted me "i will kill you if you leave"', "Loved it i want to die",
        "thanks\n--\ni want to die", "cancel my visit", "i need a new time", "stop texting me",
    ],
)  # fmt: skip
def test_field_report_1_what_the_person_says_is_not_cut(said):
    assert understand(own_words(said, TEXTS[:40]).said).meanings == understand(said).meanings


def test_field_report_1_pictures_are_reacted_to_as_well():
    for body, kind in {
        "Liked an image": "like", "Loved a photo": "like", "Laughed at an image": "other", "Me gusta una foto": "like",
        "Removed a like from an image": "removed", "Reacted 👍 to an image": "like", "Reaccionó con 😢 a una imagen": "other",
    }.items():  # fmt: skip
        own = own_words(body)
        assert (own.said, own.reaction) == ("", kind), body


def test_field_report_1_what_was_cut_is_told_by_its_place():
    body = "Loved “Oak Street Office: Your visit is today.” thanks"
    own = own_words(body, ["Oak Street Office: Your visit is today."])
    assert own.said == "thanks"
    assert [body[begin:end] for begin, end in own.quoted] == ["Loved “Oak Street Office: Your visit is today.”"]


def test_field_report_1_the_longest_body_is_cut_in_time():
    import time

    started = time.perf_counter()
    own_words(("stop to end texts " * 120)[:1600], TEXTS[:40])
    assert time.perf_counter() - started < 2
