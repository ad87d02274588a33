"""A patient's page: what happened, the conversation, consent, who looked, and every action for them."""

import re
import shutil

import pytest
from conftest import NOW, logged, open_context
from people import one_off
from test_pages_plans import words
from two_sites import accept, hear, open_north
from web_caller import Caller

from reminders import clock, queries, store
from reminders.store.database import schema
from reminders.web.pages.patients import DEEDS

CONSENT = [
    ("consent.said", "yes"),
    ("consent.on", "2026-11-30"),
    ("consent.how", "signed form"),
    ("consent.by", "A. Reyes"),
    ("consent.categories", "appointments"),
    ("consent.warned_of_risk", "yes"),
    ("consent.verified", "read aloud"),
]


@pytest.fixture
def here(sqlite_template, tmp_path, travel):
    """A house on SQLite at NOW with one patient, Jordan, whose plan is DC-1."""
    del travel
    shutil.copy(sqlite_template, tmp_path / "here.db")
    opened = open_context(f"sqlite:///{tmp_path / 'here.db'}", tmp_path)
    accept(opened, 1)
    yield opened
    opened.close()


@pytest.fixture
def ana(here) -> Caller:
    return Caller(here, role="coordinator")


def patient_of(context, ref: str = "MRN-1") -> int:
    query = schema.patients.select().where(schema.patients.c.ref == ref)
    return context.database.read(lambda tx: tx.first(query)).id


@pytest.fixture
def path(here) -> str:
    return f"/patients/{patient_of(here)}"


def audit(context) -> list[str]:
    return [row.what for row in context.database.read(lambda tx: tx.all(schema.audit.select().order_by("id")))]


def number_of(context, phone: str = "+12025550101"):
    return context.database.read(lambda tx: queries.people.number_by_phone(tx, phone))


def test_the_head_says_who_it_is_what_stands_and_what_is_next(here, ana, path):
    page = ana.page(path)
    said = words(page)
    assert "Jordan Alvarez" in said
    assert "Texts go" in said
    assert "Mon, Nov 30, 2026, 10:00 am now America/New_York" in said
    assert "Next visit Thu, Dec 3, 2026, 3:00 pm" in said
    assert "5550101" not in page.text
    assert "0101" in page.text
    assert "Jordan" not in re.search(r"<title>(.*?)</title>", page.text, re.DOTALL)[1]
    assert audit(here).count("patient read") == 1


@pytest.mark.parametrize("tab", ["", "/messages", "/plans", "/consent", "/access", "/card"])
def test_every_part_of_the_page_has_an_address_and_is_read_on_record(here, ana, path, tab):
    before = audit(here).count("patient read")
    assert ana.page(path + tab).status_code == 200
    assert audit(here).count("patient read") == before + (tab != "/card")


def test_the_timeline_puts_texts_replies_and_visits_in_order(here, ana, path):
    hear(here, "Running late, sorry", 1)
    page = words(ana.page(path))
    coming, past = page.split("What happened")
    assert coming.index("Text, 3 days before, at 5:00 pm") < coming.index("Text, the day before, at 5:00 pm")
    assert coming.index("Text, the day before, at 5:00 pm") < coming.index("Therapy, one to one: booked")
    assert "They wrote (change) Running late, sorry" in past


def test_a_text_is_seen_and_then_sent_and_a_telling_word_is_named_and_refused(here, ana, path):
    seen = ana.post(f"{path}/messages", [("body", "Please call us today."), ("do", "look")])
    assert "Goes Mon, Nov 30, 2026, 10:00 am" in words(seen)
    assert [one for one in logged(here) if one.class_ == "staff"] == []
    unseen = ana.post(f"{path}/messages", [("body", "Please call."), ("shown", "Please call us."), ("do", "send")])
    assert (unseen.status_code, [one for one in logged(here) if one.class_ == "staff"]) == (200, [])
    sent = ana.post(f"{path}/messages", [("body", "Call us."), ("shown", "Call us."), ("do", "send")])
    assert sent.headers["location"] == f"{path}/messages?done=said"
    (text,) = [one for one in logged(here) if one.class_ == "staff"]
    assert text.patient == "MRN-1"
    page = ana.page(f"{path}/messages?done=said")
    assert "Call us." in words(page)
    assert "The text is on its way." in words(page)
    told = ana.post(f"{path}/messages", [("body", "Come to detox."), ("shown", "Come to detox."), ("do", "send")])
    assert told.status_code == 422
    assert "tells what kind of care it is: detox" in words(told)
    assert "Come to detox." in told.text
    assert len([one for one in logged(here) if one.class_ == "staff"]) == 1


def test_who_opted_out_is_phoned(here, ana, path):
    hear(here, "STOP", 1)
    page = words(ana.page(f"{path}/messages"))
    assert "No texts go" in page
    assert "No text can go: this number has opted out." in page
    assert "Phone them instead" in page
    refused = ana.post(f"{path}/messages", [("body", "Call us."), ("shown", "Call us."), ("do", "send")])
    assert (refused.status_code, "This number has opted out." in words(refused)) == (422, True)


def test_a_number_is_shown_on_record(here, ana, path):
    shown = ana.post(f"{path}/show", [("reader", "")])
    assert "+12025550101" in shown.text
    assert "number read" in audit(here)
    assert ana.post(f"{path}/show", [("reader", "7")]).status_code == 404


def test_a_new_number_takes_a_consent_of_its_own(here, ana, path):
    page = words(ana.page(f"{path}/do/number"))
    assert "3 texts wait to go to it" in page
    bad = ana.post(f"{path}/do/number", [("phone", "12"), ("consent.said", "later")])
    assert (bad.status_code, "The mobile number is too short" in words(bad)) == (422, True)
    assert 'href="#phone"' in bad.text
    done = ana.post(f"{path}/do/number", [("phone", "(202) 555-0188"), *CONSENT])
    assert done.status_code == 303
    assert done.headers["location"].startswith(f"{path}?done=number")
    after = words(ana.page(done.headers["location"]))
    assert "The new number is on record. " in after
    assert "Texts go" in after
    assert {one.to[-4:] for one in logged(here, state="scheduled")} == {"0188"}


def test_what_was_said_about_texts_is_put_on_record_and_never_taken_off(here, ana, path):
    nothing = ana.post(f"{path}/do/consent", [("consent.said", "")])
    assert (nothing.status_code, "Say whether they agreed" in words(nothing)) == (422, True)
    vague = ana.post(f"{path}/do/consent", [("consent.said", "yes"), ("consent.on", "2026-11-30")])
    assert (vague.status_code, "Say who took the consent" in words(vague)) == (422, True)
    no = [("consent.said", "no"), ("consent.on", "2026-11-30")]
    assert ana.post(f"{path}/do/consent", no).headers["location"].startswith(f"{path}/consent?done=consent")
    page = words(ana.page(f"{path}/consent"))
    assert "there is no consent in force" in page
    assert page.index("no in force") < page.index("signed form")
    ana.post(f"{path}/do/consent", CONSENT)
    assert "Texts go" in words(ana.page(path))


def test_a_no_that_came_another_way_holds_at_once_for_all_on_the_number(here, ana, path):
    accept(here, 2, patient={"phone": "202-555-0101"})
    page = words(ana.page(f"{path}/do/opt-out"))
    waiting = len(logged(here, state="scheduled"))
    assert f"{waiting} texts waiting" in page
    assert "1 other patient on this number" in page
    blank = ana.post(f"{path}/do/opt-out", [])
    assert (blank.status_code, "Say how the no came" in words(blank)) == (422, True)
    said = [("how", "voicemail"), ("received_on", "2026-11-30"), ("received_time", "09:15"), ("by", "A. Reyes")]
    assert ana.post(f"{path}/do/opt-out", [*said[:3], ("by", "")]).status_code == 422
    late = ana.post(f"{path}/do/opt-out", [said[0], ("received_on", "2026-12-05"), *said[2:]])
    assert (late.status_code, "That lies ahead" in words(late)) == (422, True)
    done = ana.post(f"{path}/do/opt-out", said)
    assert done.status_code == 303
    assert "taken back" in words(ana.page(done.headers["location"]))
    assert number_of(here).opted_out_at is not None
    assert logged(here, state="scheduled") == []


def test_a_number_is_checked_or_wrong_or_right_after_all(here, ana, path):
    here.database.write(lambda tx: store.people.mark_number(tx, number_of(here).id, verified_at=None))
    assert "not checked yet" in words(ana.page(path))
    assert ana.post(f"{path}/do/verify", []).status_code == 422
    assert ana.post(f"{path}/do/verify", [("how", "read aloud")]).status_code == 303
    assert number_of(here).verified_at is not None
    assert ana.post(f"{path}/do/wrong", []).headers["location"] == f"{path}?done=wrong&retracted=3"
    assert "3 texts taken back" in words(ana.page(f"{path}?done=wrong&retracted=3"))
    again = ana.post(f"{path}/do/wrong", [])
    assert (again.status_code, "wrong one already" in words(again)) == (422, True)
    assert ana.post(f"{path}/do/right", []).status_code == 303
    assert "Texts go" in words(ana.page(path))


def test_somebody_of_the_family_joins_and_leaves(here, ana, path):
    person = [
        ("recipients.0.key", "sister"),
        ("recipients.0.role", "supporter"),
        ("recipients.0.phone", "202-555-0144"),
        ("recipients.0.language", "es"),
        ("recipients.0.part2_consent_on", "2026-11-30"),
        ("recipients.0.consent.said", "yes"),
        ("recipients.0.consent.on", "2026-11-30"),
        ("recipients.0.consent.how", "spoken"),
        ("recipients.0.consent.by", "A. Reyes"),
        ("recipients.0.consent.categories", "family"),
    ]
    bare = ana.post(f"{path}/do/add", person[:4])
    assert (bare.status_code, "the patient's written consent" in words(bare).lower()) == (422, True)
    none = ana.post(f"{path}/do/add", person)
    assert (none.status_code, "no family session" in words(none)) == (422, True)
    assert ana.post(f"{path}/do/add", [*person, ("series", "therapy")]).status_code == 303
    sister = here.database.read(lambda tx: store.people.recipients_of(tx, patient_of(here)))[1]
    assert f"reader={sister.id}" in ana.page(path).text
    assert "sister" not in " ".join(re.findall(r'(?:href|action)="([^"]*)"', ana.page(path).text))
    asked = ana.post(f"{path}/do/remove", [("reader", str(sister.id))])
    assert (asked.status_code, "Say who asked for it" in words(asked)) == (422, True)
    ana.post(f"{path}/do/remove", [("reader", str(sister.id)), ("asked", "patient")])
    assert "revoked" in words(ana.page(f"{path}/consent"))
    own = ana.post(f"{path}/do/remove", [("asked", "they")])
    assert (own.status_code, "This is the patient" in words(own)) == (422, True)


def test_all_their_plans_are_paused_resumed_and_ended(here, ana, path):
    accept(here, 1, plan={"ref": "DC-1b", "alongside": True}, series=[one_off("other", "2027-03-01T10:00")])
    assert "2 current plans" in words(ana.page(f"{path}/do/pause"))
    assert ana.post(f"{path}/do/pause", []).headers["location"] == f"{path}?done=pause&retracted=3"
    assert "Resume" in words(ana.page(path))
    ana.post(f"{path}/do/resume", [])
    assert ana.post(f"{path}/do/end", []).status_code == 422
    assert ana.post(f"{path}/do/end", [("because", "left")]).status_code == 303
    assert {row.status for row in here.database.read(lambda tx: store.plans.plans_of(tx, patient_of(here)))} == {
        "ended"
    }


def test_who_looked_is_listed_to_the_last(here, ana, path, monkeypatch):
    monkeypatch.setattr("reminders.web.pages.patients.LOGGED", 3)
    for _ in range(4):
        ana.page(path)
    page, seen = f"{path}/access", []
    while page:
        answer = ana.page(page)
        seen += re.findall(r'data-label="What"><div>([^<]+)<', answer.text)
        older = re.search(r'rel="next" href="([^"]+)"', answer.text)
        page = older[1] if older else None
    assert seen.count("patient read") == 4
    assert seen[-1].strip() == "plan accepted"


def test_the_card_names_nobody(ana, path):
    card = ana.page(f"{path}/card")
    assert "STOP" in card.text
    assert '<pre class="card" lang="en">' in card.text
    assert "Jordan" not in card.text


def test_another_sites_patients_do_not_exist(here):
    open_north(here)
    accept(here, 9, "north")
    there = f"/patients/{patient_of(here, 'MRN-9')}"
    main = Caller(here, role="coordinator", site="main")
    for tab in ("", "/messages", "/plans", "/consent", "/access", "/card", *(f"/do/{what}" for what in DEEDS)):
        assert main.page(there + tab).status_code == 404, tab
    for deed in ("/messages", "/show", *(f"/do/{what}" for what in DEEDS)):
        assert main.post(there + deed, [("because", "left"), ("how", "x")]).status_code == 404, deed
    assert main.page(f"/plans/new?patient={there.rpartition('/')[2]}").status_code == 404


@pytest.mark.parametrize(("role", "may"), [("ops", False), ("read_only", True), ("clinician", True)])
def test_who_may_see_people_and_who_may_do_something(here, path, role, may):
    somebody = Caller(here, role=role)
    assert somebody.page(path).status_code == (200 if may else 403)
    changing = role == "clinician"
    assert somebody.page(f"{path}/do/number").status_code == (200 if changing else 403)
    assert somebody.post(f"{path}/messages", [("body", "x")]).status_code in ({200, 422} if changing else {403})
    if may:
        assert ("New number" in somebody.page(path).text) == changing


def test_what_cannot_be_done_has_no_page(ana, path):
    assert ana.page(f"{path}/do/burn").status_code == 404
    assert ana.post(f"{path}/do/burn", []).status_code == 404
    assert ana.page("/patients/abc").status_code == 404
    assert clock.now() >= NOW


def test_who_administers_holds_and_erases_and_nobody_else_does(here, ana, path):
    assert ana.page(f"{path}/do/erase").status_code == 404
    admin = Caller(here, role="admin")
    assert "/do/erase" in admin.page(path).text
    assert admin.post(f"{path}/do/hold", []).headers["location"].endswith("done=hold")
    held = admin.post(f"{path}/do/erase", [("ref", "MRN-1")])
    assert (held.status_code, "legal hold" in held.text) == (422, True)
    assert admin.post(f"{path}/do/unhold", []).status_code == 303
    wrong = admin.post(f"{path}/do/erase", [("ref", "MRN-9")])
    assert (wrong.status_code, "no one is erased by mistake" in wrong.text) == (422, True)
    assert admin.post(f"{path}/do/erase", [("ref", "MRN-1")]).headers["location"] == "/plans?done=erased"
    assert admin.page(path).status_code == 404
    assert "They were erased" in admin.page("/plans?done=erased").text
    for address in ("/", "/plans?status=ended", "/log?when=any", "/inbox", "/inbox?queue=done", "/sessions"):
        assert admin.page(address).status_code == 200, address
