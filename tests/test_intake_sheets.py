"""Spreadsheets as centers send them, against their readings by hand; and what is never guessed (I-31)."""

from datetime import date

import pytest
from sheets_of_centers import ALL

from reminders.intake.formats import Given, read_any
from reminders.intake.profile import read_profile
from reminders.plans import Known

KNOWN = Known(
    today=date(2026, 12, 1),
    languages=frozenset({"en", "es"}),
    zone="America/New_York",
    site="main",
    sites=frozenset({"main"}),
    fictional_numbers=True,
    countries=frozenset({"US"}),
)


def reading(raw, name="sheet.csv", profile="", zone=None):
    raw = raw if isinstance(raw, bytes) else raw.encode()
    return read_any(raw, name, Given(known=KNOWN, profile=read_profile(profile.encode()), zone=zone))


def told(visit):
    found = visit.as_document()
    return tuple(found[key] for key in ("id", "patient", "start", "minutes", "status", "how"))


@pytest.mark.parametrize("name", ALL)
def test_i31_a_sheet_is_read_as_by_hand(name):
    sent = ALL[name]
    found = reading(sent.raw, sent.name)
    assert [told(one) for one in found.arrivals] == sent.visits
    assert sorted((one.place, one.column) for one in found.problems) == sorted(sent.problems)
    assert sorted(one.about for one in found.questions) == sorted(sent.asked)
    assert {one.zone for one in found.arrivals} == {"America/New_York"}
    if sent.phones is not None:
        assert {one.patient: one.phone for one in found.arrivals} == sent.phones


SERIES = """Client ID;Name;Group;Schedule;Start Date;Ends
1;Jordan A;IOP;MWF 6pm x 8 wks;12/7/2026;
2;Sam B;Aftercare group;Tues & Thurs 5:30-7pm;12/15/2026;
3;Ana C;Individual;every other Wed 3:00 PM through 3/31;12/2/2026;
4;Lee D;Individual;Mondays at noon;12/14/2026;2/1/2027
5;Pat E;Individual;biweekly Wed 3pm;12/14/2026;
6;Kim F;Individual;Thursdays 3;12/14/2026;
7;Max G;Individual;Thursdays 3pm;;
8;Ida H;Individual;Thursdays 3pm with Bob;12/14/2026;
9;Bea I;Individual;;12/14/2026 3:00 PM;
"""


def test_a_row_that_is_a_series_gives_its_rule_and_its_first_three_dates():
    found = reading(SERIES)
    told_ = {one.patient: (one.as_document()["start"], one.minutes, one.repeats) for one in found.arrivals}
    assert told_ == {
        "1": ("2026-12-07T18:00", None, "FREQ=WEEKLY;BYDAY=MO,WE,FR;COUNT=24"),
        "2": ("2026-12-15T17:30", 90, "FREQ=WEEKLY;BYDAY=TU,TH"),
        "3": ("2026-12-02T15:00", None, "FREQ=WEEKLY;INTERVAL=2;BYDAY=WE;UNTIL=20270331"),
        "4": ("2026-12-14T12:00", None, "FREQ=WEEKLY;BYDAY=MO;UNTIL=20270201"),
        "9": ("2026-12-14T15:00", None, None),
    }
    first = next(one for one in found.arrivals if one.patient == "3").as_document()["first"]
    assert first == ["2026-12-02T15:00", "2026-12-16T15:00", "2026-12-30T15:00"]
    assert [(one.place, one.column) for one in found.problems] == [(f"row {row}", "Schedule") for row in (6, 7, 8, 9)]


def test_a_series_in_columns_of_its_own_is_read_too():
    sheet = "MRN,Days,Start Date,End Date,Start Time,End Time,Weeks\n1,MWF,12/7/2026,,6:00 PM,7:30 PM,8\n2,T/Th,12/15/2026,1/14/2027,9am,10am,\n"
    found = reading(sheet)
    assert [(one.patient, one.repeats, one.minutes) for one in found.arrivals] == [
        ("1", "FREQ=WEEKLY;BYDAY=MO,WE,FR;COUNT=24", 90),
        ("2", "FREQ=WEEKLY;BYDAY=TU,TH;UNTIL=20270114", 60),
    ]
    assert not found.problems


def test_a_weekday_beside_a_date_is_no_series_and_must_agree_with_it():
    found = reading("MRN,Day,Date,Time\n1,Thursday,12/17/2026,3pm\n2,Friday,12/17/2026,4pm\n")
    assert [(one.patient, one.repeats) for one in found.arrivals] == [("1", None)]
    assert [(one.place, one.column) for one in found.problems] == [("row 3", "Day")]


PLANS = """MRN,Last Name,First Name,Cell Phone,DOB,Discharge Date,Aftercare Program,Time,Consent,Consent Date,Consent Method,Consent By,Language
101,Alvarez,Jordan,(202) 555-0143,05/17/1994,12/01/2026,weekly-cbt,5:30 PM,Yes,11/30/2026,signed form,A. Reyes,Spanish
102,Brook,Sam,202-555-0144,11/02/1988,12/01/2026,Weekly CBT aftercare,5:30 PM,Y,,,,English
103,Cole,Ana,202-555-0145 ext 3,01/30/1990,12/01/2026,weekly-cbt,5:30 PM,,,,,
104,Dunn,Lee,,01/30/1990,12/01/2026,weekly-cbt,5:30 PM,No,,,,
105,Egan,Pat,202-555-0146,01/30/1990,12/13/2026,monthly-aftercare,,,,,,
"""


def test_a_row_that_is_a_plan_becomes_a_plan_document():
    found = reading(PLANS)
    (plan,) = (one for one in found.arrivals if one.document.patient.ref == "101")
    document = plan.document
    assert document.plan.program == "weekly-cbt"
    assert (document.patient.name, document.patient.phone, document.patient.language) == (
        "Jordan Alvarez",
        "+12025550143",
        "es",
    )
    assert document.consent.said == "yes"
    assert document.consent.by == "A. Reyes"
    assert document.consent.categories == ("appointments",)
    assert plan.as_document()["start"] == "2026-12-07T17:30"
    where = {(one.place, one.column) for one in found.problems}
    assert where == {
        ("row 3", "Aftercare Program"),
        ("row 4", "Cell Phone"),
        ("row 5", "Cell Phone"),
        ("row 6", "Time"),
    }
    assert "weekly-cbt" in next(one.problem for one in found.problems if one.place == "row 3")


def test_l50_a_yes_alone_is_no_record_of_a_consent():
    sheet = "MRN,Name,Phone,Discharge Date,Appointment Date,Time,OK to text\n1,A B,202-555-0143,2026-12-01,2026-12-03,3pm,Y\n"
    found = reading(sheet)
    (plan,) = found.arrivals
    assert plan.document.consent is None
    assert [(one.place, one.column) for one in found.problems] == [("row 2", "OK to text")]


def test_a_plan_row_with_a_schedule_has_its_series():
    sheet = "MRN,Name,Phone,Discharged,Schedule,Start Date,Type\n1,A B,202-555-0143,2026-12-01,MWF 6pm x 8 wks,2026-12-07,IOP\n2,C D,202-555-0144,2026-12-01,Wed 3pm,2026-12-09,Sound bath\n"
    found = reading(sheet)
    (plan,) = found.arrivals
    (series,) = plan.document.series
    assert (series.kind.value, series.repeats) == ("therapy_group", "FREQ=WEEKLY;BYDAY=MO,WE,FR;COUNT=24")
    assert [one.about for one in found.questions] == ["kinds"]
    again = reading(sheet, profile='[kinds]\n"Sound bath" = "wellness"\n')
    assert [one.document.series[0].kind.value for one in again.arrivals] == ["therapy_group", "wellness"]


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("12/03/2026", "2026-12-03"), ("2026-12-03", "2026-12-03"), ("20261203", "2026-12-03"), ("46359", "2026-12-03"),
        ("Dec 3, 2026", "2026-12-03"), ("3 de diciembre de 2026", "2026-12-03"), ("03-DEC-26", "2026-12-03"),
        ("Thu 12/3/2026", "2026-12-03"), ("jueves 3 dic 2026", "2026-12-03"), ("12/3", None), ("Dec 3", None),
        ("Fri 12/3/2026", None), ("2026-02-30", None), ("13/13/2026", None), ("soon", None), ("12/3/202", None),
    ],
)  # fmt: skip
def test_i31_a_date_is_of_a_listed_form_or_none(text, reads):
    found = reading(f'MRN,Date,Time\n1,12/31/2026,3pm\n2,"{text}",3pm\n')
    assert [one.start.date().isoformat() for one in found.arrivals] == ["2026-12-31", *([reads] if reads else [])]
    assert len(found.problems) == (reads is None)


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("3:00 PM", "15:00"), ("3p", "15:00"), ("noon", "12:00"), ("1300", "13:00"), ("6:00 p. m.", "18:00"), ("0.625", "15:00"),
        ("15:00:00", "15:00"), ("5:30-7pm", "17:30"), ("11-1pm", "11:00"), ("9 de la mañana", "09:00"), ("12:30", "12:30"),
        ("", None), ("12:00 AM", None), ("00:00", None), ("midnight", None), ("3", None), ("25:00", None), ("3pm or 4pm", None),
        ("TBD", None), ("3:00 CST", "asks"), ("3:00", "asks"), ("9:30", "asks"),
    ],
)  # fmt: skip
def test_i31_a_time_is_of_a_listed_form_or_none_and_never_midnight(text, reads):
    found = reading(f'MRN,Date,Time\n1,2026-12-03,"{text}"\n')
    assert [f"{one.start:%H:%M}" for one in found.arrivals] == ([reads] if reads not in {None, "asks"} else [])
    assert bool(found.problems) == (reads is None)
    assert bool(found.questions) == (reads == "asks")


def test_i31_the_order_of_day_and_month_is_asked_once_with_both_readings_and_answered_by_a_profile():
    sheet = "MRN,Date,Time\n1,01/02/2027,3pm\n2,03/04/2027,3pm\n"
    found = reading(sheet)
    (question,) = found.questions
    assert question.choices == ("January 2, 2027 (month first)", "February 1, 2027 (day first)")
    assert (question.place, question.rows) == ("row 2", 2)
    for order, first in (("month first", "2027-01-02"), ("day first", "2027-02-01")):
        answered = reading(sheet, profile=f'date_order = "{order}"')
        assert str(answered.arrivals[0].start.date()) == first
        assert not answered.questions
    against = reading(sheet.replace("03/04", "13/04"), profile='date_order = "month first"')
    assert [(one.place, one.column) for one in against.problems] == [("row 3", "Date")]
    assert len(against.arrivals) == 1


def test_i31_one_date_over_twelve_anywhere_proves_the_order():
    found = reading("MRN,DOB,Date,Time\n1,02/01/1990,01/02/2027,3pm\n2,17/05/1991,03/04/2027,3pm\n")
    assert [str(one.start.date()) for one in found.arrivals] == ["2027-02-01", "2027-04-03"]


def test_times_without_am_and_pm_are_asked_and_answered():
    sheet = "MRN,Date,Time\n1,2026-12-03,9:00\n2,2026-12-03,3:30\n"
    assert [one.about for one in reading(sheet).questions] == ["clock"]
    assert [f"{one.start:%H:%M}" for one in reading(sheet, profile='clock = "office"').arrivals] == ["09:00", "15:30"]
    assert [f"{one.start:%H:%M}" for one in reading(sheet, profile='clock = "24"').arrivals] == ["09:00", "03:30"]
    late = reading(sheet + "3,2026-12-03,14:00\n")  # 3:30 beside 14:00 is rather an afternoon than a night
    assert [f"{one.start:%H:%M}" for one in late.arrivals] == ["09:00", "14:00"]
    assert [one.rows for one in late.questions] == [1]


def test_a_word_for_a_zone_is_asked_and_an_instant_is_not():
    sheet = "MRN,Start\n1,2026-12-03 3:00 PM CST\n2,2026-12-03T21:00:00Z\n3,2026-07-03T16:00:00-05:00\n"
    found = reading(sheet, zone="America/Chicago")
    assert [f"{one.start:%H:%M}" for one in found.arrivals] == ["15:00", "16:00"]
    assert [(one.about, one.choices) for one in found.questions] == [("zones", ("America/Chicago",))]
    answered = reading(sheet, profile='[zones]\nCST = "America/Chicago"')
    assert (answered.arrivals[0].zone, f"{answered.arrivals[0].start:%H:%M}") == ("America/Chicago", "15:00")


def test_an_unknown_status_is_asked_once_and_answered():
    sheet = (
        "MRN,Date,Time,Status\n1,2026-12-03,3pm,Awaiting UR\n2,2026-12-04,3pm,awaiting ur\n3,2026-12-04,4pm,Booked\n"
    )
    found = reading(sheet)
    assert [one.patient for one in found.arrivals] == ["3"]
    assert [(one.about, one.rows) for one in found.questions] == [("status", 2)]
    answered = reading(sheet, profile='[status]\n"Awaiting UR" = "tentative"')
    assert [one.status for one in answered.arrivals] == ["tentative", "tentative", "booked"]
    assert [one.patient for one in reading(sheet, profile='[status]\n"Awaiting UR" = "skip"').arrivals] == ["3"]


def test_i2_the_same_id_twice_is_the_later_version_or_refused():
    head = "Appointment ID,MRN,Date,Time,Last Updated\n"
    both = head + "A,1,2026-12-03,3pm,2026-11-01 10:00\nA,1,2026-12-04,3pm,2026-11-02 10:00\n"
    assert [str(one.start.date()) for one in reading(both).arrivals] == ["2026-12-04"]
    unknown = reading(both.replace("2026-11-02 10:00", ""))
    assert not unknown.arrivals
    assert [(one.place, one.column) for one in unknown.problems] == [
        ("row 2", "Appointment ID"),
        ("row 3", "Appointment ID"),
    ]
    equal = reading(head + "A,1,2026-12-03,3pm,\nA,1,2026-12-03,3pm,\n")
    assert len(equal.arrivals) == 1
    assert not equal.problems


def test_i2_without_an_id_patient_and_start_are_the_identity():
    found = reading(
        "MRN,Date,Time,Status\n1,2026-12-03,3pm,Booked\n1,2026-12-03,3pm,Canceled\n1,2026-12-03,4pm,Booked\n"
    )
    assert [f"{one.start:%H}" for one in found.arrivals] == ["16"]
    assert len(found.problems) == 2


def test_field_report_6_one_reference_for_two_people_is_refused():
    two = "MRN,Name,Phone,Date,Time\n1,Jordan A,2025550143,2026-12-03,3pm\n1,Sam B,2025550144,2026-12-04,3pm\n2,Ana C,2025550145,2026-12-04,3pm\n"
    found = reading(two)
    assert [one.patient for one in found.arrivals] == ["2"]
    assert [(one.place, one.column) for one in found.problems] == [("row 2", "MRN"), ("row 3", "MRN")]
    named = reading("Name,DOB,Date,Time\nJo A,1990-01-01,2026-12-03,3pm\nJo A,1991-01-01,2026-12-04,3pm\n")
    assert not named.arrivals
    assert len(named.problems) == 2


def test_a_column_that_is_only_called_id_is_proven_or_asked():
    rows = [("1", "Jo", "03"), ("2", "Sam", "04"), ("1", "Jo", "05")]
    same = "ID,Name,Date,Time\n" + "".join(f"{one},{name},2026-12-{day},3pm\n" for one, name, day in rows)
    assert [(one.id, one.patient) for one in reading(same).arrivals] == [(None, "1"), (None, "2"), (None, "1")]
    each = same.replace("1,Jo,2026-12-05", "3,Jo,2026-12-05")
    assert [(one.id, one.patient) for one in reading(each).arrivals] == [("1", "Jo"), ("2", "Sam"), ("3", "Jo")]
    unknown = "ID,Name,Date,Time\n1,Jo,2026-12-03,3pm\n2,Sam,2026-12-04,3pm\n"
    assert [one.about for one in reading(unknown).questions] == ["bare_id"]
    assert not reading(unknown).arrivals
    assert [one.patient for one in reading(unknown, profile='[columns]\npatient = "ID"').arrivals] == ["1", "2"]


@pytest.mark.parametrize(
    ("cell", "reads"),
    [
        ("2025550143.0", "+12025550143"), ("'2025550143", "+12025550143"), ("+1 202 555 0143", "+12025550143"),
        ("202.555.0143", "+12025550143"), ("(202) 555-0143", "+12025550143"), ("1-202-555-0143", "+12025550143"),
        ("cell: 202-555-0143", "+12025550143"), ("2.03E+09", None), ("202-555-0143 x12", None), ("202-555-0143 #12", None),
        ("202-555-0143/202-555-0144", None), ("202-555-0143 or 202-555-0144", None), ("ask his mother", None),
        ("555-0143", None), ("202-555-0143 (mom)", None), ("+479 555 0143", None), ("800-555-1212", None), ("12", None),
    ],
)  # fmt: skip
def test_i4_a_phone_is_repaired_or_the_next_column_is_taken_and_else_it_is_a_problem(cell, reads):
    found = reading(
        f'MRN,Mobile,Home Phone,Date,Time\n1,"{cell}",,2026-12-03,3pm\n2,"{cell}",202-555-0149,2026-12-03,4pm\n'
    )
    assert [one.phone for one in found.arrivals] == [reads, reads or "+12025550149"]
    assert [(one.place, one.column) for one in found.problems] == ([] if reads else [("row 2", "Mobile")])


def test_i4_phones_go_by_the_profiles_order_and_no_ones_elses():
    sheet = "MRN,Home Phone,Cell,Provider Phone,Date,Time\n1,202-555-0143,202-555-0144,202-555-0145,2026-12-03,3pm\n"
    assert [one.phone for one in reading(sheet).arrivals] == ["+12025550144"]
    assert [one.phone for one in reading(sheet, profile='phones = ["Home Phone"]').arrivals] == ["+12025550143"]
    webchart = "pat_id,first_name,startdate,Phone,WC Apt ID\n1,Jo,2026-12-03 15:00,202-555-0143,9\n"
    assert [(one.id, one.phone) for one in reading(webchart).arrivals] == [("9", None)]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("Name,Mon 12/7,Tue 12/8,Wed 12/9\nJordan,9am,,10am\n", "grid"),
        ("Time,12/7/2026,12/8/2026,12/9/2026\n9am,Jordan,Sam,Ana\n", "grid"),
        ('"1-202-555-0143","10/25/2026","09:15","1"\n', "no row of column names"),
        ("Name,Phone\nJordan,202-555-0143\n", "no column that tells the date"),
        ("Date,Time\n2026-12-03,3pm\n", "no column that tells the patient"),
        ("MRN,Date,Time\n", "no row of a visit"),
        ("MRN,MRN,Date,Time\n1,2,2026-12-03,3pm\n", "two columns have one name"),
        ("", "empty"), ("\ufeff \n", "empty"), (b"\x1f\x8b\x08\x00junk", ".gz"), (b"<html><table><tr>", "web page"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "old Excel"), (b"%PDF-1.7", "PDF"), (b"MRN,Date\n1,\x00\n", "NUL"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"), "password"), ("MSH|^~\\&|A\n", "HL7"),
        ("BEGIN:VCALENDAR\n", "calendar"), ('MRN,Date,Time\n1,"2026-12-03' + "\n2,x" * 100, "quote"),
        ('{"resourceType":"Patient"}', "FHIR"), ("[1, 2", "broken JSON"), ("[]", "neither"), ('{"a": 1}', "neither"),
    ],
)  # fmt: skip
def test_what_is_no_list_of_visits_is_refused_in_words_that_say_what_to_do(raw, words):
    found = reading(raw)
    assert not found.arrivals
    (problem,) = found.problems
    assert words in problem.problem


def test_a_profile_names_columns_and_another_header_is_asked_about():
    sheet = "Kunde,Wann,Zustand\n1,2026-12-03 15:00,ok\n"
    profile = '[columns]\npatient = "Kunde"\nstart = "Wann"\nstatus = "Zustand"\n[status]\nok = "attended"\n'
    found = reading(sheet, profile=profile)
    assert [told(one) for one in found.arrivals] == [(None, "1", "2026-12-03T15:00", None, "attended", "in_person")]
    same = reading(sheet, profile=f'fingerprint = "{found.fingerprint}"\n{profile}')
    assert same.arrivals
    other = reading(sheet.replace("Zustand", "Lage"), profile=f'fingerprint = "{found.fingerprint}"\n{profile}')
    assert not other.arrivals
    assert [one.about for one in other.questions] == ["fingerprint"]


def test_i3_no_problem_and_no_question_but_of_a_word_repeats_a_cell():
    secret = "Zyzzyva"
    rows = (
        f"{secret},{secret},{secret},{secret},{secret},{secret},{secret}\n",
        f"1,{secret},{secret},2026-12-03,{secret},Booked,{secret}\n",
        f"2,{secret},{secret},2026-12-03,3pm,Booked,{secret}\n",
        f"2,{secret}b,2025550143,2026-12-03,3pm,Canceled,\n",
    )
    found = reading("MRN,Name,Phone,Date,Time,Status,Duration\n" + "".join(rows))
    assert found.problems
    said = "".join(str(one.as_document()) for one in found.problems)
    assert secret not in said
    assert secret.casefold() not in said.casefold()


def test_a_column_that_may_be_the_status_is_asked_about_before_any_row_is_believed():
    sheet = "MRN,Date,Time,Appt Disposition\n1,2026-12-03,3pm,Canceled\n"
    found = reading(sheet)
    assert not found.arrivals
    assert [one.about for one in found.questions] == ["columns"]
    assert [one.status for one in reading(sheet, profile='[columns]\nstatus = "Appt Disposition"').arrivals] == [
        "cancelled"
    ]
    assert [one.status for one in reading(sheet, profile='[columns]\nstatus = ""').arrivals] == ["booked"]
    assert [one.status for one in reading(sheet.replace("Appt Disposition", "Payment Status")).arrivals] == ["booked"]


def test_a_series_is_not_endless_where_a_column_may_say_how_long_it_goes_on():
    sheet = "MRN,Schedule,Start Date,Nbr of wks approved\n1,MWF 6pm,2026-12-07,8\n2,MWF 6pm x 8 wks,2026-12-07,8\n"
    found = reading(sheet)
    assert [one.patient for one in found.arrivals] == ["2"]
    assert [(one.place, one.column) for one in found.problems] == [("row 2", "Nbr of wks approved")]
    assert [one.repeats for one in reading(sheet.replace("Nbr of wks approved", "# of Weeks")).arrivals] == [
        "FREQ=WEEKLY;BYDAY=MO,WE,FR;COUNT=24"
    ] * 2


def test_utc_in_a_header_or_beside_a_time_makes_instants_of_it():
    found = reading("MRN,Start (UTC),End (UTC)\n1,2026-12-14 20:00,2026-12-14 20:50\n")
    assert [told(one) for one in found.arrivals] == [(None, "1", "2026-12-14T15:00", 50, "booked", "in_person")]
    found = reading("MRN,Start,Time Zone\n1,2026-12-14 20:00,UTC\n2,2026-12-14 20:00,America/Chicago\n")
    assert [(f"{one.start:%H:%M}", one.zone) for one in found.arrivals] == [
        ("15:00", "America/New_York"),
        ("20:00", "America/Chicago"),
    ]


def test_numbers_that_a_spreadsheet_dressed_or_broke():
    rows = ('="001042"', "1042.0", "1.04E+09", "'007")
    found = reading("MRN,Date,Time\n" + "".join(f"{one},2026-12-03,{n + 1}pm\n" for n, one in enumerate(rows)))
    assert [one.patient for one in found.arrivals] == ["001042", "1042", "007"]
    assert [(one.place, one.column) for one in found.problems] == [("row 4", "MRN")]


def test_a_quote_that_is_not_closed_loses_no_rows_in_silence():
    sheet = 'MRN,Date,Time,Notes\n1,2026-12-03,3pm,"late\n2,2026-12-04,3pm,\n3,2026-12-05,3pm,\n'
    found = reading(sheet)
    assert not found.arrivals
    assert [one.place for one in found.problems] == ["row 2"]


def test_words_for_no_phone_are_none_and_a_number_abroad_is_said_to_be_so():
    found = reading("MRN,Phone,Date,Time\n1,N/A,2026-12-03,3pm\n2,+52 55 5123 4567,2026-12-03,4pm\n")
    assert [one.phone for one in found.arrivals] == [None, None]
    assert [(one.place, "texts go to US only" in one.problem) for one in found.problems] == [("row 3", True)]


def test_a_time_with_the_day_of_a_database_is_a_time():
    found = reading("MRN,Date,Time\n1,12/14/2026,1899-12-30 15:00:00\n2,12/14/2026 12:00:00 AM,1/0/1900 16:00:00\n")
    assert [f"{one.start:%m-%d %H:%M}" for one in found.arrivals] == ["12-14 15:00", "12-14 16:00"]
