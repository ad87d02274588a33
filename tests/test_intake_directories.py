"""Meeting directories: each format as its public feeds are, two versions compared, and nothing of a person taken."""

import json
from datetime import date
from pathlib import Path

import pytest

from reminders.intake.comparing import compare
from reminders.intake.formats import Given, read_any
from reminders.plans import Known

SAMPLES = Path(__file__).resolve().parents[2] / "shared" / "samples"
KNOWN = Known(
    today=date(2026, 12, 1), languages=frozenset({"en", "es"}), zone="America/New_York", site="main",
    sites=frozenset({"main"}), fictional_numbers=True,
)  # fmt: skip
PACIFIC = "America/Los_Angeles"


def reading(data, zone=PACIFIC, format_=None, name="feed.json"):
    raw = data if isinstance(data, bytes) else data.encode() if isinstance(data, str) else json.dumps(data).encode()
    return read_any(raw, name, Given(known=KNOWN, zone=zone), format_)


def guide(**fields):
    return {
        "name": "Sunday Serenity",
        "slug": "sunday-serenity",
        "day": 0,
        "time": "18:00",
        "types": ["O"],
        "address": "1 Oak St",
        **fields,
    }


def test_i50_a_meeting_guide_feed_is_read():
    found = reading([guide(end_time="19:30"), guide(slug="other", day=3, time="07:00", timezone="America/Denver")])
    assert [(one.id, one.day, one.time, one.minutes, one.zone) for one in found.arrivals] == [
        ("sunday-serenity", 0, "18:00", 90, PACIFIC),
        ("other", 3, "07:00", 60, "America/Denver"),
    ]
    document = found.arrivals[0].as_document()
    assert {key: document[key] for key in ("what", "status", "how", "start", "patient")} == {
        "what": "meeting", "status": "booked", "how": "in_person", "start": None, "patient": None,
    }  # fmt: skip
    assert not found.problems
    assert not found.questions


def test_a_directory_without_a_zone_is_asked_for_it_and_comes_without_one():
    found = reading([guide()], zone=None)
    assert [one.zone for one in found.arrivals] == [None]
    assert [one.about for one in found.questions] == ["zone"]


@pytest.mark.parametrize(
    ("fields", "reads"),
    [
        ({"day": "0"}, [(0, "18:00")]), ({"day": [1, "3"]}, [(1, "18:00"), (3, "18:00")]), ({"day": "Tuesday"}, [(2, "18:00")]),
        ({"day": None, "time": None}, [(None, None)]), ({"day": [], "time": ""}, [(None, None)]), ({"time": "6:30 PM"}, [(0, "18:30")]),
        ({"time": "11:00 AM"}, [(0, "11:00")]), ({"time": "12:00 am"}, [(0, "00:00")]), ({"time": "noon"}, [(0, "12:00")]),
        ({"time": "7:00:00"}, [(0, "07:00")]), ({"slug": 1234}, [(0, "18:00")]), ({"types": "O,TC"}, [(0, "18:00")]),
        ({"day": 7}, "day"), ({"day": True}, "day"), ({"day": 1.5}, "day"), ({"time": "evening"}, "time"), ({"time": None}, "time"),
        ({"slug": None}, "slug"), ({"name": ""}, "name"), ({"timezone": "PST"}, "timezone"), ({"time": "25:00"}, "time"),
    ],
)  # fmt: skip
def test_i51_days_and_times_of_every_form(fields, reads):
    found = reading([guide(slug="good"), guide(**fields)])
    assert found.arrivals[0].id == "good"
    if isinstance(reads, str):
        assert [(one.place, one.column) for one in found.problems] == [("item 2", reads)]
    else:
        assert [(one.day, one.time) for one in found.arrivals[1:]] == reads
        assert not found.problems


def test_i51_one_identifier_for_two_meetings_of_a_day_is_refused():
    found = reading([guide(), guide(time="19:00"), guide(slug="b"), guide(slug="b", day=2)])
    assert [(one.id, one.day) for one in found.arrivals] == [("b", 0), ("b", 2)]
    assert [one.place for one in found.problems] == ["item 1", "item 2"]


@pytest.mark.parametrize(
    ("fields", "status", "how"),
    [
        ({}, "booked", "in_person"),
        ({"types": ["TC"]}, "cancelled", "in_person"),
        ({"types": ["TC", "ONL"], "conference_url": "https://zoom.us/j/0"}, "booked", "video"),
        ({"types": ["TC"], "conference_phone": "+1 202 555 0143"}, "booked", "phone"),
        ({"approximate": "yes"}, "cancelled", "in_person"),
        ({"conference_url": "https://zoom.us/j/0"}, "booked", "in_person"),
        (
            {"address": None, "formatted_address": "San José, CA, USA", "conference_url": "https://zoom.us/j/0"},
            "booked",
            "video",
        ),
    ],
)
def test_i53_closed_places_and_what_is_online(fields, status, how):
    (found,) = reading([guide(**fields)]).arrivals
    assert (found.as_document()["status"], found.how.value) == (status, how)


BMLT = {
    "id_bigint": "2566", "weekday_tinyint": "1", "start_time": "19:00:00", "duration_time": "01:30:00", "time_zone": "", "formats": "O,VM",
    "meeting_name": "Courage", "location_street": "1 Oak St", "virtual_meeting_link": "https://zoom.us/j/0", "phone_meeting_number": "",
    "contact_name_1": "Zyzzyva", "contact_phone_1": "202-555-0143", "contact_email_1": "zyzzyva@example.com",
}  # fmt: skip


@pytest.mark.parametrize("wrap", [lambda items: items, lambda items: {"meetings": items, "formats": []}])
def test_i55_bmlt_counts_from_one(wrap):
    items = [
        BMLT,
        {**BMLT, "id_bigint": "7", "weekday_tinyint": "7", "formats": "O", "virtual_meeting_link": ""},
        {**BMLT, "id_bigint": "8", "venue_type": "3", "published": "0"},
    ]
    found = reading(wrap(items))
    assert [(one.id, one.day, one.time, one.minutes, one.how.value, one.is_open) for one in found.arrivals] == [
        ("2566", 0, "19:00", 90, "video", True),
        ("7", 6, "19:00", 90, "in_person", True),
        ("8", 0, "19:00", 90, "in_person", False),
    ]
    (problem,) = reading([{**BMLT, "weekday_tinyint": "0"}]).problems
    assert problem.column == "weekday_tinyint"


def test_i57_the_key_of_bmlts_view_is_its_number():
    one = {
        "name": "Courage",
        "slug": "courage-2566",
        "day": 1,
        "time": "19:00",
        "end_time": "20:30",
        "types": ["O"],
        "coordinates": None,
        "address": "1 Oak St",
    }
    found = reading([one, {**one, "slug": "hope-77", "name": "Hope"}])
    assert found.format == "bmlt-tsml"
    assert [(meeting.id, meeting.day) for meeting in found.arrivals] == [("2566", 1), ("77", 1)]
    assert [meeting.id for meeting in reading([guide(slug="courage-2566")], format_="bmlt-tsml").arrivals] == ["2566"]
    assert [meeting.id for meeting in reading([guide(slug="courage-14")]).arrivals] == ["courage-14"]


def test_i58_contact_fields_are_never_taken():
    secret = {
        "contact_1_name": "Zyzzyva",
        "email": "zyzzyva@example.com",
        "venmo": "@zyzzyva",
        "notes": "Zyzzyva",
        "group_notes": "Zyzzyva",
    }
    for data in ([guide(**secret)], [BMLT]):
        assert "zyzzyva" not in json.dumps(reading(data).as_documents("f")).casefold()


TSML = """Time,End Time,Day,Name,Location,Address,City,Region,Types,Notes,Contact 1 Name,Conference URL,Slug
6:30 AM,7:30 AM,Sunday,Sunrise,Oak Hall,1 Oak St,Anytown,North,"Open, Discussion",ring,Zyzzyva,,sunrise
12:00 PM,,Monday,Nooners,Oak Hall,1 Oak St,Anytown,North,"Closed, Location Temporarily Closed",,Zyzzyva,https://zoom.us/j/0,nooners
late,,Monday,Broken,Oak Hall,1 Oak St,Anytown,North,Open,,,,broken
"""


def test_a_tsml_csv_is_a_directory_and_not_a_list_of_visits():
    found = reading(TSML, name="meetings.csv")
    assert found.format == "tsml-csv"
    assert [(one.id, one.day, one.time, one.minutes, one.types, one.how.value) for one in found.arrivals] == [
        ("sunrise", 0, "06:30", 60, ("O", "D"), "in_person"),
        ("nooners", 1, "12:00", 60, ("C", "TC"), "video"),
    ]
    assert [(one.place, one.column) for one in found.problems] == [("row 4", "time")]
    assert "Zyzzyva" not in json.dumps(found.as_documents("f"))


@pytest.mark.parametrize(
    "raw", [b'[{"name": "A", "slug": "a", "day": 1, "time": "10', b"[" * 100_000, b"[NaN]", b'[{"name": "\xff"}]']
)
def test_broken_json_is_refused_whole(raw):
    found = reading(raw)
    assert not found.arrivals
    assert len(found.problems) == 1


def feed(many, **fields):
    return reading(
        [
            guide(slug=f"meeting-{n}", name=f"Meeting {n}", day=n % 7, time=f"{8 + n % 10:02}:00", **fields)
            for n in range(many)
        ]
    ).arrivals


def test_i52_a_stamp_is_no_change():
    found = compare(feed(10, updated="2021-01-01 00:00:00"), feed(10, updated="2026-01-01 00:00:00"))
    assert len(found.unchanged) == 10
    moved = compare(feed(10), [*feed(10)[1:], *reading([guide(slug="meeting-0", name="Meeting 0", day=4)]).arrivals])
    assert [pair.new.day for pair in moved.moved] == [4]
    assert not moved.added
    assert not moved.removed


def test_i54_a_renaming_is_matched_by_day_time_and_name():
    old = feed(10)
    data = [guide(slug=f"m{n}", name=f"MEETING  {n}!", day=str(n % 7), time=f"{8 + n % 10:02}:00") for n in range(10)]
    found = compare(old, reading(data).arrivals)
    assert found.is_renaming
    assert len(found.renamed) == 10
    assert not found.added
    assert not found.removed
    few = compare(old, [*old[3:], *reading(data[:3]).arrivals])
    assert not few.is_renaming
    assert (len(few.added), len(few.removed)) == (3, 3)


at_hand = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the public samples are not at hand")


def sample(path, zone=PACIFIC):
    return reading((SAMPLES / path).read_bytes(), zone=zone, name=Path(path).name)


@at_hand
def test_i52_the_san_jose_pair_gives_what_is_known_of_it():
    old, new = (
        sample(f"meeting-guide/feed-aasanjose-{one}.json").arrivals for one in ("v1-2021-06-07", "v2-2021-06-26")
    )
    found = compare(old, new)
    assert (len(found.added), len(found.removed), len(found.moved), len(found.reopened)) == (15, 5, 5, 40)


@at_hand
@pytest.mark.parametrize(
    ("path", "meetings", "questions", "problems"),
    [
        ("meeting-guide/feed-aasepia-2021-10-10.json", 45, 1, 0), ("meeting-guide/feed-timezones-2021-05-22.json", 2, 0, 0),
        ("meeting-guide/spec-example.json", 1, 1, 0), ("bmlt/meeting-search-42.867970-day2.json", 25, 1, 0),
        ("bmlt/formats.json", 0, 0, 1), ("meeting-guide/spec-feed.schema.json", 0, 0, 1), ("meeting-guide/spec-types.json", 0, 0, 1),
        ("fhir-r4/Consent-consent-example-basic.json", 0, 0, 1), ("hl7v2/SIU_12.hl7", 0, 0, 1),
        ("ical/issue_112_missing_tzinfo_on_exdate.ics", 0, 0, 1),
    ],
)  # fmt: skip
def test_every_sample_has_its_stated_result(path, meetings, questions, problems):
    found = sample(path, zone=None)
    assert (len(found.arrivals), len(found.questions), len(found.problems)) == (meetings, questions, problems)
