"""What docs/findings.md#conversation names: hidden or unknown danger, and phones that answer alone."""

from datetime import UTC, datetime, timedelta

import pytest
from conftest import send
from oncall import PHONE, Clinic

from reminders import store
from reminders.conversation import Meaning, understand

ROTA = (("First", {}), ("Second", {}))
SATURDAY_NIGHT = datetime(2026, 12, 5, 8, 0, tzinfo=UTC)  # Saturday, 3 a.m. in New York
NOON = datetime(2026, 12, 1, 17, 0, tzinfo=UTC)
D = [
    "my husband will kill me if i leave",
    "he is going to kill me when he gets home",
    "my boyfriend is going to kill me if i go to the police",
    "mi esposo me va a matar si me voy",
    "wish i was dead lol",
    "my mom is dead and i want to be too",
    "she'll kill me if she finds out",
    "my ex says he will kill me if i tell",
    "my dad will kill me if i tell anyone",
    "mi novio me va a matar cuando se entere",
    "i want to morir ya no puedo",
    "mi papa me mata si le digo",
]
M = [
    "estoy vomitando sangre",
    "im vomiting blood",
    "i keep throwing up and theres blood",
    "had two seizures today",
    "my chest hurts and my arm is numb",
    "seeing bugs and i cant stop shaking",
    "i stopped taking my xanax 3 days ago and im shaking",
    "i keep blacking out",
    "the left side of my face is drooping",
    "one side of my body is numb",
    "he is still out after narcan",
    "i have the dts",
    "estoy viendo cosas y no paro de temblar",
    "deje el clonazepam de golpe y me siento mal",
    "no siento la mitad de mi cuerpo",
    "me duele el pecho y el brazo",
    "coughing up blood",
    "no puedo mover el brazo izquierdo",
    "passed out twice today",
    "my heart is racing and wont slow down",
]
F = [
    "my boss is gonna kill me if im late",
    "my mom will kill me lol",
    "traffic is killing me",
    "mi mama me mata si llego tarde",
    "this heat is killing me",
    "my husband is gonna kill me lol i forgot the milk",
    "i'm dead lol",
    "mi jefe me va a matar si llego tarde",
    "im dying of hunger",
]
N = [
    "I'm in a meeting.",
    "Can't talk right now.",
    "I'm driving",
    "Sorry, I can't talk right now.",
    "On my way",
    "hello there",
    "I'm on my way.",
    "Can't talk now. What's up?",
    "I'll call you later.",
    "Can I call you later?",
    "I'm driving with Do Not Disturb While Driving turned on. I'll see your message when I get where I'm going.",
    "I'm out of the office. For emergencies call 911.",
    "Estoy en una reunion",
    "No puedo hablar ahora",
    "voy en camino",
    "hi there",
    "I am currently out of the office",
    "If this is an emergency, please call 911",
    "Estoy manejando",
    "En camino",
    "I'm at work",
    "In a meeting, call you back",
    "Hey there!",
    "Estoy ocupado, te llamo luego",
    "Busy right now",
    "I'm in class",
    "Thanks, can't talk",
]


@pytest.fixture
def clinic(database_url, tmp_path, travel, twilio):
    opened = Clinic(database_url, tmp_path, travel, twilio, *ROTA)
    yield opened
    opened.close()


@pytest.mark.parametrize("said", D)
def test_conversation_1_a_threat_with_a_condition_is_a_crisis(said):
    assert Meaning.CRISIS in understand(said).meanings


@pytest.mark.parametrize("said", F)
def test_conversation_1_a_figure_of_speech_stays_one(said):
    assert not {Meaning.CRISIS, Meaning.OVERDOSE} & set(understand(said).meanings)


@pytest.mark.parametrize("said", M)
def test_conversation_2_the_body_in_distress_is_answered_with_911_first(said):
    assert understand(said, asked=True).answer is Meaning.OVERDOSE


@pytest.mark.parametrize("said", N)
def test_field_report_4_what_a_phone_sends_by_itself_confirms_nothing(said):
    assert not {Meaning.CONFIRM, Meaning.YES, Meaning.CRISIS, Meaning.OVERDOSE} & set(
        understand(said, asked=True).meanings
    )


def test_conversation_3_a_missed_danger_at_night_gets_the_line_988_and_911_and_is_paged_when_overdue(clinic):
    clinic.accept()
    clinic.travel(SATURDAY_NIGHT - timedelta(hours=15))  # noon on Friday
    clinic.text("is there parking")
    clinic.travel(SATURDAY_NIGHT)
    clinic.text("the river keeps saying my name")
    clinic.travel(SATURDAY_NIGHT + timedelta(minutes=5))
    clinic.text("the candle is almost at the bottom")
    send(clinic.context)
    assert [text.wording for text in clinic.texts() if text.wording == "unknown"] == ["unknown"] * 3
    for body in clinic.received():
        assert "988" in body
        assert "911" in body
    (task,) = clinic.tasks("reply")
    clinic.pager.called()
    clinic.travel(task.due_at - timedelta(seconds=5))
    clinic.page()
    assert clinic.pager.called() == []
    clinic.travel(task.due_at + timedelta(minutes=1))
    clinic.page()
    assert clinic.pager.called() == ["First"]
    clinic.travel(task.due_at + timedelta(minutes=17))
    clinic.page()
    assert clinic.pager.called() == ["Second"]


def test_field_report_3_an_hour_of_automatic_replies_gets_two_texts_and_few_pages(clinic):
    clinic.accept()
    clinic.travel(SATURDAY_NIGHT)
    replies = (
        "I am out of the office. For emergencies call 911.",
        "Can't talk right now.",
        "Auto reply: if you are in crisis call 988 or 911 now",
        "This number is not monitored. Ticket #{}",
    )
    for minute in range(60):
        clinic.travel(SATURDAY_NIGHT + timedelta(minutes=minute))
        clinic.text(replies[minute % 4].format(minute))
    send(clinic.context)
    assert len(clinic.received()) <= 2
    assert len(clinic.pager.called()) <= 10


def test_field_report_1_reactions_do_nothing_and_a_like_confirms_at_most(clinic):
    clinic.accept()
    clinic.travel(datetime(2026, 12, 1, 15, 0, tzinfo=UTC))
    clinic.text("HELP")
    clinic.pager.called()
    (ours, *_) = clinic.received()
    for form in ("Liked “{}”", "Questioned “{}”", "Removed a like from “{}”", "👍 to “{}”", 'Reaccionó con 👍 a "{}"'):
        clinic.text(form.format(ours))
        clinic.text(form.format(ours[:50] + "…"))
    assert clinic.pager.called() == []
    assert clinic.received() == [ours]
    assert {task.kind for task in clinic.tasks()} <= {"reply"}
    clinic.text(f"Loved “{ours}” i want to die")
    assert clinic.pager.called() == ["First"]
    (said,) = [one for one in clinic.context.database.write(_talk) if one.way == "in" and "die" in one.words]
    assert said.parts == [(f"Loved “{ours}”", True), (" i want to die", False)]


def _talk(tx):
    number = store.people.keep_number(tx, PHONE, NOON)
    return store.replies.conversation(tx, number, [site.id for site in store.people.all_sites(tx)])
