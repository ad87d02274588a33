"""A yes that does not count is stopped at its field if a person enters it, and noted if a file or program does."""

import json
import shutil

import pytest
from api_caller import Program, make_key
from conftest import NOW, logged
from people import document, one_off, raw
from test_cli import Terminal
from test_pages_plans import form, words
from web_caller import Caller

from reminders import clock, plans, store
from reminders.service import planning
from reminders.service.people import patient_status, reader_case
from reminders.service.planning import importing

FAMILY = one_off("family", "2026-12-04T17:00:00", kind="family_session", **{"for": ["self", "sister"]})
SISTER = {"key": "sister", "role": "supporter", "phone": "202-555-0144", "language": "en"}
HER_YES = {"said": "yes", "on": "2026-11-30", "how": "spoken", "by": "A. Reyes", "categories": ["family"]}
BOX = "Tick it once they were told that others may see texts: without it their yes does not count"


@pytest.fixture
def ana(context, travel):
    travel(NOW)
    context.database.write(lambda tx: store.people.keep_default_site(tx, context.settings, NOW))
    return Caller(context, role="coordinator")


def the_plan(context, ref="MRN-1-20261130"):
    return context.database.read(lambda tx: store.plans.plan_by_ref(tx, ref, lock=False))


def at_box(answer, name):
    """Whether the page has a problem at that field, and a link to it above."""
    return f'id="{name}-problem"' in answer.text and f'href="#{name}"' in answer.text


# Screens 2: the new plan form.


def test_screens_2_a_yes_without_the_warning_is_stopped_at_the_box(context, ana):
    answer = ana.post("/plans/new", form(without=("consent.warned_of_risk",)))
    assert answer.status_code == 422
    assert at_box(answer, "consent.warned_of_risk")
    assert BOX in words(answer)
    assert the_plan(context) is None
    looked = ana.post("/plans/new", form(without=("consent.warned_of_risk",), do="look"))
    assert BOX in words(looked)  # said before saving, beside the texts
    assert ana.post("/plans/new", form()).status_code == 303
    assert the_plan(context) is not None


@pytest.mark.parametrize("box", ["on", "how", "by", "categories", "warned_of_risk"])
def test_screens_2_each_missing_box_is_named_on_the_new_plan_form(context, ana, box):
    answer = ana.post("/plans/new", form(without=(f"consent.{box}",)))
    assert answer.status_code == 422
    assert at_box(answer, f"consent.{box}")
    assert the_plan(context) is None


def test_screens_2_a_yes_to_nothing_texted_or_that_has_run_out_is_stopped_too(context, ana):
    only = ana.post("/plans/new", form(("consent.categories", "checkins")))
    assert only.status_code == 422
    assert at_box(only, "consent.categories")
    out = ana.post("/plans/new", form(("consent.expires_on", "2026-11-29")))
    assert out.status_code == 422
    assert at_box(out, "consent.expires_on")
    assert the_plan(context) is None


def test_screens_2_a_no_and_a_consent_to_come_need_no_boxes(context, ana):
    bare = ("consent.on", "consent.how", "consent.by", "consent.categories", "consent.warned_of_risk")
    assert ana.post("/plans/new", form(("consent.said", "no"), without=bare)).status_code == 303
    other = form(("consent.said", "later"), ("patient.ref", "MRN-2"), ("patient.phone", "202-555-0199"), without=bare)
    assert ana.post("/plans/new", other).status_code == 303


def test_screens_2_an_edit_of_a_plan_from_a_file_is_not_held_up_by_what_the_file_said(context, ana):
    done = planning.accept(context, document(consent={"warned_of_risk": False}), NOW, who="test")
    page = ana.page(f"/plans/{done.plan_id}/edit")
    plan = context.database.read(lambda tx: store.plans.plan_by_ref(tx, "DC-1", lock=False))
    from reminders.web.plan_form import fields_of

    fields = fields_of(json.loads(context.database.read(lambda tx: store.plans.document_of(tx, plan))))
    fields += [("version", str(plan.version)), ("plan_id", str(plan.id))]
    changed = [(name, "16:00" if name == "series.0.time" else value) for name, value in fields]
    assert page.status_code == 200
    assert ana.post(f"/plans/{plan.id}/edit", [*changed, ("do", "start")]).status_code == 303
    again = [(name, "letter" if name == "consent.how" else value) for name, value in changed]
    again = [(name, "2" if name == "version" else value) for name, value in again]
    stopped = ana.post(f"/plans/{plan.id}/edit", [*again, ("do", "start")])
    assert (stopped.status_code, at_box(stopped, "consent.warned_of_risk")) == (422, True)


# Screens 2: record consent, a new number.

CONSENT = [
    ("consent.said", "yes"),
    ("consent.on", "2026-11-30"),
    ("consent.how", "signed form"),
    ("consent.by", "A. Reyes"),
    ("consent.categories", "appointments"),
    ("consent.warned_of_risk", "yes"),
]


@pytest.mark.parametrize("what", ["consent", "number"])
@pytest.mark.parametrize("box", ["on", "how", "by", "categories", "warned_of_risk"])
def test_screens_2_each_missing_box_is_named_where_consent_is_recorded(context, ana, what, box):
    planning.accept(context, document(), NOW, who="test")
    path = f"/patients/{the_plan(context, 'DC-1').patient_id}"
    given = [pair for pair in CONSENT if pair[0] != f"consent.{box}"] + [("phone", "202-555-0177")]
    answer = ana.post(f"{path}/do/{what}", given)
    assert answer.status_code == 422
    assert at_box(answer, f"consent.{box}")
    shown = patient_status.show(context, reader_case.Whom("MRN-1"), NOW, who="test").readers[0]
    assert shown.to.endswith("0143")
    assert str(shown.said_on) == "2026-11-29"
    assert ana.post(f"{path}/do/{what}", [*CONSENT, ("phone", "202-555-0177")]).status_code == 303


def test_screens_2_no_page_shows_a_yes_that_does_not_count_without_the_missing_box(context, ana):
    planning.accept(context, document(consent={"warned_of_risk": False}), NOW, who="test")
    path = f"/patients/{the_plan(context, 'DC-1').patient_id}"
    page = words(ana.page(path))
    assert "No texts go" in page
    assert "a yes that does not count yet they were not told yet that others may see texts" in page
    assert "does not count: not told that others may see texts" in words(ana.page(f"{path}/consent"))
    api = Program(context, make_key(context, "read", "people"))
    (one,) = api.get("/patients?names=true").json()["items"]
    (reader,) = api.get(f"/patients/{one['id']}?names=true").json()["readers"]
    assert reader["missing"] == ["they were not told yet that others may see texts"]


# Files and programs: kept, with a note.


def test_screens_2_a_file_with_a_yes_that_does_not_count_is_accepted_with_a_note(context, tmp_path):
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(raw(consent={"warned_of_risk": False})), encoding="utf-8")
    report = importing.import_files(context, [file], NOW, who="test")
    assert (report.accepted, report.refused) == (1, [])
    ((ref, note),) = report.notes
    assert ref == "DC-1"
    assert "a yes does not count yet: consent.warned_of_risk is missing" in note
    assert {text.reason for text in logged(context)} == {"no_consent"}


def test_screens_2_the_api_keeps_it_and_says_what_is_missing(context, travel):
    travel(NOW)
    api = Program(context, make_key(context, "read", "write"))
    made = api.post("/plans", raw(consent={"warned_of_risk": False}))
    assert made.status_code == 201
    assert "consent.warned_of_risk" in made.json()["note"]
    patient = made.json()["plan"]["patient_id"]
    consent = {"said": "yes", "on": "2026-11-30", "how": "x", "by": "y", "categories": ["appointments"]}
    done = api.post(f"/patients/{patient}/consent", {"consent": consent})
    assert done.status_code == 200
    assert any("consent.warned_of_risk" in note for note in done.json()["notes"])
    done = api.post(f"/patients/{patient}/number", {"phone": "202-555-0188", "consent": consent})
    assert any("consent.warned_of_risk" in note for note in done.json()["notes"])


@pytest.fixture
def run(sqlite_template, tmp_path, monkeypatch):
    clock.correct(NOW - clock.machine())
    shutil.copy(sqlite_template, tmp_path / "reminders.db")
    terminal = Terminal(f"sqlite:///{tmp_path / 'reminders.db'}", tmp_path, monkeypatch)
    terminal.set(REMINDERS_SENDING__WELCOME="false")
    (tmp_path / "plan.json").write_text(json.dumps(raw(series=[FAMILY | {"for": ["self"]}])), encoding="utf-8")
    terminal("import", "plan.json")
    return terminal


YES = ("--said", "yes", "--on", "2026-11-30", "--how", "form", "--by", "A. Reyes", "--categories", "appointments")


@pytest.mark.parametrize("verb", [("consent", "MRN-1"), ("number", "MRN-1", "202-555-0177")])
def test_screens_2_the_command_names_the_missing_option(run, verb):
    stopped = run("people", *verb, *YES, code=1)
    assert "consent.warned_of_risk: is missing" in stopped.stderr
    assert "[--warned-of-risk]" in stopped.stderr
    run("people", *verb, *YES, "--warned-of-risk")


def test_screens_4_the_command_adds_nobody_whose_yes_does_not_count(run):
    mine = ("--part2-consent-on", "2026-11-30", "--said", "yes", "--on", "2026-11-30", "--how", "x", "--by", "y")
    stopped = run("people", "add", "MRN-1", "sister", "202-555-0144", *mine, "--categories", "appointments", code=1)
    assert "recipient.consent.categories: must include family" in stopped.stderr
    run("people", "add", "MRN-1", "sister", "202-555-0144", *mine)


# Screens 3 and 4: the others on the form.

OTHER = [
    ("recipients.0.key", "sister"),
    ("recipients.0.role", "supporter"),
    ("recipients.0.phone", "202-555-0144"),
    ("recipients.0.language", "en"),
]
BOTH = [
    ("recipients.0.part2_consent_on", "2026-11-30"),
    ("recipients.0.consent.said", "yes"),
    ("recipients.0.consent.on", "2026-11-30"),
    ("recipients.0.consent.how", "spoken"),
    ("recipients.0.consent.by", "A. Reyes"),
    ("recipients.0.consent.categories", "family"),
]
A_FAMILY_SESSION = [("series.1.kind", "family_session"), ("series.1.date", "2026-12-04"), ("series.1.time", "17:00")]


def test_screens_4_a_person_with_only_a_name_and_a_phone_is_not_accepted(context, ana):
    answer = ana.post("/plans/new", form(*OTHER))
    assert answer.status_code == 422
    assert at_box(answer, "recipients.0.consent.said")
    assert the_plan(context) is None
    later = [("recipients.0.consent.said", "later")]
    assert ana.post("/plans/new", form(*OTHER, *later)).status_code == 303


@pytest.mark.parametrize("box", [name for name, _ in BOTH if name != "recipients.0.consent.said"])
def test_screens_4_the_same_checks_for_every_person(context, ana, box):
    answer = ana.post("/plans/new", form(*OTHER, *(pair for pair in BOTH if pair[0] != box)))
    assert answer.status_code == 422
    assert at_box(answer, box)
    assert the_plan(context) is None


def test_screens_4_the_yes_of_a_person_must_be_to_family_texts(context, ana):
    wrong = [*BOTH[:-1], ("recipients.0.consent.categories", "appointments")]
    answer = ana.post("/plans/new", form(*OTHER, *wrong))
    assert (answer.status_code, at_box(answer, "recipients.0.consent.categories")) == (422, True)


def test_screens_3_family_sessions_are_proposed_for_another_person(context, ana):
    seen = ana.post("/plans/new", form(*OTHER, *BOTH, *A_FAMILY_SESSION, do="look"))
    told = seen.text.split('id="series.1.told"', 1)[1].split("</div>", 1)[0]
    assert 'value="sister" checked' in told
    alone = seen.text.split('id="series.0.told"', 1)[1].split("</div>", 1)[0]
    assert 'value="self" id="series.0.for" checked' in alone
    assert 'value="sister" checked' not in alone
    assert seen.text.index('id="series.1.told"') < seen.text.index('id="series.1.more"')  # in no closed section
    assert "Sister : 3 texts" in words(seen)
    assert ana.post("/plans/new", form(*OTHER, *BOTH, *A_FAMILY_SESSION)).status_code == 303
    assert {text.recipient for text in logged(context) if text.state == "scheduled"} == {"self", "sister"}


def test_screens_3_the_preview_has_a_line_for_each_person_with_why(context, ana):
    seen = words(ana.post("/plans/new", form(*OTHER, *BOTH, do="look")))
    assert "The patient : 2 texts" in seen or "The patient : 3 texts" in seen
    assert "Sister : 0 texts, no visit names them" in seen
    waiting = words(ana.post("/plans/new", form(*OTHER, ("recipients.0.consent.said", "later"), do="look")))
    assert "Sister : 0 texts, the patient's written consent naming them is not on record" in waiting


def test_screens_3_who_was_unticked_stays_so_and_who_is_renamed_follows(context, ana):
    offered = [("series.1.offered", "sister"), ("series.1.for", "self")]
    seen = ana.post("/plans/new", form(*OTHER, *BOTH, *A_FAMILY_SESSION, *offered, do="look"))
    assert "Sister : 0 texts, no visit names them" in words(seen)
    renamed = [("series.1.offered", "sis"), ("series.1.for", "self"), ("series.1.for", "sis")]
    seen = ana.post("/plans/new", form(*OTHER, *BOTH, *A_FAMILY_SESSION, *renamed, do="look"))
    assert "Sister : 3 texts" in words(seen)


def test_screens_3_an_edit_proposes_nobody_to_a_series_that_did_not_name_them(context, ana):
    person = SISTER | {"part2_consent_on": "2026-11-30", "consent": HER_YES}
    done = planning.accept(context, document(recipients=[person], series=[FAMILY | {"for": ["self"]}]), NOW, who="test")
    assert "sister gets no texts: no visit names them" in done.note
    page = ana.page(f"/plans/{done.plan_id}/edit").text
    told = page.split('id="series.0.told"', 1)[1].split("</div>", 1)[0]
    assert 'value="sister" checked' not in told


def test_screens_3_a_program_s_family_sessions_are_for_everybody_named():
    person = SISTER | {"part2_consent_on": "2026-11-30", "consent": HER_YES}
    times = {"family_session": "18:00"}
    program = {"program": "family-education", "program_times": times}
    said = document(plan=program, recipients=[person], series=[])
    assert {one.for_ for one in said.all_series() if one.kind is plans.Kind.FAMILY_SESSION} == {("self", "sister")}


def test_screens_3_api_and_command_have_the_line_too(context, travel, run, tmp_path):
    travel(NOW)
    person = SISTER | {"part2_consent_on": "2026-11-30", "consent": HER_YES}
    api = Program(context, make_key(context, "read", "write", "people"))
    body = raw(recipients=[person])
    people = api.post("/preview", body).json()["people"]
    assert [(one["recipient"], one["why"]) for one in people] == [("self", None), ("sister", "no visit names them")]
    assert people[0]["texts"] > 0
    made = api.post("/plans", raw(recipients=[person], series=[FAMILY])).json()["plan"]["id"]
    stored = api.get(f"/plans/{made}/preview").json()["people"]
    assert [one["why"] for one in stored] == [None, None]
    (tmp_path / "other.json").write_text(json.dumps(body), encoding="utf-8")
    clock.correct(NOW - clock.machine())
    shown = run("preview", "other.json")
    assert "sister: 0 texts, no visit names them." in shown.stderr
