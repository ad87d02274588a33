"""The page of one text: what happened in order, why, and who must do what."""

import json
import shutil
from datetime import timedelta

import pytest
import sqlalchemy as sa
from conftest import NOW, logged, open_context
from people import one_off
from test_codes import CLASSES
from test_codes import EXPECTED as CODES
from test_web_pages import Page
from two_sites import accept, open_north
from web_caller import Caller

from reminders.lifecycle import State
from reminders.queries import explanations
from reminders.service.sending import failed_texts
from reminders.sms import codes
from reminders.store.database import schema
from reminders.store.database.ids import new_id
from reminders.store.database.sealing import Place
from reminders.wording import staff_words

BODY = "Oak Street Office: your appointment is today, 11:30am."


@pytest.fixture
def here(sqlite_template, tmp_path, travel):
    shutil.copy(sqlite_template, tmp_path / "here.db")
    opened = open_context(f"sqlite:///{tmp_path / 'here.db'}", tmp_path)
    open_north(opened)
    accept(opened, series=[one_off("visit", "2026-11-30T11:30:00", leads=["90m"])])
    yield opened
    opened.close()


def one(context):
    return logged(context)[0].text


def set_text(context, **values) -> int:
    context.database.write(lambda tx: tx.run(schema.texts.update().values(**values)))
    return one(context)


def tried(context, number: int = 1, code: int = 0, answer: str = "accepted", heard=(), state: str = "sent") -> int:
    """Add a try of the text, with its receipts: (status, seconds later)."""

    def work(tx):
        text = tx.first(sa.select(schema.texts))
        key = tx.data_key(tx.value(sa.select(schema.patients.c.key_id)))
        at = NOW + timedelta(minutes=20 * number)
        attempt = {"id": new_id(at), "text_id": text.id, "number": number, "ref": f"{number:032}", "error_code": code}
        attempt |= {"sid": f"SM{number:032}" if answer == "accepted" else None, "sender_id": text.sender_id}
        attempt |= {"number_id": text.number_id, "started_at": at, "answered_at": at, "answer": answer}
        attempt |= {"status": heard[-1][0] if heard else None, "status_at": at, "template": "x", "language": "en"}
        attempt |= {"segments": 1, "encoding": "GSM-7", "looks": 0, "asks": 0}
        attempt["body_sealed"] = tx.seal(Place("attempts", "body_sealed", attempt["id"]), BODY, key)
        tx.run(schema.attempts.insert(), attempt)
        for status, seconds in heard:
            row = {"id": new_id(at), "attempt_id": attempt["id"], "status": status, "heard_by": "callback"}
            row |= {"error_code": code if status == "undelivered" else 0, "heard_at": at + timedelta(seconds=seconds)}
            raw = json.dumps({"MessageStatus": status, "To": "+12025550101", "ErrorCode": str(code)})
            row["raw_sealed"] = tx.seal(Place("receipts", "raw_sealed", row["id"]), raw, key)
            tx.run(schema.receipts.insert(), row)
        tx.run(schema.texts.update().values(state=state, attempts=number))
        return text.id

    return context.database.write(work)


def page(context, role: str = "admin", site: str | None = None) -> tuple[Page, str]:
    answer = Caller(context, role=role, site=site).page(f"/texts/{one(context)}")
    assert answer.status_code == 200
    return Page(answer), answer.text


def audited(context) -> list[str]:
    return [
        row.what for row in context.database.read(lambda tx: tx.all(sa.select(schema.audit))) if row.table == "texts"
    ]


def test_what_happened_stands_in_order_and_what_came_late_is_marked(here):
    tried(here, code=30003, heard=[("queued", 1), ("undelivered", 9), ("sent", 10)], state="undelivered")
    tried(here, 2, heard=[("queued", 1), ("delivered", 900)], state="delivered")
    shown, _ = page(here)
    steps = [line for line in shown.said("li") if "Nov" in line]
    said = [
        "Planned", "Claimed and handed over", "Twilio took it", "Twilio says queued",
        "Twilio says undelivered, code 30003", "Twilio says sent", "Claimed and handed over", "Twilio took it",
        "Twilio says queued", "Twilio says delivered",
    ]  # fmt: skip
    assert [step.startswith(words) for step, words in zip(steps, said, strict=True)] == [True] * len(said)
    assert "out of order" in steps[5]
    assert "late" in steps[9]
    assert [number for number, step in enumerate(steps) if "late" in step or "out of order" in step] == [5, 9]


def test_a_text_that_waits_says_when_it_is_tried_next(here):
    tried(here, code=30003, heard=[("undelivered", 9)], state="undelivered")
    set_text(here, state="scheduled", waits_code=30003, due_at=NOW + timedelta(minutes=40))
    shown, text = page(here)
    assert "Next try Mon, Nov 30, 2026, 10:40 am, try 2" in " ".join(text.split())
    assert shown.said("li")[-1].startswith("Next try")


def test_a_failure_is_told_in_three_steps_with_advice_and_who(here):
    tried(here, code=30003, heard=[("undelivered", 9)], state="undelivered")
    shown, text = page(here)
    code = codes.look_up(30003)
    heading = next(line for line in shown.said("h2") if line.startswith("Not delivered"))
    assert heading.startswith("Not delivered → ")
    assert heading.endswith("→ code 30003")
    assert shown.said("dt")[:4] == ["What this means", "What we do now", "What you can do", "Who"]
    assert shown.said("dd")[0] == code.meaning
    assert shown.said("dd")[2] == code.you_do
    assert f'href="{code.docs}"' in text
    assert "Try it again" in text


def test_a_code_nobody_knows_is_said_so_with_a_link(here):
    tried(here, code=39999, heard=[("undelivered", 9)], state="undelivered")
    shown, text = page(here)
    assert "Twilio code 39999: we have no advice for this code yet." in " ".join(shown.said("p"))
    assert 'href="https://www.twilio.com/docs/api/errors/39999"' in text


def test_the_catalog_of_codes_has_meaning_advice_class_and_owner():
    assert len(CODES) >= 60
    for code in CODES:
        known = codes.look_up(code)
        assert codes.is_known(code)
        assert known.class_ in CLASSES
        assert all(len(words) > 7 for words in (known.meaning, known.we_do, known.you_do))
        assert known.who in explanations.WHO
        assert known.docs or not code  # 0 is our own


@pytest.mark.parametrize("reason", list(staff_words.REASONS))
def test_every_reason_not_to_send_is_explained(here, reason):
    set_text(here, state="suppressed", reason=reason)
    shown, _ = page(here, "coordinator")
    assert all(len(line) > 8 for line in shown.said("dd")[:4])


@pytest.mark.parametrize("state", list(State))
def test_every_state_is_explained(here, state):
    if state not in {State.SUPPRESSED, State.SCHEDULED, State.CANCELLED, State.EXPIRED}:
        tried(here, answer="unknown" if state is State.UNCERTAIN else "accepted")
    lease = {"leased_until": NOW} if state is State.SENDING else {}
    set_text(here, state=state.value, reason="paused" if state is State.SUPPRESSED else None, **lease)
    shown, _ = page(here)
    assert all(len(line) > 7 for line in shown.said("dd")[:4])
    assert explanations.explain(logged(here)[0]).outcome == staff_words.STATES[state]


@pytest.mark.parametrize("held", list(staff_words.HELD))
def test_what_holds_a_text_is_explained(here, held):
    set_text(here, held=held)
    assert explanations.explain(logged(here)[0]).outcome == "Held"
    assert page(here)[0].said("dd")[0].startswith("Held")


@pytest.mark.parametrize(
    ("role", "reads", "raw", "noted"),
    [
        ("coordinator", True, False, "text read"),
        ("admin", True, True, "text and what Twilio sent read"),
        ("ops", False, True, "what Twilio sent read"),
    ],
)
def test_words_and_raw_forms_are_for_who_may_and_each_read_is_on_record(here, role, reads, raw, noted):
    tried(here, code=30003, heard=[("undelivered", 9)], state="undelivered")
    before = audited(here)
    _, text = page(here, role)
    assert (BODY in text, "MessageStatus" in text) == (reads, raw)
    assert ("2025550101" in text) == (reads and raw)
    assert audited(here)[len(before) :] == [noted]
    assert "Jordan" not in text


def test_a_text_of_another_site_is_not_there(here):
    for path in (f"/texts/{one(here)}", "/texts/1", "/texts/x", f"/texts/{2**70}"):
        assert Caller(here, role="coordinator", site="north").page(path).status_code == 404
    assert Caller(here).page(f"/texts/{one(here)}").status_code == 303


def test_what_whoever_asks_may_do_is_offered(here):
    tried(here, code=30003, heard=[("undelivered", 9)], state="undelivered")
    assert 'value="task"' in page(here, "coordinator")[1]
    assert 'value="again"' not in page(here, "coordinator")[1]
    assert 'value="again"' in page(here, "ops")[1]
    assert failed_texts.why_not_again(logged(here)[0], NOW) is None
