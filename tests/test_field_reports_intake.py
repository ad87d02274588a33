"""Field reports 5 to 15: data from files, forms and the API that was misunderstood."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from conftest import NOW, logged, open_context, send
from people import KNOWN, document, one_off, raw

from reminders import plans, queries, store
from reminders.plans import PlanRefused, read, read_phone
from reminders.service import planning
from reminders.service.people import consents, phone_numbers, reader_case, staff_texts, supporters
from reminders.service.people.reader_case import Whom
from reminders.service.planning import importing

PHONE, NEW = "+12025550143", "+12025550166"
JORDAN = Whom("MRN-1")


def accept(context, **changes) -> planning.Accepted:
    return planning.accept(context, document(**changes), NOW, who="test")


def stands(context, key: str = "self", ref: str = "MRN-1"):
    """The patient's name, and the reader's current row, number and consent."""

    def look(tx):
        site = store.people.site_by_key(tx, "main")
        patient = store.people.patient_by_ref(tx, site.id, ref)
        reader = next(one for one in store.people.recipients_of(tx, patient.id) if one.key == key)
        consent = store.people.consents_in_force(tx, [reader.id]).get(reader.id)
        return (
            store.people.open_name(tx, patient.id, patient.name_sealed),
            reader,
            store.people.phone_by_id(tx, reader.number_id),
            consent,
        )

    return context.database.read(look)


def refusal(known=KNOWN, **changes) -> dict[str, str]:
    with pytest.raises(PlanRefused) as refused:
        read(raw(**changes), known)
    return {one.where: one.problem for one in refused.value.problems}


# 5: field by field.


def test_field_report_5_a_file_does_not_undo_a_newer_number(context):
    accept(context)
    phone_numbers.new_number(context, JORDAN, NEW, NOW, who="test")
    again = accept(context, patient={"name": "Jordan Alvarez-Smith"})
    name, _, phone, _ = stands(context)
    assert (name, phone) == ("Jordan Alvarez-Smith", NEW)
    assert not [note for note in again.notes if "replaces" in note]


def test_field_report_5_what_the_file_changes_holds_with_a_note(context):
    accept(context)
    phone_numbers.new_number(context, JORDAN, NEW, NOW, who="test")
    again = accept(context, patient={"phone": "202-555-0177"})
    assert stands(context)[2] == "+12025550177"
    assert "the patient, the number: the file's new value replaces what was changed here since" in again.notes


@pytest.mark.parametrize(
    ("column", "value", "file"),
    [
        ("language", "es", {"zone": "America/Chicago"}),
        ("zone", "America/Chicago", {"language": "es"}),
        ("texting_from", "10:00", {"language": "es"}),
        ("weekly_digest", True, {"phone": "202-555-0177"}),
    ],
)
def test_field_report_5_each_field_stays_by_itself(context, column, value, file):
    accept(context)
    _, reader, _, _ = stands(context)
    context.database.write(
        lambda tx: store.people.keep_recipient(tx, patient_id=reader.patient_id, key="self", now=NOW, **{column: value})
    )
    accept(context, patient=file)
    assert getattr(stands(context)[1], column) == value


def test_field_report_5_a_consent_is_judged_field_by_field(context):
    accept(context)
    newer = {**raw()["consent"], "on": "2026-11-30", "per_day": 2, "how": "by phone"}
    consents.record_consent(context, JORDAN, newer, NOW, who="test")
    accept(context, consent={"per_week": 5})
    consent = stands(context)[3]
    assert (consent.per_day, consent.per_week, consent.how) == (2, 5, "by phone")


def test_field_report_5_a_recipients_number_stays_too(context):
    sister = {
        "key": "sister",
        "role": "supporter",
        "phone": "202-555-0144",
        "part2_consent_on": "2026-11-29",
        "consent": {**raw()["consent"], "categories": ["family"]},
    }
    accept(context, recipients=[sister])
    phone_numbers.new_number(context, Whom("MRN-1", "sister"), NEW, NOW, who="test")
    accept(context, recipients=[sister | {"language": "es"}])
    _, reader, phone, _ = stands(context, "sister")
    assert (reader.language, phone) == ("es", NEW)


# 6: the same reference, another person.

ANOTHER = {"name": "Robin Chen", "phone": "202-555-0188"}


def test_field_report_6_another_name_and_number_are_another_person(context):
    accept(context)
    for plan in ({"ref": "DC-2", "alongside": True}, {}):
        with pytest.raises(PlanRefused, match=r"patient\.ref: is known here with another name"):
            accept(context, plan=plan, patient=ANOTHER)
    assert stands(context)[0] == "Jordan Alvarez"
    assert stands(context)[2] == PHONE


def test_field_report_6_it_can_be_said_that_it_is_the_same_person(context):
    accept(context)
    accept(context, patient={**ANOTHER, "same_person": True})
    assert stands(context)[0] == "Robin Chen"
    assert not accept(context, patient=ANOTHER).changed  # it is said once and not kept


def test_field_report_6_one_of_both_is_a_change(context):
    accept(context)
    accept(context, patient={"name": "Robin Chen"})
    accept(context, patient={"name": "Robin Chen", "phone": "202-555-0188"})
    assert stands(context)[2] == "+12025550188"


def test_field_report_6_one_name_with_another_day_of_birth_and_number_is_another_person(context):
    accept(context, patient={"born_on": "1980-01-01"})
    for plan in ({"ref": "DC-2", "alongside": True}, {}):
        with pytest.raises(
            PlanRefused, match=r"patient\.ref: is known here with another day of birth and another number"
        ):
            accept(context, plan=plan, patient={"phone": "202-555-0188", "born_on": "1990-02-02"})
    accept(context, patient={"phone": "202-555-0188", "born_on": "1980-01-01"})
    assert stands(context)[2] == "+12025550188"


@pytest.mark.parametrize("ref", ["mrn-1", "MRN 1", "MRN-01", "MRN\u20111"])
def test_field_report_13_one_patient_under_two_spellings_of_a_reference_is_noted(context, ref):
    accept(context)
    again = accept(context, plan={"ref": "DC-2"}, patient={"ref": ref, "name": "ALVAREZ, Jor\u200bdan"})
    assert any("another patient here has the same name and number" in note for note in again.notes)
    other = accept(context, plan={"ref": "DC-3"}, patient={"ref": "MRN-3", "name": "Sam Lee"})
    assert not any("same name" in note for note in other.notes)


# 7, 12, 14: numbers.


@pytest.mark.parametrize("typed", ["+479 555 0143", "+4795550143", "+202 555 0143", "+4 795 550143"])
def test_field_report_7_a_plus_without_the_1_has_two_readings(typed):
    problem = refusal(patient={"phone": typed})["patient.phone"]
    assert "two ways" in problem
    assert "write +1 before a number in US" in problem


def test_field_report_7_a_number_elsewhere_is_noted_and_refused_where_it_is_not_allowed(context):
    abroad = read(raw(patient={"phone": "+47 95 55 01 43"}), replace(KNOWN, countries=frozenset({"US", "NO"})))
    assert (
        "the number of the patient is in NO, outside US; check that it is right"
        in planning.accept(context, abroad, NOW, who="test").notes
    )
    known = context.database.read(lambda tx: context.known(tx, NOW))
    assert known.countries == {"US"}
    problem = refusal(known, patient={"phone": "+47 95 55 01 43"})["patient.phone"]
    assert problem == "is a number in NO, and texts go to US only (sending.countries)"


@pytest.mark.parametrize("ours", ["202-555-0100", "202-555-0101", "+1 500 555 0006"])
def test_field_report_12_our_own_lines_are_no_patients(context, ours):
    known = context.database.read(lambda tx: context.known(tx, NOW))
    other = {"key": "sister", "role": "supporter", "phone": ours}
    assert "our own number" in refusal(known, patient={"phone": ours})["patient.phone"]
    assert "our own number" in refusal(known, recipients=[other])["recipients[0].phone"]
    accept(context)
    for change in (
        lambda: phone_numbers.new_number(context, JORDAN, ours, NOW, who="test"),
        lambda: supporters.add_recipient(context, JORDAN, other | {"part2_consent_on": "2026-11-29"}, NOW, who="test"),
        lambda: staff_texts.send_sample(context, "We hope to see you.", ours, NOW, who="test"),
    ):
        with pytest.raises(PlanRefused, match="our own number"):
            change()


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("900-555-0143", "premium"),
        ("800-555-0199", "toll-free"),
        ("+881 631234567", "satellite"),
        ("+44 844 123 4567", "shared-cost|premium"),
        ("+44 76 6101 2345", "pager"),
        ("+44 55 1234 5678", "company|not a number"),
        ("+44 7012 345678", "forwarding"),
        ("533-234-5678", "forwarding"),
        ("+1 202 976 0143", "premium"),
        ("202-555-1212", "directory assistance"),
    ],
)
def test_field_report_12_numbers_that_are_no_persons_are_refused(typed, why):
    with pytest.raises(PlanRefused, match=why):
        read_phone(typed, KNOWN)


@pytest.mark.parametrize(
    "sign", ["\ufe0f", "\ufe00", "\u200b", "\u202d", "\u00ad", "\u2060", "\u034f", "\u180e", "\u3164", "\U000e0100"]
)
def test_field_report_14_invisible_signs_in_a_number_are_dropped(sign):
    assert read_phone(f"{sign}(202){sign} 555-01{sign}43{sign}", KNOWN) == PHONE


@pytest.mark.parametrize("sign", ["\u200b", "\u200f", "\u00ad", "\u200e", "\ufe0f", "\u3164", "\u034f", "\ufeff"])
def test_field_report_14_invisible_signs_in_a_name_are_dropped_and_in_a_reference_refused(sign):
    assert document(patient={"name": f"{sign}Jor{sign}dan Alvarez"}).patient.name == "Jordan Alvarez"
    assert refusal(patient={"name": sign})["patient.name"] == "is empty"
    for ref in (f"MRN{sign}-1", f"MRN-1{sign}"):
        assert "cannot be printed" in refusal(patient={"ref": ref})["patient.ref"]


def test_field_report_14_a_joiner_is_part_of_a_name():
    name = "\u0646\u0648\u0631\u06cc\u200c\u0632\u0627\u062f\u0647"
    assert document(patient={"name": name}).patient.name == name


# 8: zones.


@pytest.mark.parametrize(
    "zone",
    ["EST", "MST", "HST", "UTC", "GMT", "Etc/GMT-5", "Etc/UTC", "EST5EDT", "PST8PDT", "EDT", "CST", "MET", "WET"],
)
def test_field_report_8_a_zone_that_is_no_place_is_refused(zone):
    here = refusal(patient={"zone": zone}, series=[one_off("visit", "2026-12-03T15:00:00", zone=zone)])
    for problem in (here["patient.zone"], here["series[0].zone"]):
        assert "name the place" in problem
        assert "/" in problem
    if zone in {"EST", "EDT", "EST5EDT", "UTC", "GMT"}:
        assert "America/New_York" in here["patient.zone"]


def test_field_report_8_hints_offer_places_only():
    said = refusal(patient={"zone": "ESTT"})["patient.zone"]
    assert all("/" in one for one in said.partition("perhaps ")[2].split(", "))


# 9: notes about numbers.


def test_field_report_9_import_says_that_a_number_is_shared_or_opted_out(context):
    accept(context)
    again = accept(context, plan={"ref": "DC-2"}, patient={"ref": "MRN-2", "name": "Robin Chen"})
    assert any("also texted about another patient" in note for note in again.notes)
    number = context.database.read(lambda tx: queries.people.number_by_phone(tx, PHONE))
    context.database.write(lambda tx: store.people.opt_out(tx, number.id, NOW))
    third = accept(context, plan={"ref": "DC-3"}, patient={"ref": "MRN-3", "name": "Sam Lee"})
    assert any("has opted out" in note for note in third.notes)
    assert not [note for note in again.notes + third.notes if "MRN" in note or "Jordan" in note]


# 10: last year.


def test_field_report_10_last_years_date_is_noted(context):
    noted = accept(context, series=[one_off("visit", "2026-01-05T10:00:00")])
    assert "visit: starts long before the discharge, in 2026; check the year" in noted.notes
    assert "every visit has passed, so no text goes; check the year" in noted.notes
    weekly = one_off("group", "2026-01-05T10:00:00", repeats="FREQ=WEEKLY")
    assert any("group: starts long before" in note for note in accept(context, series=[weekly]).notes)


def test_field_report_10_a_visit_of_last_year_that_is_entered_now_is_noted_beside_others_and_once(context):
    running = {"plan": {"discharged_on": "2025-12-20"}}
    good, slip = one_off("therapy", "2026-12-03T15:00:00"), one_off("visit", "2026-01-05T10:00:00")
    note = "visit: its last date passed long ago, in 2026; check the year"
    assert not [one for one in accept(context, **running, series=[good]).notes if "check the year" in one]
    assert note in accept(context, **running, series=[good, slip]).notes
    later = accept(context, **running, series=[good | {"minutes": 30}, slip])
    assert later.changed
    assert note not in later.notes


def test_field_report_10_a_move_into_the_past_is_noted(context):
    weekly = one_off("group", "2026-12-03T10:00:00", repeats="FREQ=WEEKLY;COUNT=9")
    for to in ("2026-11-12T10:00", "2026-11-29T10:00"):
        moved = accept(context, series=[weekly | {"move": {"2026-12-03T10:00": to}}])
        assert "group: a date is moved into the past; check the year" in moved.notes


def test_field_report_10_a_move_into_last_year_is_refused():
    weekly = one_off("group", "2026-12-03T10:00:00", repeats="FREQ=WEEKLY;COUNT=9")
    weekly |= {"move": {"2026-12-31T10:00": "2026-01-02T10:00"}}
    assert refusal(series=[weekly]) == {
        "series[0].move.2026-12-31T10:00": "is moved by more than half a year; check the year"
    }


def test_screens_16_a_name_without_letters_is_noted(context):
    assert "the patient's name has no letters; check it" in accept(context, patient={"name": "1234"}).notes


# 11: a preview of what has gone.


def test_field_report_11_a_preview_shows_the_words_that_went(line, travel):
    planning.accept(line, document(series=[one_off("visit", "2026-12-03T15:00:00")]), NOW, who="test")
    first = planning.preview_plan(line, "DC-1", NOW)[0]
    travel(first.goes_at + timedelta(minutes=1))
    assert send(line).accepted == 1
    later = first.goes_at + timedelta(minutes=5)
    accept_later = document(patient={"language": "es"}, series=[one_off("visit", "2026-12-03T15:00:00")])
    planning.accept(line, accept_later, later, who="test")
    gone = planning.preview_plan(line, "DC-1", later)[0]
    assert (gone.text, gone.state, gone.goes) == (first.text, "sent", True)


def test_field_report_11_a_shut_window_is_too_late(context):
    accept(context)
    late = planning.preview_plan(context, "DC-1", NOW + timedelta(days=30))
    assert {(one.goes, one.reason) for one in late} == {(False, "too_late")}


# 13: one plan in several files.


def _files(folder, *documents) -> None:
    for number, one in enumerate(documents):
        (folder / f"{number}.json").write_bytes(one.canonical())


def test_field_report_13_one_plan_in_several_files_is_refused_with_their_names(context, tmp_path):
    folder = tmp_path / "plans"
    folder.mkdir()
    other = document(plan={"ref": "DC-9"}, patient={"ref": "MRN-9", "phone": "202-555-0199"})
    _files(folder, document(), document(patient={"language": "es"}), other, other)
    done = importing.import_files(context, [folder], NOW, who="test")
    assert (done.accepted, done.unchanged) == (1, 1)
    assert {path.name: one.where for path, one in done.refused} == {"0.json": "plan.ref", "1.json": "plan.ref"}
    assert "1.json" in done.refused[0][1].problem
    assert "0.json" in done.refused[1][1].problem


# 15: rules that leave months out.


@pytest.mark.parametrize(
    ("starts", "rule", "words"),
    [
        ("2026-12-31", "FREQ=MONTHLY", "February, April, June, September, November; the last day"),
        ("2026-12-30", "FREQ=MONTHLY;BYMONTHDAY=30", "no date in February;"),
        ("2027-01-29", "FREQ=MONTHLY", "February of some years"),
        ("2027-01-29", "FREQ=MONTHLY;BYDAY=5FR", "without a fifth"),
        ("2028-02-29", "FREQ=YEARLY", "February 29"),
    ],
)
def test_field_report_15_a_rule_that_leaves_months_out_is_noted(starts, rule, words):
    visit = one_off("visit", f"{starts}T10:00:00", repeats=rule)
    said = plans.remarks(document(series=[visit]), today=date(2026, 11, 30), zone="America/New_York", region="US")
    assert any(words in note for note in said)


@pytest.mark.parametrize("rule", ["FREQ=MONTHLY;BYMONTHDAY=-1", "FREQ=MONTHLY;COUNT=1", "FREQ=MONTHLY;BYDAY=-1TH"])
def test_field_report_15_a_rule_that_meets_each_month_is_not(rule):
    visit = one_off("visit", "2026-12-31T10:00:00", repeats=rule)
    assert not plans.remarks(document(series=[visit]), today=date(2026, 11, 30), zone="America/New_York", region="US")


# SEC-11: tests.


def test_s11_a_test_goes_to_allowed_numbers_and_ten_times_a_day(context):
    for typed in ("900-555-0143", "+53 5 1234567", "+881 631234567"):
        with pytest.raises(PlanRefused):
            staff_texts.send_sample(context, "We hope to see you.", typed, NOW, who="staff:ana")
    for _ in range(10):
        staff_texts.send_sample(context, "We hope to see you.", "202-555-0177", NOW, who="staff:ana")
    with pytest.raises(reader_case.Refused, match="10 tests today"):
        staff_texts.send_sample(context, "We hope to see you.", "202-555-0177", NOW, who="staff:ana")
    staff_texts.send_sample(context, "We hope to see you.", "202-555-0177", NOW, who="staff:ben")
    staff_texts.send_sample(context, "We hope to see you.", "202-555-0177", NOW + timedelta(days=1), who="staff:ana")


def test_countries_are_a_setting(database_url, tmp_path):
    context = open_context(database_url, tmp_path, SENDING__COUNTRIES='["US", "CA"]')
    try:
        known = context.database.read(lambda tx: context.known(tx, NOW))
        assert read_phone("416-555-0143", known) == "+14165550143"
    finally:
        context.close()


# Several programs.


def test_a_plan_may_name_several_programs(context):
    plan = {
        "program": ["weekly-cbt", "monthly-aftercare"],
        "program_times": dict.fromkeys(
            {one.key for name in ("weekly-cbt", "monthly-aftercare") for one in plans.programs()[name].series}, "17:30"
        ),
    }
    both = document(plan=plan, series=[])
    assert {one.key.partition(".")[0] for one in both.all_series()} == {"weekly-cbt", "monthly-aftercare"}
    assert planning.accept(context, both, NOW, who="test").texts.added
    assert logged(context)
    assert "twice" in refusal(plan={"program": ["iop", "iop"]})["plan.program"]
