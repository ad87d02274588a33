"""The rules of the law and the networks (L-1 … L-60), checked on a phone's screen and in the records.

`docs/domain.md` names the tests of each rule; this file has those that belong nowhere else.
"""

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from conftest import NOW, logged, open_context, send
from oncall import PHONE, SENDER, STRANGER, Clinic
from people import KNOWN, document, one_off, raw
from web_caller import Caller

from reminders import clock, plans, store, wording
from reminders.queries import explanations
from reminders.service import planning
from reminders.service.operations import runs
from reminders.service.replies import inbound
from reminders.sms import InboundText
from reminders.store.database import schema

ROOT = Path(__file__).resolve().parents[1]
JUST = timedelta(seconds=5)  # the time that a test may take between two steps
LATER = datetime(2026, 11, 30, 22, 1, tzinfo=UTC)  # 17:01 in New York: day-before texts go
NIGHT = datetime(2026, 12, 1, 8, 0, tzinfo=UTC)  # 03:00 there
SISTER, OTHER = "+12025550144", "+12025550146"
TOMORROW = [one_off("visit", "2026-12-01T15:00:00", leads=["1d@17:00"])]
LONG_AGO = {"discharged_on": "2026-09-01"}
STOP_WORDS = {"en": "STOP", "es": "ALTO"}
STOPPED = {("suppressed", "opted_out")}
GOING = {("scheduled", None)}


# For many ways to say one thing; other tests check the effects on both databases.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Office(Clinic):
    """A clinic whose web process receives the phones' texts: each comes as Twilio's signed webhook."""

    def __init__(self, *there, **more):
        super().__init__(*there, **more)
        self.caller = Caller(self.context)

    def hear(self, text, **more):
        form = {"MessageSid": text.sid, "From": text.sender, "To": text.to, "Body": text.body, "NumMedia": "0"} | more
        assert self.caller.twilio("/sms/inbound", **form).status_code == 200

    def text(self, body, phone=PHONE, *, heard=True, media=0, **more):
        """Text us from a pretend phone, with Twilio obeying the words; `more` is added to its webhook."""
        made = self.twilio.do(lambda simulator: simulator.text_from(phone, SENDER, body, clock.now(), media=media))
        text = InboundText(made.sid, phone, SENDER, body, None)
        if heard:
            self.hear(text, **({"NumMedia": str(media)} | more))
        return text

    def brought(self):
        """One run of the `poll` job."""
        return runs.with_gateway(self.context, lambda gateway: inbound.poll(self.context, gateway, clock.now()))

    def remind(self, **changes):
        """A patient whose visit is tomorrow, and whose reminder of it has just gone."""
        self.accept(**({"series": TOMORROW} | changes))
        self.travel(LATER)
        assert send(self.context).accepted == 1

    def screen(self, phone=PHONE):
        """The texts on the phone that its owner did not write: by whom, and what."""
        self._arrive()
        shown = self.twilio.do(lambda simulator: list(simulator.screens[phone]))
        return [(one.by, one.body) for one in shown if one.by != "phone"]

    def received(self, phone=PHONE):
        return [body for by, body in self.screen(phone) if by == "us"]

    def _arrive(self):
        """Let handed-over texts reach the phones; the pretend Twilio may already be ahead of us."""
        self.twilio.do(lambda simulator: simulator.forward(60, clock.now() + simulator.ahead))

    def answers(self):
        """The answers, oldest first."""
        send(self.context)
        return [text.wording for text in sorted(self.texts(), key=lambda text: text.text)]

    def said(self, phone=PHONE):
        """Our last text on that phone."""
        send(self.context)
        return self.received(phone)[-1]

    def number(self, phone=PHONE):
        """What is known about that number."""
        mine = schema.numbers.c.fingerprint
        return self.context.database.read(
            lambda tx: tx.first(sa.select(schema.numbers).where(mine == tx.fingerprint(phone)))
        )

    def fates(self, *classes, phone=None):
        """Every text except answers: id, key, state, reason."""
        return [
            (text.text, text.key, text.state, text.reason)
            for text in sorted(logged(self.context), key=lambda text: text.text)
            if text.class_ in (classes or ("reminder", "notice", "welcome", "staff"))
            and (phone is None or text.to.endswith(phone[-4:]))
        ]

    def states(self, *classes, phone=None):
        return {(state, reason) for _, _, state, reason in self.fates(*classes, phone=phone)}


def an_office(database_url, tmp_path, travel, twilio, **settings):
    return Office(database_url, tmp_path, travel, twilio, ("First", {}), **settings)


@pytest.fixture
def office(database_url, tmp_path, travel, twilio):
    opened = an_office(database_url, tmp_path, travel, twilio)
    yield opened
    opened.close()


@pytest.fixture
def asking(database_url, tmp_path, travel, twilio):
    """An office that sends the welcome and waits for its Y."""
    opened = an_office(database_url, tmp_path, travel, twilio, sending__welcome="true")
    yield opened
    opened.close()


def supporter(key="sister", phone=SISTER, **consent):
    """Someone of the family who agreed to get some of the texts."""
    said = {"said": "yes", "on": "2026-11-29", "how": "signed form", "by": "A. Reyes", "verified": "read aloud"}
    return {
        "key": key,
        "role": "supporter",
        "phone": phone,
        "part2_consent_on": "2026-11-29",
        "consent": said | {"categories": ["family"]} | consent,
    }


def lay_down_typed(office, body="Please call us when you can.", phone=PHONE):
    """Queue a text that someone typed for the first reader on that phone."""

    def work(tx):
        reader = store.replies.readers_on(tx, office.number(phone).id)[0]
        now = clock.now()
        sender = store.people.sender_of(tx, reader.site_id, SENDER)
        return store.texts.add(
            tx,
            store.texts.Addressee(reader.id, reader.site_id, sender, reader.number_id),
            class_="staff",
            key=f"staff:{now.timestamp()}",
            now=now,
            window=store.texts.Window(now, now + timedelta(hours=4), now),
            data_key=tx.data_key(reader.key_id),
            body=body,
        )

    return office.context.database.write(work)


# STOP (L-10 … L-17)


@pytest.mark.parametrize("language", ["en", "es"])
def test_l16_stop_kills_every_queued_text_of_that_number_of_every_class_and_recipient(office, language):
    visits = [one_off("visit", "2026-12-02T15:00:00", leads=["2h"]), one_off("next", "2026-12-04T15:00:00")]
    office.accept(patient={"language": language}, series=visits)
    office.accept(2, series=visits)  # another patient on the same phone
    hers = one_off("hers", "2026-12-09T15:00:00", leads=["1d@17:00"], **{"for": ["sister"]})
    office.accept(3, OTHER, series=[visits[0], hers], recipients=[supporter(phone=PHONE)])
    office.travel(NOW + timedelta(minutes=20))  # a change after that is news
    moved = [visits[0] | {"starts": "2026-12-02T16:00:00"}, visits[1]]
    office.accept(patient={"language": language}, series=moved)
    lay_down_typed(office)
    waiting = [text for text in logged(office.context, state="scheduled") if text.to.endswith(PHONE[-4:])]
    assert {text.class_ for text in waiting} == {"reminder", "notice", "staff"}
    assert {text.recipient for text in waiting} == {"self", "sister"}
    assert {text.plan for text in waiting} >= {"DC-1", "DC-2", "DC-3"}
    office.text(STOP_WORDS[language])
    assert not GOING & office.states(phone=PHONE)
    assert {text.text: (text.state, text.reason) for text in logged(office.context)}.items() >= {
        text.text: ("suppressed", "opted_out") for text in waiting
    }.items()
    assert office.states(phone=OTHER) == GOING
    send(office.context)
    # And Twilio gets none of them: at most the confirmation was sent.
    assert len(office.received()) == (language == "es")
    office.travel(datetime(2026, 12, 2, 19, 0, tzinfo=UTC))
    send(office.context)
    assert len(office.received()) == (language == "es")
    assert len(office.received(OTHER)) == 1


OUR_TURN = {"twilio__answers_keywords": "false"}


@pytest.mark.parametrize(
    ("word", "knobs", "settings", "form", "by"),
    [
        ("STOP", {}, {}, {}, ["twilio"]),  # default handling
        ("alto", {}, {}, {}, ["us"]),  # a word that Twilio does not know
        ("STOP", {"default_opt_out": False}, OUR_TURN, {}, ["us"]),
        ("STOP", {"advanced_opt_out": True}, {}, {"OptOutType": "STOP"}, ["twilio"]),
        ("STOP", {"advanced_opt_out": True}, OUR_TURN, {"OptOutType": "STOP"}, ["twilio"]),
        ("FIN", {"advanced_opt_out": True, "stop_words": frozenset({"FIN"})}, {}, {"OptOutType": "STOP"}, ["twilio"]),
    ],
    ids=["default", "unknown-to-twilio", "switched-off", "advanced", "advanced-and-ours", "advanced-word"],
)
def test_l14_one_confirmation_at_most_and_none_where_twilio_confirmed(
    database_url, tmp_path, travel, twilio, word, knobs, settings, form, by
):
    office = an_office(database_url, tmp_path, travel, twilio, **settings)
    try:
        twilio.do(lambda simulator: simulator.change(**knobs))
        office.accept(series=TOMORROW)
        for _ in range(3):  # never twice, however often it is said
            office.text(word, **form)
            send(office.context)
        assert [who for who, _ in office.screen()] == by
        assert office.answers() == (["stop_confirm"] if by == ["us"] else [])
        assert office.states() == STOPPED
    finally:
        office.close()


@pytest.mark.parametrize("settings", [{}, OUR_TURN], ids=["default", "told that Twilio does not answer"])
def test_l14_a_toll_free_number_confirms_by_itself(database_url, tmp_path, travel, twilio, settings):
    toll_free = "+18005550100"
    office = an_office(database_url, tmp_path, travel, twilio, twilio__sender=toll_free, **settings)
    try:
        twilio.do(lambda simulator: simulator.change(default_opt_out=False))  # the network's words stay anyway
        office.accept(series=TOMORROW)
        made = twilio.do(lambda simulator: simulator.text_from(PHONE, toll_free, "STOP", clock.now()))
        office.hear(InboundText(made.sid, PHONE, toll_free, "STOP", None))
        send(office.context)
        assert [who for who, _ in office.screen()] == ["twilio"]
        assert office.states() == STOPPED
    finally:
        office.close()


def test_l14_no_confirmation_later_than_five_minutes(office):
    office.accept(series=TOMORROW)
    office.text("alto", heard=False)  # its webhook is lost
    office.travel(clock.now() + timedelta(minutes=5, seconds=1))
    (taken,) = office.brought()
    assert taken.fresh
    assert office.states() == STOPPED
    assert office.answers() == []
    assert office.received() == []


def test_l14_a_confirmation_that_could_not_go_within_five_minutes_does_not_go(office):
    office.accept(series=TOMORROW)
    inbound.take_in(office.context, InboundText("SM" + "1" * 32, PHONE, SENDER, "alto", None), clock.now())
    assert [(text.wording, text.state) for text in office.texts()] == [("stop_confirm", "scheduled")]
    office.travel(clock.now() + timedelta(minutes=5, seconds=1))  # no worker was there
    send(office.context)
    assert office.received() == []


def test_l17_stop_start_stop_start_leaves_the_same_rows(asking):
    asking.accept(series=[*TOMORROW, one_off("next", "2026-12-04T15:00:00")])
    asking.accept(2, series=[one_off("other", "2026-12-06T15:00:00")])
    before = asking.fates()
    assert {key.partition(":")[0] for _, key, _, _ in before} == {"welcome", "day"}
    for word in ("STOP", "START", "stop", "Unstop"):
        asking.text(word)
        stopped = asking.number().opted_out_at is not None
        assert stopped is (word.upper() == "STOP")
        assert (not GOING & asking.states()) is stopped
    assert asking.fates() == before


def test_l17_after_start_only_what_lies_ahead_is_planned(office):
    office.accept(series=[*TOMORROW, one_off("next", "2026-12-08T15:00:00", leads=["1d@17:00"])])
    office.text("STOP")
    office.travel(datetime(2026, 12, 3, 15, 0, tzinfo=UTC))
    office.text("START")
    assert [(key, state) for _, key, state, _ in office.fates()] == [
        ("day:2026-12-01:1d@17:00", "suppressed"),
        ("day:2026-12-08:1d@17:00", "scheduled"),
    ]


def test_l17_yes_reopens_nothing_even_where_twilio_says_it_does(office):
    office.twilio.do(lambda simulator: simulator.change(advanced_opt_out=True))
    office.accept(series=TOMORROW)
    office.text("STOP", OptOutType="STOP")
    office.text("yes", OptOutType="START")
    assert office.states() == STOPPED
    assert office.kinds().count("after_stop") == 1


@on_sqlite
@pytest.mark.parametrize("words", [("who are you",), ("thanks a lot", "ok"), ("C",), ("hola, una pregunta", "R")])
def test_l17_other_words_after_stop_are_a_persons_and_get_no_text(office, words):
    office.remind()
    office.text("STOP")
    before = len(office.screen())
    for word in words:
        office.text(word)
        send(office.context)
    (task,) = office.tasks("after_stop")
    assert [event.what for event in office.story(task.id)].count("a text came") == len(words)
    assert len(office.screen()) == before
    assert office.number().opted_out_at is not None
    office.text("START")
    assert office.tasks("after_stop") == []


def test_l17_a_change_asked_for_after_stop_is_due_before_the_visit(office):
    office.remind(series=[one_off("visit", "2026-12-01T10:00:00", leads=["1d@17:00"])])
    office.text("STOP")
    office.text("I can't make it tomorrow")
    (task,) = office.tasks("after_stop")
    assert task.due_at <= datetime(2026, 12, 1, 14, 0, tzinfo=UTC)


def test_l14_after_stop_a_wrong_number_is_noted_and_not_answered(office):
    office.accept(series=TOMORROW)
    office.text("alto")
    office.text("wrong number")
    assert office.answers() == ["stop_confirm"]
    assert office.number().wrong_since is not None
    assert office.tasks("wrong_number")


def test_l17_start_without_a_stop_is_answered_once(database_url, tmp_path, travel, twilio):
    office = an_office(database_url, tmp_path, travel, twilio, **OUR_TURN)
    try:
        twilio.do(lambda simulator: simulator.change(default_opt_out=False))
        office.accept(series=TOMORROW)
        office.text("START")
        office.text("START")
        assert office.answers() == ["start_confirm"]
        office.text("STOP")
        office.text("START")
        assert office.answers() == ["start_confirm", "stop_confirm", "start_confirm"]
    finally:
        office.close()


@pytest.mark.parametrize(("language", "word"), [("en", "HELP"), ("es", "AYUDA")])
def test_l34_help_is_answered_in_the_night_and_after_stop(database_url, tmp_path, travel, twilio, language, word):
    office = an_office(database_url, tmp_path, travel, twilio, **OUR_TURN)
    try:
        # otherwise Twilio blocks texts after a STOP
        twilio.do(lambda simulator: simulator.change(default_opt_out=False))
        office.accept(patient={"language": language}, series=TOMORROW)
        office.text("STOP")
        office.travel(NIGHT)
        office.text(word)
        site = office.context.settings.site
        for wanted in (
            "988",
            "911",
            *(f"{phone[2:5]}-{phone[5:8]}-{phone[8:]}" for phone in (site.phone, site.line24)),
        ):
            assert wanted in office.said()
        assert office.number().opted_out_at is not None
        assert office.kinds().count("after_stop") == 1
    finally:
        office.close()


def test_l12_what_twilio_refuses_with_21610_is_a_stop_and_what_we_know_is_not_sent(office):
    office.accept(series=[*TOMORROW, one_off("next", "2026-12-04T15:00:00", leads=["1d@17:00"])])
    office.accept(2, series=[one_off("other", "2026-12-06T15:00:00")])
    office.text("STOP", heard=False)  # Twilio obeys it; we do not know yet
    office.travel(LATER)
    assert send(office.context).refused == 1
    assert office.number().opted_out_at is not None
    refused, *rest = office.fates()
    assert refused[2] == "undelivered"
    assert {(state, reason) for _, _, state, reason in rest} >= STOPPED
    assert not GOING & office.states()
    assert office.kinds() == []
    office.brought()  # the word itself: what it asks of a person is not lost
    assert office.kinds() == ["stop_early"]
    office.accept(3, series=[one_off("third", "2026-12-02T15:00:00", leads=["1d@17:00"])])
    office.travel(LATER + timedelta(days=1))
    assert send(office.context).claimed == 0  # Twilio is not even asked
    assert office.received() == []
    assert office.answers() == []


@pytest.mark.parametrize("after", ["import", "edit", "replan", "restart"])
def test_l12_nothing_but_the_phone_undoes_a_stop(office, tmp_path, database_url, after):
    office.accept(series=TOMORROW)
    office.text("STOP")
    rows = [row[0] for row in office.fates()]
    context = office.context
    if after == "restart":
        context = open_context(database_url, tmp_path, twilio__api_base_url=office.twilio.url)
        planning.extend(context, clock.now())
    elif after == "replan":
        planning.extend(context, NOW + timedelta(days=1))
    elif after == "edit":
        office.accept(series=[*TOMORROW, one_off("next", "2026-12-04T15:00:00")], consent={"on": "2026-11-30"})
    else:
        office.accept(series=TOMORROW)
        office.accept(2, series=TOMORROW)
    office.travel(LATER)
    assert send(context).claimed == 0
    assert office.states() == STOPPED
    assert [row[0] for row in office.fates()][: len(rows)] == rows
    if context is not office.context:
        context.close()


def test_l16_stop_of_a_shared_number_touches_both_patients_and_a_supporters_only_their_own(office):
    office.accept(1, series=[TOMORROW[0] | {"for": ["self", "sister"]}], recipients=[supporter()])
    office.accept(2, series=TOMORROW)
    office.text("STOP", SISTER)
    assert office.states(phone=SISTER) == STOPPED
    assert ("scheduled", None) in office.states(phone=PHONE)
    assert office.tasks("stop_early") == []  # it is not the patient who fell silent
    office.text("STOP")
    assert not GOING & office.states(phone=PHONE)
    assert {text.plan for text in logged(office.context, state="suppressed")} == {"DC-1", "DC-2"}
    assert office.number(SISTER).opted_out_at is not None


# Opt-outs in other words, and words that may be about the visit (L-10, L-13, S-20)

ASKED = [
    ("en", "please don't text me any more"),
    ("en", "Take me off your list"),
    ("es", "ya no me escriban"),
    ("es", "por favor no me manden más mensajes"),
]


@pytest.mark.parametrize(("language", "words"), ASKED)
def test_l10_a_no_in_other_words_stops_at_once_and_a_person_makes_sure(office, language, words):
    office.accept(patient={"language": language}, series=TOMORROW)
    office.text(words)
    assert office.states() == STOPPED
    assert office.number().opted_out_at is not None
    assert office.kinds() == ["stop_asked"]
    assert office.answers() == ["stop_asked"]
    office.text(words)
    office.text("STOP")
    assert office.answers() == ["stop_asked"]
    assert office.kinds() == ["stop_asked"]
    (task,) = office.tasks("stop_asked")
    assert [event.words for event in office.story(task.id) if event.words] == [words]


@on_sqlite
@pytest.mark.parametrize(("language", "word"), [("en", "CANCEL"), ("en", "end"), ("es", "Cancelar")])
def test_l13_cancel_soon_after_a_reminder_stops_and_asks_which_was_meant(office, language, word):
    office.remind(patient={"language": language}, series=[one_off("visit", "2026-12-01T10:00:00", leads=["1d@17:00"])])
    office.text(word)
    assert office.number().opted_out_at is not None
    assert office.kinds() == ["visit_or_texts"]
    (task,) = office.tasks("visit_or_texts")
    assert task.due_at <= datetime(2026, 12, 1, 14, 0, tzinfo=UTC)  # an hour before the visit, which stands
    (visit,) = office.context.database.read(lambda tx: tx.all(sa.select(schema.appointments.c.status)))
    assert visit.status == "booked"


def test_l13_cancel_without_a_reminder_is_a_stop_like_any_other(office):
    office.remind(plan=LONG_AGO)
    office.travel(LATER + timedelta(hours=48, seconds=1))
    office.text("CANCEL")
    assert office.number().opted_out_at is not None
    assert office.kinds() == []


@on_sqlite
@pytest.mark.parametrize(
    "words", ["cancel my appointment on Tuesday", "can I end at 5?", "cancelar mi cita del martes"]
)
def test_l13_a_sentence_about_the_visit_stops_nothing_and_reaches_a_person(office, words):
    office.remind()
    office.text(words)
    assert office.number().opted_out_at is None
    assert office.kinds() in (["change"], ["reply"])


@pytest.mark.parametrize(("plan", "kinds"), [({}, ["stop_early"]), (LONG_AGO, [])], ids=["first 30 days", "later"])
def test_s20_a_stop_in_the_first_thirty_days_is_a_call(office, plan, kinds):
    office.accept(plan=plan, series=TOMORROW)
    office.text("STOP")
    assert office.kinds() == kinds
    office.text("START")
    assert office.kinds() == []


# Texts that come twice, late or by the list


def test_l11_a_text_by_webhook_and_by_list_is_taken_in_once_with_its_true_time(office):
    office.accept(series=TOMORROW)
    office.text("alto", heard=False)
    office.travel(NOW + timedelta(minutes=2))
    second = office.text("can you call me", heard=False)
    assert [(one.fresh, one.meaning) for one in office.brought()] == [(True, "stop"), (True, "other")]
    office.hear(second)
    office.travel(NOW + timedelta(minutes=4))
    assert office.brought() == []
    kept = office.context.database.read(lambda tx: tx.all(sa.select(schema.replies).order_by(schema.replies.c.sent_at)))
    assert [(row.heard_by, row.sent_at.replace(microsecond=0)) for row in kept] == [
        ("list", NOW),
        ("list", NOW + timedelta(minutes=2)),
    ]
    assert office.answers() == ["stop_confirm"]
    (task,) = office.tasks("stop_early")
    assert any("sent 15:00 UTC" in (explanations.detail(event) or "") for event in office.story(task.id))


@pytest.mark.parametrize("first", ["STOP", "START"])
def test_l17_what_was_said_earlier_and_is_found_late_does_not_undo_what_was_said_since(office, first):
    office.accept(series=TOMORROW)
    if first == "START":
        office.text("STOP")
        office.travel(NOW + timedelta(minutes=1))
    office.text(first, heard=False)
    office.travel(NOW + timedelta(minutes=3))
    last = "START" if first == "STOP" else "STOP"
    office.text(last)
    before = office.fates()
    office.brought()
    assert office.fates() == before
    assert (office.number().opted_out_at is not None) is (last == "STOP")


# Who may be texted, and about what (L-3, L-32, L-39, L-50)


def unverified(phone=PHONE, language="en", **changes):
    """The plan of an invented patient; no one said how the number was checked."""
    plan = raw(**({"series": TOMORROW, "patient": {"phone": phone, "language": language}} | changes))
    plan["consent"].pop("verified", None)
    return plans.read(plan, KNOWN)


def take(office, plan):
    return planning.accept(office.context, plan, clock.now(), who="test")


@on_sqlite
@pytest.mark.parametrize(("language", "y"), [("en", "Y"), ("en", "yes"), ("es", "Sí"), ("es", "si")])
def test_l39_until_its_y_a_number_gets_the_welcome_and_no_dated_text(asking, language, y):
    take(asking, unverified(language=language, series=[one_off("visit", "2026-12-02T15:00:00", leads=["1d@17:00"])]))
    assert asking.states("reminder") == {("suppressed", "unverified")}
    send(asking.context)
    (welcome,) = asking.received()
    assert asking.context.settings.site.alias in welcome
    assert re.search(r"\b(Y|SI)\b", welcome)
    asking.travel(NOW + timedelta(minutes=5))
    asking.text(y)
    assert asking.number().verified_at is not None
    assert asking.answers() == ["verified"]
    assert asking.states("reminder") == GOING
    assert asking.kinds() == []


def test_l39_yes_verifies_where_twilio_takes_it_for_start(asking):
    asking.twilio.do(lambda simulator: simulator.change(advanced_opt_out=True))
    take(asking, unverified())
    send(asking.context)
    asking.text("YES", OptOutType="START")
    assert asking.number().verified_at is not None


def test_l39_a_y_without_a_welcome_verifies_nothing_and_reaches_a_person(asking):
    take(asking, unverified())
    asking.text("Y")
    assert asking.number().verified_at is None
    assert asking.states("reminder") == {("suppressed", "unverified")}
    assert asking.kinds() == ["reply"]


def test_l39_the_claim_asks_again_whether_the_number_is_verified(asking):
    asking.accept(series=[one_off("visit", "2026-12-02T15:00:00", leads=["1d@17:00"])])
    forget = schema.numbers.update().values(verified_at=None)
    assert asking.states("reminder") == GOING
    asking.context.database.write(lambda tx: tx.run(forget))
    asking.travel(LATER + timedelta(days=1))
    send(asking.context)
    assert asking.states("reminder") == {("suppressed", "unverified")}


def test_l32_one_welcome_for_each_reader_and_number_whatever_comes_later(asking):
    def welcomes():
        return [text for text in sorted(logged(asking.context), key=lambda text: text.text) if text.class_ == "welcome"]

    take(asking, unverified())
    send(asking.context)
    take(asking, unverified())
    take(asking, unverified(series=[*TOMORROW, one_off("next", "2026-12-04T15:00:00")]))
    take(asking, unverified(plan={"ref": "DC-2", "alongside": True}, series=[one_off("b", "2026-12-09T15:00:00")]))
    planning.extend(asking.context, NOW + timedelta(hours=1))
    asking.text("Y")
    send(asking.context)
    (once,) = welcomes()
    assert len(once.attempts) == 1
    # A new number is welcomed again, once there is a consent for it.
    asking.travel(NOW + timedelta(hours=2))
    new = {"patient": {"phone": OTHER}, "plan": {"ref": "DC-2", "alongside": True}}
    take(asking, unverified(**new, series=[one_off("b", "2026-12-09T15:00:00")], consent={"on": "2026-11-30"}))
    send(asking.context)
    assert [len(text.attempts) for text in welcomes()] == [1, 1]
    assert len(asking.received(OTHER)) == 1


def test_l32_the_first_text_names_alias_and_phone(asking):
    take(asking, unverified())
    send(asking.context)
    site = asking.context.settings.site
    assert site.alias in asking.said()
    assert f"{site.phone[2:5]}-{site.phone[5:8]}-{site.phone[8:]}" in asking.said()


@pytest.mark.parametrize("checked", [True, False], ids=["read aloud", "not verified"])
def test_s23_the_first_text_comes_within_a_day_of_discharge_at_a_decent_hour(asking, checked):
    asking.travel(NIGHT)
    plan = {"plan": {"discharged_on": "2026-12-01"}, "series": [one_off("visit", "2026-12-05T15:00:00")]}
    take(asking, document(**plan) if checked else unverified(**plan))
    send(asking.context)
    assert asking.received() == []
    asking.travel(datetime(2026, 12, 1, 14, 0, 5, tzinfo=UTC))  # 09:00 there
    send(asking.context)
    assert len(asking.received()) == 1


MEETING = {"key": "circle", "kind": "support_meeting", "starts": "2026-12-03T18:00:00", "leads": ["1d@17:00"]}
VISIT = one_off("visit", "2026-12-01T15:00:00", leads=["1d@17:00"])


@on_sqlite
@pytest.mark.parametrize(
    ("categories", "fate"),
    [
        (["appointments"], {"2026-12-01": None, "2026-12-03": "category_off"}),
        (["meetings"], {"2026-12-01": "category_off", "2026-12-03": None}),
        (["appointments", "meetings"], {"2026-12-01": None, "2026-12-03": None}),
        (["wellness"], {"2026-12-01": "category_off", "2026-12-03": "category_off"}),
    ],
)
def test_l3_each_category_is_a_consent_of_its_own(office, categories, fate):
    office.accept(series=[VISIT, MEETING], consent={"categories": categories})
    assert {key[4:14]: reason for _, key, _, reason in office.fates()} == fate


def test_l3_a_supporter_needs_the_family_category(office):
    both = [VISIT | {"for": ["self", "sister"]}]
    office.accept(series=both, recipients=[supporter(categories=["appointments"])])
    assert office.states(phone=SISTER) == {("suppressed", "category_off")}
    office.accept(series=both, recipients=[supporter(on="2026-11-30")])
    assert office.states(phone=SISTER) == GOING
    assert office.states(phone=PHONE) == GOING


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"said": "revoked"}, "no_consent"),
        ({"said": "no"}, "no_consent"),
        ({"warned_of_risk": False}, "no_consent"),
        ({"expires_on": date(2026, 11, 29)}, "no_consent"),
        ({"categories": ["meetings"]}, "category_off"),
    ],
)
def test_l3_consent_is_asked_for_again_in_the_claim(office, change, reason):
    office.accept(series=TOMORROW)
    office.context.database.write(
        lambda tx: tx.run(schema.consents.update().values(**change))
    )  # and no one planned again
    office.travel(LATER)
    send(office.context)
    assert office.states() == {("suppressed", reason)}
    assert office.received() == []


def test_l50_a_consent_that_expires_ends_the_texts_on_that_day(office):
    weekly = [one_off("visit", "2026-12-01T15:00:00", repeats="FREQ=WEEKLY;COUNT=3", leads=["1d@17:00"])]
    office.accept(series=weekly, consent={"expires_on": "2026-12-05"})
    office.travel(LATER)
    assert send(office.context).accepted == 1
    office.travel(LATER + timedelta(days=7))
    planning.extend(office.context, clock.now())
    assert send(office.context).accepted == 0
    assert [(state, reason) for _, _, state, reason in office.fates()][1:] == [("suppressed", "no_consent")] * 2


def test_l50_the_record_in_force_is_noted_on_each_attempt(office):
    weekly = [one_off("visit", "2026-12-01T15:00:00", repeats="FREQ=WEEKLY;COUNT=3", leads=["1d@17:00"])]
    office.accept(series=weekly)
    office.travel(LATER)
    send(office.context)
    office.accept(series=weekly, consent={"on": "2026-11-30", "per_week": 3})
    office.travel(LATER + timedelta(days=7))
    send(office.context)
    query = sa.select(schema.consents.c.said_on, schema.consents.c.per_week).join(schema.attempts)
    rows = office.context.database.read(lambda tx: tx.all(query.order_by(schema.attempts.c.id)))
    assert [(str(row.said_on), row.per_week) for row in rows] == [("2026-11-29", None), ("2026-11-30", 3)]
    kept = office.context.database.read(lambda tx: tx.all(sa.select(schema.consents)))
    assert len(kept) == 2  # append-only


def test_l50_what_a_consent_was_is_kept_word_for_word(office):
    said = {"how": "on the phone", "by": "M. Lund", "wording": "2026-11", "per_day": 1, "per_week": 5}
    office.accept(series=TOMORROW, consent=said | {"expires_on": "2027-06-01"})
    (row,) = office.context.database.read(lambda tx: tx.all(sa.select(schema.consents)))
    assert {name: row._mapping[name] for name in said} == said
    assert (row.alias_shown, row.warned_of_risk, row.categories, str(row.expires_on)) == (
        True,
        True,
        ["appointments", "meetings"],
        "2027-06-01",
    )
    assert timedelta(0) <= row.recorded_at - NOW < JUST
    assert row.number_id == office.number().id


def test_l56_a_minor_is_not_texted_before_somebody_said_on_what_basis(office):
    with pytest.raises(plans.PlanRefused, match="legal_basis"):
        office.accept(patient={"born_on": "2010-02-03"}, series=TOMORROW)
    office.accept(patient={"born_on": "2010-02-03"}, consent={"legal_basis": "minor consents alone"}, series=TOMORROW)
    assert office.states() == GOING
    (row,) = office.context.database.read(lambda tx: tx.all(sa.select(schema.consents)))
    assert row.legal_basis == "minor consents alone"


# Numbers of other people (L-24, L-44)


@pytest.mark.parametrize(("language", "words"), [("en", "wrong number"), ("en", "WRONG"), ("es", "número equivocado")])
def test_l44_a_wrong_number_is_not_texted_again_and_start_does_not_lift_it(office, language, words):
    office.remind(patient={"language": language}, series=[*TOMORROW, one_off("next", "2026-12-04T15:00:00")])
    office.text(words)
    assert office.number().wrong_since is not None
    assert office.states("reminder") - {("sent", None), ("delivered", None)} == {("suppressed", "number_bad")}
    assert office.kinds() == ["wrong_number"]
    assert office.answers() == ["wrong_number"]
    shown = len(office.received())
    for word in (words, "START", "C", "R", "who is this"):
        office.text(word)
    send(office.context)
    assert office.number().wrong_since is not None
    assert ("scheduled", None) not in office.states("reminder")
    # The phone's owner learns no time of a visit, not that there is one, and not that texts will come.
    (after,) = office.received()[shown:]
    assert "988" in after
    assert not re.search(r"visit|cita|\d:\d\d", after)
    assert set(office.kinds()) == {"wrong_number", "stranger"}


def test_l44_who_is_this_gets_one_neutral_answer_and_suppresses_nothing(office):
    office.remind(series=[*TOMORROW, one_off("next", "2026-12-04T15:00:00", leads=["1d@17:00"])])
    for words in ("who is this?", "who dis", "quien es"):
        office.text(words)
    assert office.answers() == ["who"]
    assert not re.search(r"Jordan|Alvarez|\d:\d\d|Dec", office.said())
    assert office.kinds() == ["who"]
    assert ("scheduled", None) in office.states()
    assert office.number().wrong_since is None


STRANGE = ["hello", "C", "R", "Y", "who is this", "I used last night", "START", "can i move my visit", "", "¿quién es?"]


@on_sqlite
@pytest.mark.parametrize("words", STRANGE)
def test_l44_a_stranger_gets_phone_and_988_and_no_name_and_no_time(asking, words):
    asking.accept(series=TOMORROW)
    asking.twilio.do(lambda simulator: simulator.change(default_opt_out=False))
    asking.text(words, STRANGER)
    asking.text("and again", STRANGER)
    send(asking.context)
    (said,) = asking.received(STRANGER)
    assert "988" in said
    assert re.search(r"\d{3}-\d{3}-\d{4}", said)
    assert not re.search(r"Jordan|Alvarez|visit|again|\d:\d\d|Dec", said)
    (task,) = asking.tasks("stranger")
    assert (task.patients, task.plan) == ((), None)
    told = [event.words for event in asking.story(task.id) if event.what == "a text came"]
    assert told == [words, "and again"]


def test_l44_what_a_stranger_writes_is_kept_sealed(office):
    office.text("zebra crossing", STRANGER)
    (reply,) = office.context.database.read(lambda tx: tx.all(sa.select(schema.replies)))
    (number,) = office.context.database.read(lambda tx: tx.all(sa.select(schema.numbers)))
    assert "zebra" not in repr(reply)
    assert "5550178" not in repr((reply, number))
    assert reply.patient_id is None


# The bodies (L-2, L-5, L-35), and data that is never accepted (L-55)


def test_l2_no_text_of_ours_sells_or_asks_for_a_favour():
    offer = r"\$|€|%|\bfree\b|\bgratis|offer|oferta|discount|descuento|price|precio|refer\b|recomiend|survey|encuesta"
    for language in wording.languages():
        for text in wording.samples(language):
            assert not re.search(offer, text.body, re.IGNORECASE), text.body


def test_l2_whatever_goes_is_a_text_of_the_catalog_or_typed_for_one_person(office):
    office.remind()
    lay_down_typed(office)
    office.text("hello, a question")
    send(office.context)
    rows = office.context.database.read(lambda tx: tx.all(sa.select(schema.attempts.c.template)))
    known = {text.template for language in wording.languages() for text in wording.samples(language)}
    assert {row.template for row in rows} <= known | {"typed"}
    assert len(rows) == 3


def test_l35_no_text_of_ours_has_a_link_or_asks_for_a_digit():
    for language in wording.languages():
        for text in wording.samples(language):
            assert not re.search(r"https?:|www\.|\.(com|org|ly)\b", text.body), text.body
            assert not re.search(r"(reply|responda|text) \d\b", text.body, re.IGNORECASE), text.body


@pytest.mark.parametrize("field", ["notes", "diagnosis", "reason", "treatment", "substance"])
def test_l55_a_plan_has_no_place_for_notes_or_a_diagnosis(field):
    for table in ("plan", "patient"):
        with pytest.raises(plans.PlanRefused, match=field):
            document(**{table: {field: "anything"}})
    with pytest.raises(plans.PlanRefused, match=field):
        document(series=[VISIT | {field: "anything"}])


# docs/domain.md

RULES = {
    *(f"L-{number}" for number in (*range(1, 7), *range(10, 18), *range(20, 25), *range(30, 40), "39b")),
    *(f"L-{number}" for number in (*range(40, 49), *range(50, 61))),
    *(f"C-{number}" for number in range(1, 16)),
    *(f"W-{number}" for number in range(1, 11)),
    *(f"R0.{number}" for number in range(1, 13)),
    *("E-11", "I-2", "I-3", "I-4", "I-31", "I-40", "P-20", "P-21", "P-30"),
    *(f"I-{number}" for number in (50, 51, 52, 53, 54, 55, 57, 58)),
    *(f"P-{number}" for number in (*range(1, 5), *range(6, 13), *range(14, 17))),
    *(f"S-{number}" for number in (1, 2, 3, 5, 8, 10, 17, 18, 19, 20, 23)),
}
ROW = re.compile(r"^\| ([LCWRPSEI][-0-9.]+b?) \| (.+) \| (.+) \|$", re.MULTILINE)


def rows():
    return ROW.findall((ROOT / "docs" / "domain.md").read_text(encoding="utf-8"))


def test_every_rule_has_one_row():
    named = [rule for rule, _, _ in rows()]
    assert sorted(named) == sorted(set(named))
    assert set(named) == RULES


def test_every_test_that_defends_a_rule_exists():
    there = set()
    for path in (ROOT / "tests").glob("test_*.py"):
        there |= set(re.findall(r"^(?:async )?def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE))
    missing = {rule: gone for rule, _, tests in rows() if (gone := set(re.findall(r"`(test_\w+)`", tests)) - there)}
    assert missing == {}


def test_every_rule_without_a_test_has_its_reason():
    for rule, what, tests in rows():
        if not re.search(r"`test_\w+`", tests):
            assert tests == "none", rule
            assert re.match(r"Not (built|ours): .{60,}", what), rule
