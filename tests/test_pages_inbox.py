"""The inbox: its queues, one task with its conversation, and all of its actions."""

import re

import pytest
import sqlalchemy as sa
from conftest import logged, open_context
from people import one_off
from test_web_pages import Page
from two_sites import accept, hear, open_north
from web_caller import Caller

from reminders import clock, queries, store, task_kinds, wording
from reminders.queries import inbox
from reminders.service import tasks
from reminders.service.people import staff_texts
from reminders.service.replies import inbound
from reminders.store.database import schema
from reminders.web.pages.inbox import LONGEST_NOTE, PER_PAGE, QUEUES
from reminders.wording import staff_words
from reminders.wording.segments import segments

CRISIS = "I can't go on, I don't want to live any more"
SOON = [one_off("visit", "2026-12-03T15:00:00")]


@pytest.fixture
def here(sqlite_template, tmp_path, travel):
    """A house on SQLite at NOW, with a patient who wrote that they cannot go on and one with a question."""
    path = tmp_path / "here.db"
    path.write_bytes(sqlite_template.read_bytes())
    opened = open_context(f"sqlite:///{path}", tmp_path, site__on_call='["json://127.0.0.1:9/pager"]')
    inbound.warm_up()
    accept(opened, 1, series=SOON)
    accept(opened, 2, series=SOON)
    hear(opened, CRISIS, 1)
    hear(opened, "is there parking", 2, "SM2")
    yield opened
    opened.close()


def the(context, kind):
    (task,) = queries.tasks.list_tasks(context.database, kind=kind, closed=None)
    return task


def post(caller, task, verb, **form):
    return caller.request("POST", f"/inbox/{task.id}/{verb}", data=form)


def said(answer):
    (words,) = Page(answer).said("main")
    return words


# Queues


def test_urgent_ones_come_first_and_each_row_says_what_was_written(here):
    shown = Page(Caller(here, role="coordinator").page("/inbox"))
    rows = [row for row in shown.said("tr") if "Someone may" in row or "A reply" in row]
    assert re.fullmatch(r"Jordan A\. ?Someone may be in danger ?I can't go on, .*May be in danger.*no one", rows[0])
    assert "is there parking" in rows[1]
    assert "Needs reading" in rows[1]


@pytest.mark.parametrize("queue", QUEUES)
def test_a_queue_holds_what_its_number_says(here, queue):
    coordinator = Caller(here, role="coordinator")
    post(coordinator, the(here, "crisis"), "take")
    shown = Page(coordinator.page(f"/inbox?queue={queue}"))
    count = {"urgent": 1, "mine": 1, "unassigned": 1, "open": 2, "red": 0, "done": 0}[queue]
    assert sum("data-href" in row for row in shown.all("tr")) == count
    tab = next(one for one in shown.said("a") if one.startswith(QUEUES[queue]))
    assert tab == QUEUES[queue] + ("" if queue == "done" else f" {count}")


def test_an_empty_inbox_says_so_and_a_queue_that_is_none_is_not_found(sqlite_template, tmp_path, travel):
    path = tmp_path / "here.db"
    path.write_bytes(sqlite_template.read_bytes())
    context = open_context(f"sqlite:///{path}", tmp_path)
    caller = Caller(context, role="coordinator")
    assert "No replies waiting. Replies to reminders show up here within seconds" in caller.page("/inbox").text
    for queue in QUEUES:
        assert caller.page(f"/inbox?queue={queue}").status_code == 200
    assert caller.page("/inbox?queue=elsewhere").status_code == 404
    context.close()


def test_long_queues_come_in_pages_without_gaps(here):
    def many(tx):
        task = tx.first(sa.select(schema.tasks).where(schema.tasks.c.kind == "reply"))._mapping
        row = {name: task[name] for name in task if name != "id"}
        tx.run_many(schema.tasks.insert(), [row | {"key": f"more:{n}"} for n in range(PER_PAGE + 20)])

    here.database.write(many)
    caller, seen, path = Caller(here, role="coordinator"), [], "/inbox"
    while path:
        shown = Page(caller.page(path))
        seen += [row["data-href"] for row in shown.all("tr") if "data-href" in row]
        path = next((one["href"] for one in shown.all("a") if one.get("rel") == "next"), None)
    assert len(seen) == len(set(seen)) == PER_PAGE + 22


def test_words_and_names_are_for_those_who_look_after_people(here):
    for path in ("/inbox", f"/inbox/{the(here, 'crisis').id}"):
        answer = Caller(here, role="ops").page(path)
        assert answer.status_code == 200
        assert "MRN-1" in answer.text
        assert not {word for word in ("Jordan", "go on", "Their phone") if word in answer.text}


def test_another_sites_task_does_not_exist(here):
    open_north(here)
    task = the(here, "crisis")
    caller = Caller(here, role="coordinator", site="north")
    assert "MRN-1" not in caller.page("/inbox").text
    assert caller.page(f"/inbox/{task.id}").status_code == 404
    for verb in ("take", "note", "say", "close", "let-go"):
        assert post(caller, task, verb, outcome="reached", ended="x", note="x", words="x").status_code == 404
    assert Caller(here, role="coordinator").page("/inbox/999").status_code == 404
    for wrong in (f"/inbox/{2**70}", "/inbox/abc", "/sessions/abc/2026-11-30", "/phones/abc"):
        assert Caller(here, role="coordinator").page(wrong).status_code == 404


def test_of_a_phone_that_two_sites_share_each_knows_its_own(here):
    open_north(here)
    accept(here, 5, series=SOON)
    accept(here, 5, "north", series=SOON, patient={"ref": "MRN-NORTH"})
    hear(here, "is there parking", 5, "SM5")
    task = next(one for one in queries.tasks.list_tasks(here.database, kind="reply") if len(one.patients) == 2)
    for role in ("ops", "coordinator"):
        for path in ("/", "/inbox", f"/inbox/{task.id}"):
            assert "MRN-NORTH" not in Caller(here, role=role, site="main").page(path).text
    assert "MRN-NORTH" in Caller(here, role="ops").page("/inbox").text


# One task


def test_a_crisis_shows_what_to_do_and_what_was_answered(here):
    task = the(here, "crisis")
    answer = Caller(here, role="clinician").page(f"/inbox/{task.id}")
    words = said(answer)
    assert task_kinds.KINDS["crisis"].to_do in words
    assert "Their phone: 202-555-0101" in words
    assert "911 in danger now" in words
    assert "988 call or text" in words
    assert "202-555-0101 the site\N{RIGHT SINGLE QUOTATION MARK}s line" in words
    assert "on call 1 on call now" in words
    assert "They were answered at 10:00 am by the text “crisis”: planned" in words
    assert "Jordan Alvarez" in words
    shown = Page(answer)
    assert "panel urgent protocol" in [one["class"] for one in shown.all("div") if one.get("role") == "alert"]
    assert "Jordan" not in shown.said("title")[0]
    assert [one["class"] for one in shown.all("div") if "bubble" in one.get("class", "")] == ["bubble in"]


def test_c12_the_patients_page_says_that_reminders_wait_until_the_crisis_is_closed(here):
    task = the(here, "crisis")
    coordinator = Caller(here, role="coordinator")
    patient = re.search(r"/patients/(\d+)", coordinator.page(f"/inbox/{task.id}").text).group()
    shown = coordinator.page(patient)
    assert "Reminders wait Someone may be in danger. See the task" in said(shown)
    assert f'href="/inbox/{task.id}">See the task' in shown.text
    assert "Texts go" not in shown.text
    post(coordinator, task, "close", outcome="reached", ended="Is with his sister.")
    shown = coordinator.page(patient)
    assert "Texts go" in said(shown)
    assert "Reminders wait" not in shown.text


def test_reading_a_task_is_on_record_once(here):
    task = the(here, "crisis")
    Caller(here, role="read_only").page(f"/inbox/{task.id}")
    query = sa.select(schema.audit.c.who).where(schema.audit.c.what == "task read")
    (row,) = here.database.read(lambda tx: tx.all(query))
    assert row.who == "staff:read_only.everywhere"


def test_taking_it_stops_the_alarm_and_others_see_whose_it_is(here):
    task = the(here, "crisis")
    assert post(Caller(here, role="clinician"), task, "take").headers["location"] == f"/inbox/{task.id}?done=taken"
    assert the(here, "crisis").escalates_at is None
    other = said(Caller(here, role="coordinator").page(f"/inbox/{task.id}"))
    assert "Someone with clinician has taken it" in other
    assert "Take it over" in other
    mine = Caller(here, role="clinician").page(f"/inbox/{task.id}?done=taken")
    assert "It is yours" in mine.text
    assert 'role="alert"' not in mine.text.replace('id="ending" class="banner wait" role="alert"', "")


def test_a_note_is_in_the_story_and_sealed(here):
    task, caller = the(here, "reply"), Caller(here, role="clinician")
    assert post(caller, task, "note", note="Parks behind the house").status_code == 303
    assert "Parks behind the house" in said(caller.page(f"/inbox/{task.id}"))
    for wrong in ("", "x" * (LONGEST_NOTE + 1)):
        answer = post(caller, task, "note", note=wrong)
        assert answer.status_code == 422
        assert Page(answer).said("title")[0].startswith("Error: ") or "Error: " in Page(answer).said("title")[0]
        assert Page(answer).by_id("note")["aria-invalid"] == "true"


# Answering


def test_an_answer_goes_once_however_often_the_button_is_pressed(here):
    task, caller = the(here, "reply"), Caller(here, role="coordinator")
    shown = Page(caller.page(f"/inbox/{task.id}"))
    form = {"to": shown.by_id("to")["value"], "words": "There is, behind the house.", "do": "send"}
    form["once"] = next(one["value"] for one in shown.all("input") if one.get("name") == "once")
    first, second = post(caller, task, "say", **form), post(caller, task, "say", **form)
    assert first.headers["location"].endswith("done=said")
    assert second.headers["location"].endswith("done=twice")
    assert [text.state for text in logged(here) if text.class_ == "staff"] == ["scheduled"]
    assert "There is, behind the house." in said(caller.page(f"/inbox/{task.id}"))


def test_checking_shows_how_it_reads_and_sends_nothing(here):
    task, caller = the(here, "reply"), Caller(here, role="coordinator")
    to = Page(caller.page(f"/inbox/{task.id}")).by_id("to")["value"]
    answer = post(caller, task, "say", to=to, words="It\N{RIGHT SINGLE QUOTATION MARK}s behind the house", do="check")
    assert answer.status_code == 200
    assert "It's behind the house" in Page(answer).said("p")
    assert "As it will read · 1 segment · goes 10:00 am" in said(answer)
    assert not [text for text in logged(here) if text.class_ == "staff"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("", "Write the text"),
        ("See you at rehab", "tells what kind of care it is: rehab"),
        ("Look at www.example.org", "has what looks like a link"),
        ("x" * 400, "is too long"),
    ],
)
def test_what_may_not_go_is_kept_in_its_field_with_what_to_mend(here, words, problem):
    task, caller = the(here, "reply"), Caller(here, role="coordinator")
    to = Page(caller.page(f"/inbox/{task.id}")).by_id("to")["value"]
    answer = post(caller, task, "say", to=to, words=words, do="send")
    shown = Page(answer)
    assert answer.status_code == 422
    assert problem in " ".join(shown.said("span"))
    assert shown.by_id("words")["aria-invalid"] == "true"
    assert shown.said("textarea")[0] == words
    assert not [text for text in logged(here) if text.class_ == "staff"]


def test_who_sent_stop_cannot_be_answered_by_a_text(here):
    hear(here, "STOP", 2, "SM3")
    task, caller = the(here, "reply"), Caller(here, role="coordinator")
    answer = caller.page(f"/inbox/{task.id}")
    assert "No text can go: this number has opted out. Phone them instead." in said(answer)
    assert not [one for one in Page(answer).all("textarea") if one["id"] == "words"]
    to = Page(answer).by_id("to")["value"]
    refused = post(caller, task, "say", to=to, words="Behind the house", do="send")
    assert refused.status_code == 422
    assert "Not sent: this number has opted out" in refused.text


def test_a_reply_to_begin_with_is_in_the_readers_language(here):
    accept(here, 3, series=SOON, patient={"language": "es"})
    hear(here, "dónde estaciono", 3, "SM4")
    task = next(one for one in queries.tasks.list_tasks(here.database, kind="reply") if one.patients == ("MRN-3",))
    caller = Caller(here, role="coordinator")
    assert Page(caller.page(f"/inbox/{task.id}?saved=call_us")).said("textarea")[0] == (
        "Oak Street Office: Por favor llame al 202-555-0100 cuando pueda."
    )
    assert not Page(caller.page(f"/inbox/{task.id}?saved=nonsense")).said("textarea")[0]


# Each wording that could break a saved reply or the card.
AMBIGUOUS = ("al momento", "en la semana", "es ahora", "no se va a hacer", "encuentro", "Como usted quiso")


@pytest.mark.parametrize("language", sorted(wording.languages()))
def test_w3_replies_to_begin_with_are_one_neutral_segment_at_their_longest(language):
    given = {"alias": "Mt. Williams Annex", "phone": "+12025550100", "line24": "+12025550101"}
    for key, one in wording.saved_replies(language, **given).items():
        length = segments(one.body)
        assert (wording.check_typed(one.body), length.encoding, length.count) == ((), "GSM-7", 1), key
        assert wording.plainer(one.body) == one.body
        assert one.about
        assert one.body.startswith("Mt. Williams Annex: ")
        assert not [words for words in AMBIGUOUS if words in one.body], key
        if re.search(r"crisis|peligro|danger|988|911", one.body, re.IGNORECASE):
            assert all(number in one.body for number in ("988", "911", "202-555-0101")), key
            assert language == "en" or "988 y oprima 2" in one.body
        if "STOP" in one.body:
            assert one.body.endswith({"en": "STOP to end texts.", "es": "STOP para no recibir mensajes."}[language]), (
                key
            )
    printed = wording.card(language=language, **given)
    assert not [words for words in AMBIGUOUS if words in printed]
    assert all(number in printed for number in ("988", "911", "202-555-0101"))


def test_an_answer_to_a_shared_phone_says_to_whom(here):
    accept(here, 4, series=SOON, patient={"phone": "202-555-0102"})
    task = next(one for one in queries.tasks.list_tasks(here.database, kind="reply"))
    caller = Caller(here, role="coordinator")
    shown = Page(caller.page(f"/inbox/{task.id}"))
    assert len([one for one in shown.all("option") if one["value"]]) == 2
    assert post(caller, task, "say", to="1", words="Behind the house", do="send").status_code == 422


# Closing


def test_an_urgent_task_wants_its_end_in_writing(here):
    task, caller = the(here, "crisis"), Caller(here, role="clinician")
    answer = post(caller, task, "close", outcome="reached")
    assert answer.status_code == 422
    assert Page(answer).by_id("ended")["aria-invalid"] == "true"
    assert the(here, "crisis").closed_at is None
    done = post(caller, task, "close", outcome="reached", ended="Is with his sister.")
    assert done.status_code == 303
    closed = caller.page(f"/inbox/{task.id}")
    assert "Closed: Reached them" in said(closed)
    assert "Is with his sister." in said(closed)
    assert "Close it" not in said(closed)


def test_an_outcome_that_it_cannot_have_and_one_twice_are_refused(here):
    task, caller = the(here, "reply"), Caller(here, role="clinician")
    assert post(caller, task, "close", outcome="false_alarm").status_code == 422
    assert post(caller, task, "close", outcome="done").status_code == 303
    again = post(caller, task, "close", outcome="done")
    assert again.status_code == 422
    assert "is closed already" in again.text


def test_l47_what_medical_personnel_were_told_is_on_record(here):
    task, caller = the(here, "crisis"), Caller(here, role="clinician")
    half = post(caller, task, "close", outcome="welfare_check", ended="Police are there.", disclosed_to="Dr. Roe, ER")
    assert half.status_code == 422
    assert Page(half).by_id("emergency")["aria-invalid"] == "true"
    post(
        caller,
        task,
        "close",
        outcome="welfare_check",
        ended="Police are there.",
        disclosed_to="Dr. Roe, ER",
        emergency="Took too much",
    )
    words = said(caller.page(f"/inbox/{task.id}"))
    assert "Told to medical personnel 42 CFR 2.51" in words
    assert "To: Dr. Roe, ER Emergency: Took too much" in words


def test_a_held_text_that_is_of_use_no_more_says_to_phone(here):
    text = next(one for one in logged(here) if one.class_ == "reminder")

    def hold(tx):
        site = store.people.site_by_key(tx, "main").id
        now = clock.now()
        return store.tasks.open_task(
            tx, task_kinds.HELD_TEXT, site_id=site, zone="UTC", now=now, until=now, text_id=text.text
        )[0]

    number = here.database.write(hold)
    answer = Caller(here, role="coordinator").request("POST", f"/inbox/{number}/let-go")
    assert answer.status_code == 422
    assert "phone instead, and close the task" in answer.text


@pytest.mark.parametrize("role", ["ops", "read_only"])
def test_who_may_not_answer_sees_no_way_to_and_has_none(here, role):
    task, caller = the(here, "reply"), Caller(here, role=role)
    assert [one for one in Page(caller.page(f"/inbox/{task.id}")).all("form") if "/inbox/" in one["action"]] == []
    for verb in ("take", "note", "say", "close", "let-go"):
        assert post(caller, task, verb).status_code == 403


def test_every_kind_of_task_can_be_opened(here):
    def make(tx):
        site = store.people.site_by_key(tx, "main").id
        now = clock.now()
        rows = {"number": schema.numbers, "patient": schema.patients, "plan": schema.plans, "text": schema.texts}
        rows |= {"recipient": schema.recipients, "appointment": schema.appointments}
        about = {f"{name}_id": tx.value(sa.select(table.c.id).limit(1)) for name, table in rows.items()}
        about |= {"sender_id": 1, "day": now.date(), "since": now, "job": "test", "what": "kind", "row": 1}
        for kind in task_kinds.KINDS.values():
            store.tasks.open_task(tx, kind, site_id=site, zone="UTC", now=now, until=now, at_site=site, **about)

    accept(here, 1, series=SOON)
    here.database.write(make)
    assert {task.kind for task in queries.tasks.list_tasks(here.database)} == task_kinds.KINDS.keys()
    caller = Caller(here, role="admin")
    for task in queries.tasks.list_tasks(here.database):
        answer = caller.page(f"/inbox/{task.id}")
        assert answer.status_code == 200
        assert task_kinds.KINDS[task.kind].title in Page(answer).said("h1")
    assert {outcome for kind in task_kinds.KINDS.values() for outcome in kind.outcomes} <= staff_words.OUTCOMES.keys()


# The conversation, on both databases


def test_a_conversation_has_both_ways_in_order_at_its_site_only(context, travel):
    ids = open_north(context)
    accept(context, 1, series=SOON)
    hear(context, "is there parking", 1)
    number = the(context, "reply").number_id

    def spoken(*sites):
        return context.database.read(lambda tx: store.replies.conversation(tx, number, [ids[key] for key in sites]))

    assert [(one.way, one.words, one.meaning) for one in spoken("main")] == [("in", "is there parking", "other")]
    assert spoken("north") == []
    found = inbox.open_task(
        context.database, the(context, "reply").id, clock.now(), who="x", sites=ids.values(), people=ids.values()
    )
    assert [one.patient for one in found.readers] == ["MRN-1"]
    assert staff_texts.why_not_to(context, [found.readers[0].id], clock.now()) == {found.readers[0].id: None}
    number, north = the(context, "reply").id, [ids["north"]]
    assert inbox.open_task(context.database, number, clock.now(), who="x", sites=north, people=[]) is None


def test_queues_count_what_stands_in_them(context, travel):
    ids = open_north(context)
    accept(context, 1, series=SOON)
    accept(context, 2, "north", series=SOON)
    hear(context, CRISIS, 1)
    hear(context, "is there parking", 2, "SM2", "+15005550009")
    tasks.take(context, the(context, "crisis").id, clock.now(), who="x")
    counted = context.database.read(lambda tx: queries.tasks.queues(tx, ids.values(), "x"))
    assert (counted.urgent, counted.red, counted.rest, counted.mine, counted.unassigned) == (1, 0, 1, 1, 1)
    assert counted.open == 2
    north = context.database.read(lambda tx: queries.tasks.queues(tx, [ids["north"]], "x"))
    assert (north.urgent, north.rest, north.open) == (0, 1, 1)
    assert context.database.read(lambda tx: queries.tasks.queues(tx, [], "x")).open == 0
