"""How a visit takes place: in person, by phone or by video. It decides the words; no text contains a link (L-35)."""

import json
from datetime import datetime

import pytest
from api_caller import Program, make_key
from conftest import NOW, begun, logged
from people import KNOWN, document, one_off, raw
from web_caller import Caller

from reminders import plans, wording
from reminders.plans import Mode, PlanRefused, programs, read
from reminders.service import planning
from reminders.wording.catalog import TEXTS, catalogs
from reminders.wording.render import Visit, answer, reminder, samples

VISIT = "2026-12-03T15:00:00"


def accept(context, *series, now=NOW, **more):
    return planning.accept(context, document(series=list(series), **more), now, who="test")


def texts(context, ref="DC-1", now=NOW):
    return {one.key.rpartition(":")[2]: one.text for one in planning.preview_plan(context, ref, now)}


def spoken(mode, wall=VISIT, **more):
    at = datetime.fromisoformat(wall)
    values = {"meeting": False, "asks": True} | more
    return Visit(at, "America/New_York", plans.to_instant(at, "America/New_York"), mode=mode, **values)


def say(*visits, language="en", on="2026-12-01T17:00", **more):
    now = plans.to_instant(datetime.fromisoformat(on), "America/New_York")
    values = {"alias": "Oak Street Office", "phone": "+12025550100", "reader_zone": "America/New_York"} | more
    return reminder(visits, language=language, now=now, **values)


@pytest.mark.parametrize(("how", "starts"), [("phone", "We will call you"), ("video", "Your video visit is")])
def test_design_8_mode_decides_the_words(context, how, starts):
    accept(context, one_off("therapy", VISIT, how=how))
    said = texts(context)
    assert len(said) == 2
    assert all(starts in text for text in said.values())
    assert not any("see you" in text for text in said.values())


def test_a_visit_is_in_person_where_nothing_else_is_said(context):
    accept(context, one_off("therapy", VISIT))
    assert document().series[0].how is Mode.IN_PERSON
    assert "in_person" not in document(series=[one_off("therapy", VISIT, how="in_person")]).canonical().decode()
    assert not any("call you" in text or "video" in text for text in texts(context).values())


def test_a_mode_there_is_not_is_refused_at_its_place():
    for bad in ("telephone", "zoom", "", 3):
        with pytest.raises(PlanRefused) as refused:
            read(raw(series=[one_off("therapy", VISIT, how=bad)]), KNOWN)
        (problem,) = refused.value.problems
        assert problem.where == "series[0].how"
        assert "in_person, phone, video" in problem.problem


def test_an_edit_changes_the_mode_and_the_words_of_what_is_still_to_go(context):
    accept(context, one_off("therapy", VISIT))
    done = accept(context, one_off("therapy", VISIT, how="video"))
    assert done.changed
    assert done.note is None
    assert all("Your video visit" in text for text in texts(context).values())
    assert len(logged(context)) == 3  # the same texts, no notice


def test_l35_no_text_of_any_mode_holds_a_link_and_each_is_one_segment():
    for language in catalogs():
        of_modes = [one for one in samples(language) if "phone" in one.template or "video" in one.template]
        assert len(of_modes) == 12
        for one in of_modes:
            assert (one.encoding, one.segments) == ("GSM-7", 1)
            assert wording.telling_words(one.body) == ()
            assert "http" not in one.body
            assert "CANCEL" not in one.body


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("mode", [Mode.PHONE, Mode.VIDEO])
def test_each_mode_has_its_words_for_every_day(language, mode):
    for on, today in (("2026-12-01T17:00", ""), ("2026-12-02T17:00", ""), ("2026-12-03T09:30", "_today")):
        for asks in (True, False):
            said = say(spoken(mode, asks=asks), language=language, on=on)
            assert said.template == f"reminder_{mode}{today}{'_ask' if asks else ''}"
        assert say(spoken(mode, meeting=True), language=language, on=on).template == f"reminder_meeting_{mode}"


def test_visits_of_one_day_say_how_each_happens_where_there_is_room():
    day = [spoken(Mode.PHONE), spoken(Mode.VIDEO, "2026-12-03T16:00:00"), spoken(Mode.IN_PERSON, "2026-12-03T18:00:00")]
    assert "3:00pm by phone, 4:00pm by video and 6:00pm." in say(*day).body
    assert "3:00pm por tel., 4:00pm por video y 6:00pm." in say(*day, language="es").body
    assert "3:00pm EST by phone" in say(*day, reader_zone="America/Chicago").body
    tight = [spoken(one.mode, f"2026-12-03T1{n}:30:00") for n, one in enumerate(day)]
    narrow = say(*tight, alias="Mt. Williams Annex", reader_zone="Asia/Kolkata")
    assert narrow.segments == 1


def test_a_text_of_a_mode_that_does_not_fit_falls_back_on_words_true_of_every_mode():
    long_phone = "+4915112345678901"
    said = [
        say(spoken(mode), alias="Mt. Williams Annex", phone=long_phone, reader_zone="Asia/Kolkata") for mode in Mode
    ]
    assert all(one.segments == 1 and "see you" not in one.body for one in said)


@pytest.mark.parametrize("language", ["en", "es"])
def test_the_answer_to_c_fits_the_mode(language):
    words = {"alias": "Oak", "phone": "+12025550100", "line24": "+12025550101"}
    for mode, template in (
        (Mode.IN_PERSON, "confirmed"),
        (Mode.PHONE, "confirmed_phone"),
        (Mode.VIDEO, "confirmed_video"),
    ):
        assert answer("confirmed", language=language, visit=spoken(mode), **words).template == template


def test_a_notice_is_true_of_every_mode():
    for language in catalogs():
        for name in ("moved", "moved_from", "called_off"):
            text = catalogs()[language].texts[name]
            assert not {"see you", "come", "office", "oficina", "venir"} & set(text.lower().split())
    assert {"moved", "called_off"} <= TEXTS.keys()


def test_telephone_continuing_care_calls():
    modes = {one.key: one.how for one in programs()["telephone-continuing-care"].series}
    assert modes == {"call": Mode.PHONE, "group": Mode.IN_PERSON}
    said = document(
        plan={
            "program": "telephone-continuing-care",
            "program_times": {"therapy_individual": "10:00", "therapy_group": "18:00"},
        },
        series=[],
    )
    assert [one.how for one in said.all_series()] == [Mode.PHONE, Mode.IN_PERSON]


def test_every_page_and_the_api_say_how_a_visit_happens(context):
    group = one_off("group", "2026-12-04T18:00:00", kind="therapy_group", session="oak-friday", how="video")
    done = accept(context, one_off("therapy", VISIT, how="phone"), group)
    ana = Caller(context, role="coordinator")
    plan = ana.page(f"/plans/{done.plan_id}").text
    assert "Therapy, one to one, by phone" in plan
    assert "Group therapy, by video" in plan
    assert "by video" in ana.page("/sessions").text
    api = Program(context, make_key(context, "read", "write", "people"))
    answered = api.get("/appointments").json()["items"]
    assert [one["how"] for one in answered] == ["phone", "video"]
    visit = ana.page(f"/plans/{done.plan_id}/visits/{answered[0]['id']}").text
    assert "by phone" in visit
    (session,) = api.get("/sessions").json()["items"]
    assert session["how"] == "video"
    assert "by video" in ana.page(f"/sessions/{session['id']}/2026-12-04").text
    body = json.loads(document(series=[one_off("therapy", VISIT, how="video")], plan={"ref": "DC-1"}).canonical())
    assert api.post("/plans", body).status_code == 200
    assert api.get("/appointments").json()["items"][0]["how"] == "video"


def test_the_form_keeps_the_mode_of_a_plan(context):
    done = accept(context, one_off("therapy", VISIT, how="video"))
    form = Caller(context, role="coordinator").page(f"/plans/{done.plan_id}/edit").text
    assert '<option value="video" selected>by video</option>' in form


def test_a_changed_mode_that_a_text_spoke_of_is_for_a_person_to_tell(context):
    accept(context, one_off("therapy", VISIT))
    told_at = datetime.fromisoformat("2026-11-30T22:05+00:00")
    assert len(begun(context, told_at)) == 1
    done = accept(context, one_off("therapy", VISIT, how="phone"), now=told_at)
    assert done.note == "therapy now happens by phone, and a text about it has gone: tell them, no text does"
    assert accept(context, one_off("therapy", VISIT, how="phone", minutes=30), now=told_at).note is None
