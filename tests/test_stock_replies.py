# ruff: file-ignore[line-too-long]  what phones and offices send
"""Field reports 3 and 4: automatic replies of a phone or an office confirm nothing, change nothing and stop nothing.

Words of agreement next to one do not count: "ok in a meeting" is not a promise to come.
"""

from datetime import UTC, datetime, timedelta

import pytest
from conftest import send
from oncall import Clinic

from reminders.conversation import Meaning, understand
from reminders.store.database import schema

NOTHING = {Meaning.OTHER, Meaning.WHO}
AGREED_OR_GONE = {Meaning.CONFIRM, Meaning.YES, Meaning.STOP, Meaning.WRONG_NUMBER}
EN = [
    "I'm in a meeting.", "In a meeting, call you back.", "In the middle of a meeting", "In class", "I'm in an appointment right now.",
    "I'm in a session", "I'm driving.", "I'm driving with Do Not Disturb While Driving turned on. I'll see your message when I get where I'm going.",
    "I'm at work.", "I'm at the movies.", "I'm busy right now.", "I'm sleeping.", "Sorry, I can't talk right now.",
    "Can't talk right now. What's up?", "Can I call you later?", "I'll call you right back.", "Talk to you later", "Text you later",
    "I'll get back to you soon.", "I will see your message later.", "Thank you for your message.", "Thanks for your text!",
    "Thank you for contacting us.", "Thank you for reaching out. We will get back to you.", "We received your message.",
    "Message received.", "Your message has been received. Thank you.", "Got your message, thank you!", "This is an automated reply.",
    "I am out of the office.", "Out of office until tomorrow", "I'm on vacation and will reply when I return.",
    "We are closed.", "Yes we are open today until 5.", "Our office is closed. We will be in at 9 tomorrow.",
    "Hello, how can I help you?", "Sure! How can I help you today?", "Okay. Is there anything else?", "Hello", "Good morning!", "Hi there",
    "Have a great day!", "Reply YES to confirm.", "Reply C to confirm or R to reschedule.", "Reply STOP to unsubscribe.",
    "To unsubscribe, reply STOP", "Text HELP for help.", "Reply STOP to opt out or HELP for help", "This number is not monitored.",
    "This number does not accept text messages.", "The person you are trying to reach is unavailable.",
    "The subscriber you have texted is not available.", "SMS service is not available.", "Message not delivered.",
    "Your message could not be delivered.", "Message failed to send.", "Texting to this landline is not supported.",
    "Free Msg: Unable to send message - Message Blocking is active.",
]  # fmt: skip
ES = [
    "Estoy en una reunión.", "En una reunión", "Estoy en junta", "en clase", "Estoy en consulta", "Estoy manejando.", "Estoy conduciendo",
    "Estoy ocupado", "Estoy en el trabajo", "No puedo hablar ahora. ¿Qué pasa?", "Lo siento, no puedo hablar ahora.", "Te llamo luego.",
    "Luego le llamo", "Le escribo más tarde", "Gracias por su mensaje.", "Gracias por escribirnos.", "Gracias por comunicarse con nosotros.",
    "Hemos recibido su mensaje.", "Mensaje recibido.", "Su mensaje ha sido recibido.", "Respuesta automática",
    "Mensaje automático: no responda", "Estoy fuera de la oficina.", "Estoy de vacaciones, responderé a mi regreso.", "Estamos cerrados.",
    "Hola, ¿en qué puedo ayudarle?", "Claro, ¿en qué le puedo ayudar?", "Bien, gracias. ¿Y usted?", "Hola", "Buenos días", "Buenas tardes",
    "Que tenga un buen día", "Responda SI para confirmar", "Responda STOP para dejar de recibir mensajes",
    "Para dejar de recibir mensajes responda STOP", "Este número no recibe mensajes.", "El usuario no está disponible.",
    "Mensaje no enviado", "No se pudo entregar su mensaje.", "El número que marcó no existe.",
]  # fmt: skip
AGREES = {"en": ["ok", "OK.", "yes", "Yes,", "sure,", "got it,", "k", "okay thanks,"], "es": ["ok", "si", "Sí,", "claro,", "bueno,", "vale", "de acuerdo,"]}  # fmt: skip
# These are greetings or office words that do not affect a yes.
SAYS_NOTHING = {
    "Hello", "Hi there", "Good morning!", "Have a great day!", "Hola", "Buenos días", "Buenas tardes", "Que tenga un buen día",
    "This number is not monitored.",
}  # fmt: skip
BESIDE = [(said, "en") for said in EN if said not in SAYS_NOTHING] + [
    (said, "es") for said in ES if said not in SAYS_NOTHING
]


def meanings(said, language):
    return set(understand(said, language, asked=True).meanings)


@pytest.mark.parametrize(("said", "language"), [*((said, "en") for said in EN), *((said, "es") for said in ES)])
def test_field_report_4_what_is_sent_by_itself_means_nothing(said, language):
    assert len(EN) + len(ES) >= 40
    assert meanings(said, language) <= NOTHING
    assert meanings(f"Auto-reply: {said}", language) <= NOTHING


@pytest.mark.parametrize(("said", "language"), BESIDE)
def test_field_report_4_no_yes_beside_it_confirms(said, language):
    for agrees in AGREES[language]:
        for body in (f"{agrees} {said[:1].lower()}{said[1:]}", f"{said} {agrees}"):
            assert meanings(body, language) <= NOTHING, body


@pytest.mark.parametrize("word", ["ok", "yes", "si", "thanks", "gracias", "hello", "hola"])
def test_field_report_4_no_two_of_them_with_any_courtesy_confirm(word):
    for place, (one, language) in enumerate(BESIDE):
        for step in (1, 7, 31):
            other, _ = BESIDE[(place + step) % len(BESIDE)]
            body = f"{word} {one} {other}"
            assert not meanings(body, language) & AGREED_OR_GONE, body


@pytest.mark.parametrize(
    ("said", "language", "meaning"),
    [
        ("ok see you at the meeting", "en", Meaning.CONFIRM), ("yes I will be in group tomorrow", "en", Meaning.CONFIRM),
        ("Good morning, yes I'll be there", "en", Meaning.CONFIRM), ("Hi there, yes", "en", Meaning.YES),
        ("ok thanks for the reminder", "en", Meaning.CONFIRM), ("ok, have a great day", "en", Meaning.CONFIRM),
        ("I'm at work, I can't make it tomorrow", "en", Meaning.CHANGE), ("I'm on vacation until Monday", "en", Meaning.CHANGE),
        ("how do I unsubscribe", "en", Meaning.STOP_ASKED), ("I want to unsubscribe", "en", Meaning.STOP_ASKED),
        ("Buenos días, sí voy", "es", Meaning.CONFIRM), ("ahí estaré en la reunión", "es", Meaning.CONFIRM),
        ("ya no quiero recibir mensajes", "es", Meaning.STOP_ASKED), ("Y", "es", Meaning.YES), ("si gracias", "es", Meaning.YES),
        ("in a meeting and i want to die", "en", Meaning.CRISIS), ("estoy en junta y me quiero morir", "es", Meaning.CRISIS),
    ],
)  # fmt: skip
def test_field_report_4_what_a_person_says_still_counts(said, language, meaning):
    assert meaning in meanings(said, language)


NIGHT = datetime(2026, 12, 5, 8, 0, tzinfo=UTC)  # Saturday, 3 a.m. in New York
ROBOTS = {
    "an office that is closed": (
        "We are closed. For emergencies call 911. Ticket {}.",
        "Our office hours are 9 to 5. Ref. {}.",
    ),
    "who drives": ("I'm driving right now. {}", "ok, driving, text you later {}"),
    "who is on vacation": (
        "I'm on vacation until January {}.",
        "Estoy de vacaciones hasta el {}, si es una emergencia llame al 911",
    ),
    "a phone that gets nothing": ("Delivery failed, error {}", "Your message {} could not be delivered."),
    "a chat bot": ("Sure! How can I help you today? {}", "Yes, I understand. Is there anything else? {}"),
}


@pytest.fixture
def clinic(database_url, tmp_path, travel, twilio):
    opened = Clinic(database_url, tmp_path, travel, twilio, ("First", {}), ("Second", {}))
    yield opened
    opened.close()


def test_field_report_3_an_hour_with_two_robots_of_every_kind_costs_two_texts_a_number_and_few_pages(clinic):
    phones = {"+12025550143": list(ROBOTS.values())[::2], "+12025550144": list(ROBOTS.values())[1::2]}
    for number, phone in enumerate(phones, 1):
        clinic.accept(number, phone)
    for minute in range(0, 60, 3):
        clinic.travel(NIGHT + timedelta(minutes=minute))
        for phone, kinds in phones.items():
            robot = kinds[minute // 3 % len(kinds)]
            clinic.text(robot[minute % 2].format(minute), phone)
    send(clinic.context)
    assert clinic.texts()
    for phone in phones:
        assert len(clinic.received(phone)) <= 2, phone
    assert len(clinic.pager.called()) <= 10
    assert not {task.kind for task in clinic.tasks()} & {"stop_asked", "stop_early", "wrong_number", "number_bad"}
    visits = clinic.context.database.read(lambda tx: tx.all(schema.appointments.select()))
    assert {visit.status for visit in visits} == {"booked"}
    assert clinic.context.database.read(lambda tx: tx.all(schema.confirmations.select())) == []
