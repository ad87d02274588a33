# ruff: file-ignore[line-too-long]  the texts as phones send them
"""Kinds of replies that were missed in a set of unseen phrases, each in other words than in that set."""

import re

import pytest

from reminders.conversation import Meaning, is_automatic, own_words, understand
from reminders.conversation.meaning import _lexicon

OURS = "Oak Street Office: a reminder of your visit Tue Dec 8, 3:00pm. In danger call 911. Reply C, R, or STOP to end texts."

CRISIS = {
    "waking is a burden": [
        ("it hurts to open my eyes in the mornings now", "en"), ("its getting harder and harder to be alive", "en"),
        ("me pesa tanto despertar", "es"), ("me duele mucho amanecer otra vez", "es"),
    ],
    "others would rest without the sender": [
        ("my mom could finally sleep if i was gone", "en"), ("everyone would breathe easier without me", "en"),
        ("mis hijos estarian mejor si yo no existiera", "es"), ("mi mama descansaria si me muriera", "es"),
    ],
    "no one is to be left with what remains": [
        ("i closed my accounts so my sister doesnt have to deal with it after im gone", "en"),
        ("paid it off so no one is left with the bills once i am gone", "en"),
    ],
    "dead rather than with another": [
        ("he says he would rather see me dead than with another man", "en"),
        ("she swore shed rather have me in the ground than leave", "en"),
        ("mi ex jura que primero muerta que con otro", "es"), ("me dijo que prefiere verme muerta a dejarme ir", "es"),
    ],
    "words that another language writes short": [("he broke my nose", "en"), ("ya no wanna live", "es")],
}  # fmt: skip
OVERDOSE = {
    "sedatives named by what they are for": [
        ("ran out of my anxiety meds two days ago and im shaking all over", "en"),
        ("stopped taking my sleeping pills and i keep twitching", "en"),
        ("sin mis pastillas para dormir y no paro de temblar, veo sombras", "es"),
        ("se me acabaron las medicinas para la ansiedad y sudo frio", "es"),
    ],
    "pupils like pins, no urine": [
        ("his pupils are so tiny and he wont talk", "en"), ("i havent been able to urinate since last night", "en"),
        ("tiene las pupilas como alfiler", "es"), ("no he podido orinar desde ayer", "es"),
    ],
}  # fmt: skip
HARMLESS = [
    ("hurts to wake up early lol", "en"), ("my pupils are fine the eye doctor said", "en"), ("my nose is runny", "en"),
    ("can you ask dr patel about my sleeping pills", "en"), ("i want to live downtown", "en"),
    ("my kids will sleep at my moms", "en"), ("can my sister deal with it at the front desk", "en"),
    ("me cuesta levantarme temprano", "es"), ("donde recojo mi medicina para la presion", "es"),
    ("mi equipo estaria mejor con otro portero", "es"), ("me duele la rodilla", "es"), ("gracias don jose", "es"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "language"), [pair for kind in CRISIS.values() for pair in kind])
def test_conversation_1_an_oblique_danger_is_a_crisis_by_a_rule(said, language):
    understood = understand(said, language)
    assert Meaning.CRISIS in understood.meanings
    assert not understood.because, "a rule finds it, not the second reader alone"


@pytest.mark.parametrize(("said", "language"), [pair for kind in OVERDOSE.values() for pair in kind])
def test_conversation_2_a_sign_of_the_body_is_answered_with_911_first(said, language):
    understood = understand(said, language)
    assert understood.answer is Meaning.OVERDOSE
    assert not understood.because


@pytest.mark.parametrize(("said", "language"), HARMLESS)
def test_conversation_what_looks_like_these_kinds_is_no_danger(said, language):
    assert not {Meaning.OVERDOSE, Meaning.CRISIS, Meaning.POSSIBLE}.intersection(understand(said, language).meanings)


def test_no_pattern_waits_for_a_word_that_no_text_can_hold():
    lexicon = _lexicon()
    for rule, pattern, _ in lexicon._patterns:
        words = set(re.findall(r"(?:(?<=[(|\]?])|(?<= ))([a-z0-9]+)(?= )", pattern._regex))
        assert not words & lexicon.spelling._short.keys(), rule.id


@pytest.mark.parametrize(
    ("said", "language"),
    [
        ("I have notifications silenced. If this is urgent, reply urgent to send a notification through.", "en"),
        ("John has notifications silenced", "en"),
        ("Tengo las notificaciones silenciadas. Si es urgente, responda urgente.", "es"),
    ],
)
def test_field_report_4_a_phone_that_keeps_silent_asks_for_nothing(said, language):
    assert set(understand(said, language, asked=True).meanings) == {Meaning.OTHER}
    assert is_automatic(said)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("A María le encantó “{}”", "other"), ("Maria Lopez liked “{}”", "other"), ("Ana reaccionó con 😂 a «{}»", "other"),
        ("Maria removed a like from “{}”", "removed"), ("You reacted ❤ to “{}”", "like"), ("Te gustó “{}”", "like"),
        ("Ha indicado que le gusta «{}»", "like"), ("Ha reaccionado con 👍 a «{}»", "like"), ("Le ha encantado «{}»", "like"),
        ("Le dio me gusta a “{}”", "like"), ("Marcó con Me gusta “{}”", "like"), ("Se ha reído de «{}»", "other"),
        ("No le ha gustado «{}»", "other"), ("Ha cuestionado «{}»", "other"), ("Se eliminó 👍 de “{}”", "removed"),
        ("Ha eliminado la reacción de «{}»", "removed"), ("👍 removed from “{}”", "removed"),
        ("Reacted to your message with 👍: “{}”", "like"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("text", [OURS, f"{OURS[:60]}…"], ids=["whole", "shortened"])
def test_field_report_1_a_reaction_in_the_form_of_any_phone_is_one(said, kind, text):
    body = said.format(text)
    assert (own_words(body, [OURS]).said, own_words(body, [OURS]).reaction) == ("", kind)
    assert Meaning.CRISIS in understand(own_words(f"{body} i want to die", [OURS]).said).meanings


@pytest.mark.parametrize(
    "said", ["Maria liked “see you at five”", "Stop liked “{}”", "Maria liked it, i want to die “{}”"]
)
def test_field_report_1_a_name_before_words_that_are_not_ours_hides_nothing(said):
    own = own_words(said.format(OURS), [OURS])
    assert own.reaction is None
    assert own.said.startswith(said.split("“")[0].strip())
