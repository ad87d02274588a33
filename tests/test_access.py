"""Who may request what: every role on every route, and nothing from another site, read from the router itself."""

import re
import shutil
from datetime import timedelta
from urllib.parse import urlencode, urlsplit

import pytest
import routes
import staff
from conftest import NOW, environment, open_context
from oncall import STRANGER
from people import document, one_off
from test_pages_plans import form as plan_form
from typer.testing import CliRunner
from web_caller import Caller, signature

from reminders import clock, store
from reminders.cli.app import app as cli
from reminders.service import planning
from reminders.service.office import accounts
from reminders.service.office.accounts import PERMISSIONS
from reminders.store.database import ids, schema

FORM = {"content-type": "application/x-www-form-urlencoded", "accept": "text/html"}


@pytest.fixture(scope="module")
def _template(sqlite_template, tmp_path_factory):
    """A house with two sites; everything except staff belongs to `main`."""
    folder = tmp_path_factory.mktemp("access")
    ids._millisecond = 0  # another test may have lived later, and the first of a kind is meant to be ours
    shutil.copy(sqlite_template, folder / "reminders.db")
    context = open_context(f"sqlite:///{folder / 'reminders.db'}", folder, web__demo="true")
    clock.correct(NOW - clock.machine())
    series = [
        one_off("visit", "2026-12-03T15:00:00", session="oak-monday", leads=["2h"]),
        one_off("this-morning", "2026-11-30T09:00:00"),
    ]
    planning.accept(
        context, document(plan={"ref": "ZQ-77"}, patient={"ref": "ZP-77"}, series=series), clock.now(), who="test"
    )
    caller = Caller(context)
    for number, phone in enumerate(("+12025550143", STRANGER)):
        form = {
            "MessageSid": f"SM{number:032}",
            "From": phone,
            "To": context.settings.twilio.sender,
            "Body": "who is this",
        }
        assert caller.twilio("/sms/inbound", **form).status_code == 200
    accounts.invite(context, "at.main", "Somebody", "coordinator", clock.now(), who="test", site="main")

    def another_site(tx):
        site = tx.first(schema.sites.select())
        tx.run(schema.sites.insert(), site._asdict() | {"id": site.id + 1, "key": "north", "alias": "North Street"})
        draft = {"id": 1, "site_id": site.id, "changed_at": clock.now(), "fields_sealed": b""}
        tx.run(schema.drafts.insert(), draft | {"staff_id": store.accounts.by_login(tx, "at.main").id})

    context.database.write(another_site)
    context.close()
    return folder


@pytest.fixture
def two_sites(_template, tmp_path, travel):
    shutil.copy(_template / "reminders.db", tmp_path / "reminders.db")
    travel(NOW + timedelta(minutes=1))  # after what the template holds: ids grow with time
    opened = open_context(f"sqlite:///{tmp_path / 'reminders.db'}", tmp_path, web__demo="true")
    yield opened
    opened.close()


def some_id(context, table) -> int:
    return context.database.read(lambda tx: tx.first(table.select().with_only_columns(table.c.id)).id)


def visit_on(context, day: str) -> int:
    rows = context.database.read(lambda tx: tx.all(schema.appointments.select()))
    return next(row.id for row in rows if row.wall.startswith(day))


def values_for(context) -> dict[str, object]:
    """The values for the braces of an address: a row of `main` for each kind of id, and words that are not ids."""
    at_main = context.database.read(lambda tx: store.accounts.by_login(tx, "at.main"))
    session = context.database.read(lambda tx: tx.first(schema.sessions.select()))
    return {
        "patient_id": some_id(context, schema.patients),
        "plan_id": some_id(context, schema.plans),
        "visit_id": visit_on(context, "2026-12-03"),
        "draft_id": some_id(context, schema.drafts),
        "number": some_id(context, schema.tasks),
        "session_id": session.id,
        "on": "2026-12-03",
        "staff_id": at_main.id,
        "audit_id": context.database.read(
            lambda tx: tx.first(schema.audit.select().where(schema.audit.c.site_id.is_not(None))).id
        ),
        "text": some_id(context, schema.texts),
        "key": "main",
        "what": "number",
        "do": "pause",
        "deed": "reset",
    }


# Addresses with braces that do not name a row of a site, and why this test skips another site's.
NOT_OF_A_SITE = {
    "/held/{why}": "a word; its texts are those of the actor's sites",
    "/account/do/{deed}": "a word; the account is one's own",
    "/log/export/{form}": "a word; the rows are those of the actor's sites",
    "/phones/{key}": "the demo's pretend phones belong to no site",
    "/phones/{key}/text": "as above",
    "/phones/{key}/switch": "as above",
}


WORDS = {"why": "crisis", "form": "csv"}


def filled(route: routes.Route, values: dict[str, object]) -> str:
    """The address with its braces filled. A KeyError means that `values_for` needs a new value."""
    if route.path.startswith("/phones/"):
        values = {**values, "key": "2025550143"}
    return re.sub(r"\{(\w+)\}", lambda found: str(values[found[1]]), route.path)


def asked(caller: Caller, route: routes.Route, path: str):
    content = b"" if route.method == "POST" else None
    return caller.request(route.method, path, headers=FORM, content=content)


def pages(app) -> list[routes.Route]:
    """Every route that is not public; those of the API, which take a key, have their own test."""
    return [
        one
        for one in routes.walk(app)
        if one.lets_in not in {"anybody", "monitors"} and not one.path.startswith("/api/")
    ]


@pytest.mark.parametrize("role", PERMISSIONS)
def test_every_role_on_every_route(two_sites, role):
    values = values_for(two_sites) | WORDS
    caller = Caller(two_sites, role=role)
    for route in pages(caller.app):
        answer = asked(caller, route, filled(route, values))
        may = route.lets_in == "signed in" or route.lets_in in PERMISSIONS[role]
        assert (answer.status_code == 403) is not may, (str(route), answer.status_code)
        assert answer.status_code < 500, str(route)
        assert not urlsplit(answer.headers.get("location", "")).path.startswith("/sign-in"), str(route)
        if not may:
            assert "does not let you" in answer.text


def test_a_stranger_is_sent_to_sign_in_from_every_page(two_sites):
    values = values_for(two_sites) | WORDS
    caller = Caller(two_sites)
    for route in pages(caller.app):
        answer = asked(caller, route, filled(route, values))
        if route.method == "POST":
            assert answer.status_code == 401, str(route)
            assert 'action="/sign-in"' in answer.text
        else:
            assert answer.status_code == 303, str(route)
            assert urlsplit(answer.headers["location"]).path == "/sign-in", str(route)


def test_ids_of_another_site_are_not_there(two_sites):
    values = values_for(two_sites)
    stranger = Caller(two_sites, role="admin", site="north")
    with_ids = [one for one in pages(stranger.app) if "{" in one.path and one.path not in NOT_OF_A_SITE]
    assert len(with_ids) > 25
    member = Caller(two_sites, role="admin")
    for route in with_ids:
        path = filled(route, values)
        assert asked(stranger, route, path).status_code == 404, str(route)
        if route.method == "GET":
            assert member.page(path).status_code != 404, f"{route}: {path} is no id of this test's house"


def test_every_exception_is_a_route(two_sites):
    assert set(NOT_OF_A_SITE) <= {one.path for one in pages(Caller(two_sites).app)}


def test_lists_show_nothing_of_another_site(two_sites):
    stranger = Caller(two_sites, role="admin", site="north")
    for path in ("/", "/inbox", "/sessions", "/attendance", "/plans", "/log", "/users", "/audit", "/audit.csv"):
        answer = stranger.page(path)
        assert answer.status_code == 200, path
        for word in ("Alvarez", "ZQ-77", "ZP-77", "0143", "at.main"):
            assert word not in answer.text, (path, word)


def test_s16_no_address_no_link_and_no_title_of_a_page_names_a_person(two_sites):
    values = values_for(two_sites) | WORDS
    caller = Caller(two_sites, role="admin")
    looked_for = [f"/log?patient_id={values['patient_id']}", f"/log?when=any&plan_id={values['plan_id']}"]
    looked_for += [f"/audit?patient_id={values['patient_id']}", "/log?when=any"]
    paths = [filled(route, values) for route in pages(caller.app) if route.method == "GET"]
    named = 0
    for path in paths + looked_for:
        said = caller.page(path).text
        named += "ZP-77" in said or "ZQ-77" in said
        addresses = re.findall(r'(?:href|action|src|data-href|data-refresh|formaction)="([^"]*)"', said)
        titles = re.findall(r"<title>([^<]*)</title>", said)
        hidden = re.findall(r'name="back" value="([^"]*)"', said)
        for word in ("ZP-77", "ZQ-77", "Alvarez", "5550143"):
            assert not [one for one in addresses + titles + hidden if word in one], (path, word)
    assert named > 5


CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def test_s16_what_others_wrote_turns_no_line_around_and_moves_no_cursor(two_sites, monkeypatch):
    patient = {"ref": "ZP-78", "name": "Jor\u2067dan Quill", "phone": "+12025550178"}
    series = [one_off("visit", "2026-12-03T15:00:00", session="oak-monday", **{"with": "Dr. \u2066Lee"})]
    planning.accept(two_sites, document(plan={"ref": "ZQ-78"}, patient=patient, series=series), clock.now(), who="test")
    caller = Caller(two_sites, role="admin")
    form = {"MessageSid": "SM" + "7" * 32, "From": patient["phone"], "To": two_sites.settings.twilio.sender}
    assert caller.twilio("/sms/inbound", Body="\u202eI will not\x1b[2J come", **form).status_code == 200
    last = {"patient_id": schema.patients, "plan_id": schema.plans, "number": schema.tasks, "text": schema.texts}
    values = values_for(two_sites) | WORDS
    for name, table in last.items():
        values[name] = two_sites.database.read(lambda tx, t=table: max(row.id for row in tx.all(t.select())))
    values["visit_id"] = two_sites.database.read(lambda tx: max(row.id for row in tx.all(schema.appointments.select())))
    shown = ""
    for route in pages(caller.app):
        if route.method == "GET" and "export" not in route.path and not route.path.endswith(".csv"):
            path = filled(route, values)
            said = re.sub(r'value="[^"]*"|<textarea[^<]*', "", caller.page(path).text)  # what is typed stays as it is
            assert not CONTROLS.search(said), path
            shown += said
    assert len(re.findall(r"<bdi>[^<]*⟦RLO⟧I will not␛\[2J come", shown)) > 3
    assert len(re.findall(r"<bdi>Jor⟦RLI⟧dan", shown)) > 5
    assert "<bdi>Dr. ⟦LRI⟧Lee</bdi>" in shown
    for name, value in environment(two_sites.database.url).items():
        monkeypatch.setenv(name, value)
    said = CliRunner().invoke(cli, ["tasks", "show", str(values["number"])])
    assert "“⟦RLO⟧I will not␛[2J come”" in said.stdout
    assert "⟦RLI⟧dan" in CliRunner().invoke(cli, ["people", "show", "ZP-78"]).stdout


def test_a_signature_is_no_sign_in_and_a_sign_in_no_signature(two_sites):
    caller = Caller(two_sites, role="admin")
    form = [("MessageSid", "SM1"), ("From", "+12025550143"), ("Body", "hello")]
    assert caller.post("/sms/inbound", form).status_code == 403
    url = two_sites.settings.web.public_url + "/users/new"
    signed = {"x-twilio-signature": signature(url, form)} | FORM
    assert Caller(two_sites).request("POST", "/users/new", headers=signed, data=dict(form)).status_code == 401


def test_no_cookie_is_accepted_by_the_api(two_sites):
    caller = Caller(two_sites, role="admin")
    for route in routes.walk(caller.app):
        if route.path.startswith("/api/v1/"):
            path = re.sub(r"\{\w+\}", "1", route.path)
            assert caller.request(route.method, path, headers={"accept": "application/json"}).status_code == 401, str(
                route
            )


# Who administers whom


def test_who_administers_one_site_cannot_reach_beyond_it(two_sites):
    actor = staff.actor(two_sites, "admin", "north")
    staff.member(two_sites, "ops")
    staff.member(two_sites, "ops", "north")
    accounts.set_role(two_sites, staff.member(two_sites, "clinician"), None, clock.now(), who="test")  # of no site
    assert [one.login for one in accounts.everybody(two_sites, actor)] == ["admin.north", "ops.north"]
    caller = Caller(two_sites, role="admin", site="north")
    page = caller.page("/users/new").text
    assert "(north)" in page
    assert "(main)" not in page
    assert "Every site" not in page
    for site in ("main", "*"):
        form = {"login": "new.one", "name": "New One", "role": "admin", "site": site}
        assert caller.request("POST", "/users/new", data=form).status_code == 404
    everybody = {one.login: one.id for one in accounts.everybody(two_sites)}
    path = f"/users/{everybody['ops.north']}/role"
    assert caller.request("POST", path, data={"site": "*", "role": "admin"}).status_code == 404
    assert caller.request("POST", path, data={"site": "north", "role": "clinician"}).status_code == 303
    for login in ("ops.everywhere", "at.main"):
        for deed in ("reset", "end", "sign-ins", "reset-factor"):
            assert caller.request("POST", f"/users/{everybody[login]}/do/{deed}").status_code == 404


# What is done is on record


def reader_of(context) -> str:
    return str(some_id(context, schema.recipients))


def plan_of(context) -> str:
    return str(some_id(context, schema.plans))


def text_of(context) -> str:
    return str(some_id(context, schema.texts))


def marks(context) -> dict[str, str]:
    return {f"visit-{visit_on(context, '2026-11-30')}": "attended"}


def changed(context) -> list[tuple[str, str]]:
    plan = context.database.read(lambda tx: tx.first(schema.plans.select().where(schema.plans.c.ref == "ZQ-77")))
    own = {"plan_id": str(plan.id), "plan.ref": plan.ref, "version": str(plan.version), "patient.ref": "ZP-77"}
    return [*plan_form(*own.items(), ("series.0.key", "visit"), ("series.0.time", "16:00"))]


def site_form(key: str) -> dict[str, str]:
    numbers = {"phone": "+12025550100", "line24": "+12025550101"}
    hours = {"zone": "America/New_York", "region": "US", "quiet_from": "20:00", "quiet_to": "09:00"}
    sender = {"sender": "+12025550102", "pace": "10"}
    return {"key": key, "alias": f"{key.title()} Street", **numbers, **hours, **sender}


MOVED = {"what": "move", "to_on": "2026-12-04", "to_at": "15:00"}
SAY = "Please call us when you can."
POSTED = {
    "/health/test-page": {},
    "/inbox/{number}/take": {},
    "/inbox/{number}/note": {"note": "rang, no answer"},
    "/inbox/{number}/say": {"to": reader_of, "words": SAY, "do": "send"},
    "/inbox/{number}/close": {"outcome": "done", "ended": "spoke with them"},
    "/attendance": marks,
    "/sessions/{session_id}/{on}/preview": {"what": "off"},
    "/sessions/{session_id}/{on}/change": MOVED,
    "/sessions/{session_id}/{on}/undo": {},
    "/plans/new": lambda _: plan_form(),
    "/plans/{plan_id}/edit": changed,
    "/plans": {"search": "Alvarez"},
    "/plans/{plan_id}/change/{do}": {},
    "/plans/together": {"plan": plan_of, "do": "resume", "sure": "yes"},
    "/plans/{plan_id}/visits/{visit_id}": {"do": "off_sure"},
    "/patients/{patient_id}/messages": {"reader": reader_of, "body": SAY, "shown": SAY, "do": "send"},
    "/patients/{patient_id}/show": {"reader": reader_of},
    "/patients/{patient_id}/do/{what}": {"reader": reader_of, "phone": "(202) 555-0155", "consent.said": "later"},
    "/log/do": {"do": "wrong", "text": text_of, "sure": "yes"},
    "/sites/{key}/pause": {},
    "/sites/{key}/resume": {},
    "/sites/{key}/closures": {"day": "2026-12-24", "on": "2026-12-24"},
    "/sites/new": site_form("south"),
    "/sites/{key}": site_form("south") | {"alias": "South Avenue"},
    "/users/new": {"name": "Ben Okonkwo", "login": "ben", "role": "ops", "site": "main"},
    "/users/{staff_id}/role": {"role": "ops", "site": "main"},
    "/users/{staff_id}/do/{deed}": {},
    "/audit/verify": {},
    "/account/shortcuts": {},
    "/account/do/{deed}": {"password": "wrong", "code": "000000", "new": "brass kettle over snow"},
    "/sign-out/others": {},
    "/sign-out": {},
    "/sign-in": {"login": "nobody", "password": "wrong"},
    "/sign-in/demo": {"login": "ana.reyes"},
}
"""Every POST that changes something or shows what is sealed, and a form of it; in this order each finds its row."""

NOT_POSTED = {
    "/sms/status/{ref}": "Twilio's own words, kept as receipts",
    "/sms/inbound": "the phone's own words, kept as replies; what they change is noted, see test_web_webhooks",
    "/on-call/{token}": "wants the link of a page; test_page_links taps it, which takes the task as its contact",
    "/sign-in/code": "test_sign_in walks it, and asks the audit",
    "/enrol": "as above",
    "/account/factor": "wants a code of another phone; test_pages_staff walks it",
    "/invitation/{token}": "as above",
    "/plans/preview": "tries out what its author has typed; nothing is kept and nothing sealed is read",
    "/plans/drafts/{draft_id}": "a draft is no one's plan yet: it is kept for its author alone",
    "/plans/drafts/{draft_id}/discard": "as above",
    "/wording": "tries a sentence out; nothing is kept and nothing sealed is read",
    "/log": "a search; no name and no whole number is shown",
    "/inbox/{number}/mark": "wants a reply of that conversation; test_reply_marks asks the audit",
    "/audit": "leads to the address that says the same, which is on record",
    "/inbox/{number}/let-go": "wants a text that is held; test_service_tasks lets one go",
    "/held/{why}": "wants an outage; test_ops asks the audit for what was decided",
    "/phones/{key}/text": "a pretend phone of the demo: what it texts comes in as any phone's",
    "/phones/{key}/switch": "as above",
}
"""The others, and why."""


def test_every_change_by_a_page_is_on_record(two_sites):
    accounts.keep_demo_staff(two_sites, clock.now())
    caller = Caller(two_sites, role="admin")
    posts = {one.path for one in routes.walk(caller.app) if one.method == "POST" and not one.path.startswith("/api/")}
    assert posts == POSTED.keys() | NOT_POSTED.keys()
    ids = values_for(two_sites)
    for path, form in POSTED.items():
        values = ids | ({"deed": "password"} if path.startswith("/account") else {})
        values |= {"on": "2026-12-04"} if path.endswith("/undo") else {}
        values |= {"key": "south"} if path == "/sites/{key}" else {}
        fields = form(two_sites) if callable(form) else form
        pairs = list(fields.items()) if isinstance(fields, dict) else fields
        sent = [(name, value(two_sites) if callable(value) else value) for name, value in pairs]
        before = {row.id for row in rows_of_audit(two_sites)}
        answer = caller.request(
            "POST", filled(routes.Route("POST", path, None), values), content=urlencode(sent), headers=FORM
        )
        new = [row for row in rows_of_audit(two_sites) if row.id not in before]  # the template's may be dated later
        assert new, (path, answer.status_code)
        assert {row.where for row in new} == {"127.0.0.1"}, path
        if not path.startswith("/sign-in"):
            assert {row.who for row in new} == {"staff:admin.everywhere"}, path


def rows_of_audit(context) -> list:
    return list(context.database.read(lambda tx: tx.all(schema.audit.select())))
