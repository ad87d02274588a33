"""The health rules: what goes wrong is told to someone, once, with its cause, and ends when it is over.

The two drills are those of the operations findings: Twilio away for ten minutes with many texts due, and a campaign
that networks filter.
"""

import json
import re
import ssl
import threading
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from conftest import NOW, free_port, logged, send
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from oncall import Clinic, Pager
from test_backup import accept, after, opens
from test_web_pages import all_jobs_succeed, figures

from reminders import clock, queries, store, task_kinds
from reminders.queries import explanations
from reminders.service.operations import certificate, faults, health, health_checks, health_rules, runs
from reminders.service.sending import backlog, outcomes
from reminders.service.tasks import handling
from reminders.sms.receipts import Receipt
from reminders.store.database import schema

RULES = [rule.name for rule in health_rules.RULES]


@pytest.fixture
def ops():
    pager = Pager()
    yield pager
    pager.close()


@pytest.fixture
def clinic(database_url, tmp_path, travel, twilio, ops):
    """A clinic with a nurse on call, and someone of ops on a rota of their own."""
    more = {"site__on_call_ops": json.dumps([ops.contact("Ops")]), "sending__backlog": "3", "health__least": "3"}
    opened = Clinic(database_url, tmp_path, travel, twilio, ("Nurse", {}), **more)
    all_jobs_succeed(opened.context)
    yield opened
    opened.close()


def worker(clinic, at, *, is_away=False, polls=True):
    """What a worker does at that moment; while Twilio is away it finds no one at its address."""
    clinic.travel(at)
    context = clinic.context
    backlog.check(context, clock.now())
    send(without_twilio(context) if is_away else context)
    for job in health.job_intervals(context):
        if (polls and not is_away) or job not in {"settle", "ask", "poll"}:
            runs.succeeded(context, job)
    faults.look(context, clock.now())
    clinic.page()


def without_twilio(context):
    twilio = context.settings.twilio.model_copy(update={"api_base_url": f"http://127.0.0.1:{free_port()}"})
    return replace(context, settings=context.settings.model_copy(update={"twilio": twilio}))


def faults_open(context, *, closed=False):
    return queries.tasks.list_tasks(context.database, kind="health", closed=closed)


def told(clinic, task):
    (said,) = [explanations.detail(event) for event in clinic.story(task.id) if event.what == "fault"]
    return said


def test_twilio_away_for_ten_minutes_is_told_once_and_what_piled_up_waits_for_a_person(clinic, twilio, ops):
    context = clinic.context
    for number in range(4):
        accept(context, number, opens(0))
    for minute in (1, 1.5, 2, 3, 5, 7.5, 11, 12):
        worker(clinic, after(minute), is_away=True)
    (task,) = faults_open(context)
    assert (task.urgency, task.patients, task.site) == ("urgent", (), "main")
    assert told(clinic, task) == "Senders: We could not get through to Twilio; nothing was sent"
    follows = {explanations.detail(event) for event in clinic.story(task.id) if event.what == "follows"}
    assert {"Texts to us"} <= follows <= {"Texts to us", "Oldest due text"}
    (held,) = queries.tasks.list_tasks(context.database, kind="backlog")
    assert held.rung_at is not None
    said = [page.said for page in ops.pages]
    assert len([one for one in said if f"task {task.id} |" in one]) == 1
    assert any("We could not get through to Twilio" in one for one in said)
    assert clinic.pager.called() == []  # no nurse is woken for it
    assert Counter(text.held for text in logged(context)) == {"backlog": 4}

    worker(clinic, after(13))  # Twilio is back
    assert twilio.created() == []
    assert backlog.end(context, clock.now(), drop=False, who="test") == 4
    worker(clinic, after(14), is_away=True)  # and away again: what a person let go is tried for ten minutes
    assert backlog.held(context).texts == 0
    worker(clinic, after(25), is_away=True)
    assert backlog.held(context).texts == 4
    backlog.end(context, clock.now(), drop=False, who="test")
    worker(clinic, after(30))
    assert len(twilio.created()) == 4
    worker(clinic, after(31))
    assert faults_open(context) == []
    assert {one.outcome for one in faults_open(context, closed=True)} == {"over"}
    assert queries.tasks.list_tasks(context.database, kind="backlog") == []


def test_a_pause_is_no_outage(clinic, twilio):
    context = clinic.context
    for number in range(4):
        accept(context, number, opens(0))
    health.pause_site(context, None, NOW, pause=True, who="test")
    for minute in (1, 8, 15):
        worker(clinic, after(minute))
    assert faults_open(context) == []
    assert not health.status(context, clock.now()).ok  # it shows
    health.pause_site(context, None, clock.now(), pause=False, who="test")
    worker(clinic, after(16))
    assert len(twilio.created()) == 4
    assert backlog.held(context).texts == 0


def ended(context, status, code=0):
    """A receipt of that end for every text that Twilio took."""
    rows = context.database.read(lambda tx: [(one.ref, one.sid) for one in tx.all(schema.attempts.select())])
    for ref, sid in rows:
        outcomes.receive(context, ref, Receipt(status, code, sid), {"MessageSid": sid}, clock.now())


def test_a_campaign_that_networks_filter_is_one_task_that_names_the_code(clinic, ops):
    context = clinic.context
    for number in range(4):
        accept(context, number, opens(0))
    worker(clinic, after(1))
    assert faults_open(context) == []
    ended(context, "undelivered", 30007)
    worker(clinic, after(2))
    (task,) = faults_open(context)
    said = told(clinic, task)
    assert said.startswith(
        "Filtered texts: 4 of the last 4 that ended were filtered or refused by networks (4 with code 30007)"
    )
    assert [explanations.detail(event) for event in clinic.story(task.id) if event.what == "follows"] == [
        "Texts that do not arrive"
    ]
    (page,) = ops.pages
    assert page.said.startswith(f"Service fault, task {task.id} | Service fault, task {task.id}. Filtered texts: 4 of")
    assert "reminders tasks take" in page.said
    status = health.status(context, clock.now())
    assert any("30007" in trouble for trouble in status.troubles)
    worker(clinic, after(3))
    assert len(faults_open(context)) == 1
    assert len(ops.pages) == 1
    assert clinic.pager.called() == []


def test_each_rule_shows_in_status_on_the_health_page_and_in_metrics(clinic):
    context = clinic.context
    said = health.status(context, clock.now()).as_json()["rules"]
    assert list(said) == RULES
    assert {one["state"] for name, one in said.items() if name != "backup"} == {"ok"}
    shown = {light.name for light in health_checks.lights(context, clock.now())}
    assert {rule.title for rule in health_rules.RULES} <= shown
    seen = figures(context)
    assert {name for metric, name in seen if metric == "reminders_rule_broken"} == set(RULES)
    for rule in health_rules.RULES:
        table, _, key = rule.threshold.partition(".")
        assert hasattr(getattr(context.settings, table), key), rule
        assert len(rule.runbook) > 30
        assert set(rule.because_of) <= set(RULES) - {rule.name}


def test_each_rule_stands_in_the_page_about_monitoring_with_its_threshold():
    said = (Path(__file__).resolve().parents[1] / "docs" / "monitoring.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|.*\| `([\w.]+)` \| (yes|no) \|$", said, re.MULTILINE)
    assert rows == [(rule.name, rule.threshold, "yes" if rule.pages else "no") for rule in health_rules.RULES]


def change(context, table, **values):
    context.database.write(lambda tx: tx.run(table.update().values(**values)))


def mark(context, name, at):
    context.database.write(lambda tx: store.backup.set_mark(tx, name, at))


def broken(context):
    faults.look(context, clock.now())
    return {task.id: key for task, key in zip(faults_open(context), context.database.read(_keys), strict=True)}.values()


def _keys(tx):
    return [key.removeprefix("health:") for key in store.tasks.open_keys(tx, task_kinds.HEALTH)]


def test_a_worker_that_has_stopped_is_told_by_who_is_left_and_one_that_starts_catches_up(clinic):
    context = clinic.context
    clinic.travel(after(10))
    process = {"kind": "worker", "host": "here", "pid": 1, "keys": {"k1": "x"}}
    context.database.write(lambda tx: store.processes.arrive(tx, clock.now(), **process))
    assert list(broken(context)) == []
    clinic.travel(after(13))
    assert list(broken(context)) == ["jobs"]
    all_jobs_succeed(context)
    assert list(broken(context)) == []


def test_where_no_worker_was_ever_started_no_one_is_paged(context, travel):
    assert list(broken(context)) == []
    assert not health.status(context, clock.now()).ok


def test_an_inbound_list_that_fails_and_silent_callbacks_are_told(clinic):
    context = clinic.context
    accept(context, 1, opens(0))
    worker(clinic, after(1))
    assert len(logged(context, state="sent")) == 1
    worker(clinic, after(9), polls=False)
    assert list(broken(context)) == []
    worker(clinic, after(12), polls=False)
    assert set(broken(context)) == {"webhooks", "inbound"}
    ended(context, "delivered")
    all_jobs_succeed(context)
    assert list(broken(context)) == []


def test_a_list_of_texts_to_us_that_was_never_read_is_told_once_a_worker_has_tried_for_long(clinic):
    context = clinic.context
    context.database.write(lambda tx: tx.run(schema.job_runs.delete().where(schema.job_runs.c.name == "poll")))
    process = {"kind": "worker", "host": "here", "pid": 1, "keys": {"k1": "x"}}
    worker_id = context.database.write(lambda tx: store.processes.arrive(tx, clock.now(), **process))
    worker(clinic, after(5), polls=False)
    assert list(broken(context)) == []
    clinic.travel(after(11))
    context.database.write(lambda tx: store.processes.seen(tx, worker_id, clock.now()))
    worker(clinic, after(11), polls=False)
    assert list(broken(context)) == ["inbound"]


def test_the_task_of_a_text_that_did_not_arrive_names_its_code(clinic):
    context = clinic.context
    clinic.accept(plan={"discharged_on": "2026-11-28"}, series=[opens(0)])
    worker(clinic, after(1))
    ended(context, "undelivered", 30007)
    clinic.watch()
    (task,) = clinic.tasks("undelivered")
    (line,) = [event for event in clinic.story(task.id) if event.what == "not arrived"]
    assert (line.text_code, line.text_state) == (30007, "undelivered")
    assert "(30007)" in explanations.became(line)


@pytest.mark.parametrize(
    ("rule", "settings", "urgency"),
    [("disk", {"health__disk_mb": "1e12"}, "urgent"), ("backup", {}, "soon"), ("certificate", {}, "urgent")],
)
def test_disk_backup_and_certificate_are_told(clinic, rule, settings, urgency):
    context = clinic.context
    base = context.settings
    limits = base.health.model_copy(update={name.partition("__")[2]: float(value) for name, value in settings.items()})
    web = base.web.model_copy(update={"public_url": "https://texts.example.invalid"})
    mark(context, "cert looked at", NOW)  # so that no one is asked
    mark(context, health_rules.CERTIFICATE, NOW + timedelta(days=60))
    mark(context, store.backup.TAKEN, NOW)
    twilio = base.twilio.model_copy(update={"live": True})
    there = replace(context, settings=base.model_copy(update={"health": limits, "web": web, "twilio": twilio}))
    if rule == "disk":
        assert list(broken(there)) == ["disk"]
        return
    assert list(broken(there)) == []
    mark(context, store.backup.TAKEN if rule == "backup" else health_rules.CERTIFICATE, NOW - timedelta(hours=27))
    assert list(broken(there)) == [rule]
    (task,) = faults_open(context)
    assert task.urgency == urgency
    assert any(rule in trouble for trouble in health.status(there, clock.now()).troubles)


def test_a_fault_that_a_person_has_closed_does_not_come_back_at_once_and_one_that_is_over_does(clinic):
    context = clinic.context
    clinic.travel(after(13))
    assert list(broken(context)) == ["jobs"]
    (task,) = faults_open(context)
    handling.close(context, task.id, "done", clock.now(), who="test")
    assert list(broken(context)) == []
    clinic.travel(after(14 + 4 * 60))
    assert list(broken(context)) == ["jobs"]
    all_jobs_succeed(context)
    assert list(broken(context)) == []
    clinic.travel(after(14 + 4 * 60 + 10))
    assert list(broken(context)) == ["jobs"]


def test_pages_that_no_one_takes_are_told(clinic):
    context = clinic.context
    clinic.accept()
    clinic.pager.answers = [500]
    clinic.text("I want to die")
    assert list(broken(context)) == []
    change(context, schema.pages, tries=3)
    assert list(broken(context)) == ["pages"]


def test_people_in_danger_and_faults_are_paged_in_other_words_to_other_people(clinic, ops):
    context = clinic.context
    clinic.accept()
    clinic.text("I want to die")
    clinic.travel(after(13))
    faults.look(context, clock.now())
    clinic.page()
    assert {page.said.partition("task ")[0] for page in clinic.pager.pages} == {"Open urgent "}
    assert {page.said.partition("task ")[0] for page in ops.pages} == {"Service fault, "}
    assert not [page for page in ops.pages if "danger" in page.said]
    clinic.travel(after(40))
    clinic.page()
    assert {page.contact for page in clinic.pager.pages} == {"Nurse"}
    assert {page.contact for page in ops.pages} == {"Ops"}


def test_without_a_rota_of_its_own_a_fault_reaches_those_on_call(database_url, tmp_path, travel, twilio):
    clinic = Clinic(database_url, tmp_path, travel, twilio, ("Nurse", {}))
    all_jobs_succeed(clinic.context)
    clinic.travel(after(13))
    faults.look(clinic.context, clock.now())
    clinic.page()
    assert clinic.pager.called() == ["Nurse"]
    clinic.close()


def test_what_is_wrong_with_the_account_is_one_task_however_many_senders_it_stops(clinic, twilio, ops):
    context = clinic.context
    twilio.rule(fault="unauthorized")
    accept(context, 1, opens(0))
    worker(clinic, after(1))
    (task,) = queries.tasks.list_tasks(context.database, kind="sender_fault")
    assert context.database.read(lambda tx: store.tasks.open_keys(tx, task_kinds.SENDER_FAULT)) == [
        "sender_fault:account"
    ]
    for minute in (2, 4, 8, 13):
        worker(clinic, after(minute))
    assert faults_open(context) == []  # the sender's own task says it
    assert len([page for page in ops.pages if page.said.startswith(f"Service fault, task {task.id} |")]) == 1
    twilio.do(lambda simulator: simulator.rules.clear())
    worker(clinic, after(20))
    assert queries.tasks.list_tasks(context.database, kind="sender_fault") == []


def test_the_certificate_is_looked_at_once_an_hour_and_an_untrusted_one_does_not_hold(context, tmp_path, travel):
    here = context.settings.web.model_copy(update={"public_url": "https://127.0.0.1:1"})
    away = replace(context, settings=context.settings.model_copy(update={"web": here}))
    assert certificate.look(context, NOW) is None  # http has none
    assert certificate.look(away, NOW) is None  # nothing answers: it says nothing of the certificate
    assert health_rules.CERTIFICATE not in context.database.read(store.backup.all_marks)
    with _Tls(tmp_path) as (port, trusted, until):
        web = here.model_copy(update={"public_url": f"https://127.0.0.1:{port}"})
        there = replace(context, settings=context.settings.model_copy(update={"web": web}))
        assert certificate.look(there, NOW + timedelta(minutes=30), trusted) is None  # looked at within the hour
        assert certificate.look(there, NOW + timedelta(hours=2), trusted) == until
        untrusted = NOW + timedelta(hours=4)
        assert certificate.look(there, untrusted, ssl.create_default_context()) == untrusted


class _Tls:
    """A server on this machine that shows a certificate of its own."""

    def __init__(self, folder):
        self._folder = folder

    def __enter__(self):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "texts")])
        until = (NOW + timedelta(days=900)).replace(microsecond=0)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(NOW - timedelta(days=900))
            .not_valid_after(until)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .sign(key, hashes.SHA256())
        )
        file = self._folder / "shown.pem"
        file.write_bytes(
            made.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        how = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        how.load_cert_chain(file)
        self._server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
        self._server.handle_error = lambda *_: None
        self._server.socket = how.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        trusted = ssl.create_default_context(cafile=str(file))
        return self._server.server_port, trusted, until

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
