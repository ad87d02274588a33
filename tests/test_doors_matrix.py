"""Another site's data is answered like unknown data: the same status, the same body, as many statements.

This covers every route and operation with an id, every search and every body that names a row, as every role at one
site.
"""

import re
from datetime import timedelta
from itertools import zip_longest
from urllib.parse import urlencode

import pytest
import routes
import sqlalchemy as sa
from api_caller import Program, make_key
from conftest import NOW
from people import one_off, raw
from test_access import FORM, NOT_OF_A_SITE, POSTED, plan_of, reader_of, text_of
from test_pages_plans import form as plan_form
from two_sites import accept, hear, open_north
from web_caller import Caller

from reminders import clock
from reminders.service.office import accounts
from reminders.service.office.accounts import PERMISSIONS
from reminders.store.database import schema

THEN = NOW + timedelta(minutes=10, seconds=0.5)  # of each request, so that no second ends between two
FAR = 7_000_000  # no row is so far behind the last one

OF_THE_REQUEST = {"content-length", "ratelimit", "set-cookie"}

TABLES = {
    "patient_id": schema.patients,
    "plan_id": schema.plans,
    "visit_id": schema.appointments,
    "session_id": schema.sessions,
    "draft_id": schema.drafts,
    "number": schema.tasks,
    "text": schema.texts,
    "reader": schema.recipients,
    "reply": schema.replies,
    "audit_id": schema.audit,
}
"""What stands for the id of a row, in addresses and in the forms below."""
WORDS = {
    "plan_ref": ("DC-north-2", "DC-north-8"),
    "key": ("north", "nosuch"),
    "ref": ("MRN-2", "MRN-8"),
    "phone": ("202-555-0102", "202-555-0108"),
    "whole": ("12025550102", "12025550108"),
    "name": ("Tamsin", "Odalys"),
    "session": ("willow", "poplar"),
    "login": ("at.north", "at.south"),
}
"""What stands for a word: another site's, and no one's."""
FIXED = {"on": "2026-12-03", "do": "pause", "deed": "reset", "form": "csv", "why": "crisis", "what": "number"}
SPOKEN = {reader_of: "{reader}", plan_of: "{plan_id}", text_of: "{text}"}


@pytest.fixture
def two(context, travel):
    """A house where `main` has a patient, and `north` one of each kind of row."""
    travel(NOW)
    sites = open_north(context)
    accept(context, 1)
    visits = [
        one_off("visit", "2026-12-03T15:00:00", session="willow", leads=["2h"]),
        one_off("this-morning", "2026-11-30T09:00:00"),
    ]
    accept(context, 2, "north", patient={"name": "Tamsin Vale"}, series=visits)
    hear(context, "can someone call me", 2, sid="SM" + "2" * 32, to="+15005550009")
    accounts.invite(context, "at.north", "Somebody", "coordinator", clock.now(), who="test", site="north")

    def draft(tx):
        staff = tx.first(sa.select(schema.staff.c.id).where(schema.staff.c.login == "at.north")).id
        row = {"id": 1 << 40, "site_id": sites["north"], "changed_at": clock.now(), "fields_sealed": b""}
        tx.run(schema.drafts.insert(), row | {"staff_id": staff})

    context.database.write(draft)
    return context


class Twice:
    """Requests another site's data and unknown data, and compares."""

    def __init__(self, context, travel):
        self.travel, self.said, self.asked, self.wrong = travel, [], 0, []
        self.values = [{name: words[at] for name, words in WORDS.items()} | FIXED for at in (1, 0)]
        with_site = {name: table for name, table in TABLES.items() if "site_id" in table.c}

        def look(tx):
            north = tx.first(sa.select(schema.sites.c.id).where(schema.sites.c.key == "north")).id
            for name, table in TABLES.items():
                query = sa.select(table.c.id).order_by(table.c.id.desc())
                last = tx.first(query).id
                here = query.where(table.c.site_id == north) if name in with_site else query
                yield name, str(last + FAR), str(tx.first(here).id)
            staff = tx.first(sa.select(schema.staff.c.id).where(schema.staff.c.login == "at.north")).id
            yield "staff_id", str(staff + FAR), str(staff)

        for name, no_ones, theirs in context.database.read(lambda tx: list(look(tx))):
            self.values[0][name], self.values[1][name] = no_ones, theirs
        sa.event.listen(context.database._engine, "before_cursor_execute", lambda *_: self.said.append(1))

    def __call__(self, call, path, *more):
        """`call(path, …)` with unknown and with another site's values in all braces; returns the first status."""
        answers, counts, status = [], [], []
        for values in self.values:
            self.travel(THEN)
            self.said.clear()
            answer = call(filled(path, values), *(filled(one, values) for one in more))
            counts.append(len(self.said))
            headers = [f"{name}: {value}" for name, value in answer.headers.items() if name not in OF_THE_REQUEST]
            said = [str(answer.status_code), *sorted(headers), *answer.text.splitlines()]
            answers.append([self.plain(line, values) for line in said])
            status.append(answer.status_code)
        self.asked += 1
        if answers[0] != answers[1]:
            self.wrong.append((path, more, [pair for pair in zip_longest(*answers) if pair[0] != pair[1]]))
        if abs(counts[0] - counts[1]) > 1:
            self.wrong.append((path, more, counts))
        return status[0]

    @staticmethod
    def plain(text, values):
        """The answer without the parts that name the request and its subject."""
        text = re.sub(r'"(request_id|instance)":"[^"]*"|name="once" value="\w+"|data-ends="\d+"', "", text)
        for name in sorted((*TABLES, "staff_id", *WORDS), key=lambda name: -len(values[name])):
            at = r"(?<=/)" if len(values[name]) < 8 and name not in WORDS else ""
            text = re.sub(rf"{at}{re.escape(values[name])}\b", name, text)
        return text


def filled(what, values):
    """Whatever it is with the words in braces replaced."""
    if isinstance(what, dict):
        return {filled(name, values): filled(value, values) for name, value in what.items()}
    if isinstance(what, list):
        return [filled(one, values) for one in what]
    if isinstance(what, tuple):
        return tuple(filled(one, values) for one in what)
    return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], what) if isinstance(what, str) else what


def pairs(form):
    """A form of test_access as pairs, a row's id in braces."""
    if callable(form):
        return []
    return [(name, SPOKEN[value] if callable(value) else value) for name, value in form.items()]


NEW_DRAFT = "/plans/drafts/{draft_id}"  # the browser gives a new draft its id, so one of no one's is made

FORMS = {
    "/attendance": [("visit-{visit_id}", "attended")],
    "/plans/{plan_id}/edit": plan_form(
        *(("plan_id", "{plan_id}"), ("plan.ref", "{plan_ref}"), ("version", "1"), ("patient.ref", "{ref}"))
    ),
    "/inbox/{number}/mark": [("reply", "{reply}"), ("mark", "danger")],
}
SEARCHES = [
    *("GET /log?patient_id={patient_id}", "GET /log?plan_id={plan_id}", "GET /log?patient={ref}&when=any"),
    *("GET /log?plan={plan_ref}", "GET /log?number={phone}", "GET /log?q={whole}", "GET /log?q=patient:{ref}"),
    *("GET /log?site={key}", "GET /log/export/csv?patient_id={patient_id}", "GET /log/export/csv?plan={plan_ref}"),
    *("GET /log/export/jsonl?number={phone}", "GET /log/export/xlsx?site={key}"),
    *("GET /audit?patient_id={patient_id}", "GET /audit?patient={ref}", "GET /audit?who=staff:{login}"),
    *("GET /audit.csv?patient_id={patient_id}", "GET /audit.csv?patient={ref}"),
    *("GET /plans?site={key}", "GET /attendance?site={key}", "GET /inbox?site={key}", "GET /?site={key}"),
    *("POST /log number={phone}", "POST /log q={ref}", "POST /log q=plan:{plan_ref}", "POST /log q={whole}"),
    *("POST /log patient={ref}", "POST /plans search={ref}", "POST /plans search={name}"),
    *("POST /plans search={phone}", "POST /plans search={plan_ref}", "POST /audit patient={ref}"),
    *("POST /plans/together do=resume&sure=yes&plan={plan_id}", "POST /plans/together do=end&plan={plan_id}"),
    *("POST /log/do do=wrong&text={text}", "POST /log/do do=task&sure=yes&text={text}"),
    *("POST /log/do do=again&sure=yes&text={text}", "POST /users/new name=A+B&login=new.one&role=ops&site={key}"),
    *("POST /plans/preview do=find&find={ref}", "POST /plans/preview do=find&find={name}"),
    "POST /plans/preview do=find&find={phone}",
]  # fmt: skip
# A number alone is left out: its caps apply whoever has it, and a preview says which text they stop.
PREVIEWS = [
    plan_form(("patient.ref", "{ref}"), do="look"),
    plan_form(("plan.ref", "{plan_ref}"), ("patient.ref", "MRN-7"), do="look"),
    plan_form(("plan.replaces", "{plan_ref}"), ("patient.ref", "MRN-7"), do="look"),
    plan_form(("series.0.session", "{session}"), ("patient.ref", "MRN-7"), do="look"),
]


@pytest.mark.parametrize("role", PERMISSIONS)
def test_s6_no_page_tells_another_sites_row_from_no_ones(two, travel, role):
    browser, ask = Caller(two, role=role, site="main"), Twice(two, travel)

    def call(method):
        return lambda path, form=(): browser.request(
            method, path, headers=FORM, content=urlencode(form) if method == "POST" else None
        )

    travel(THEN)
    for _ in range(2):
        call("GET")("/inbox/9999")  # what is made or noted once is
    for route in routes.walk(browser.app):
        path = route.path
        if (
            route.lets_in in {"anybody", "local"}
            or path.startswith("/api/")
            or path in NOT_OF_A_SITE
            or "{" not in path
        ):
            continue
        if (route.method, path) == ("POST", NEW_DRAFT):
            continue
        form = FORMS.get(path) or pairs(POSTED.get(path, {}))
        assert ask(call(route.method), path, *([form] if route.method == "POST" else [])) in {403, 404}, path
    for one in SEARCHES:
        method, path, *form = one.split(" ", 2)
        ask(call(method), path, *([[tuple(pair.split("=", 1)) for pair in form[0].split("&")]] if form else []))
    for form in [*PREVIEWS, FORMS["/attendance"]]:
        ask(call("POST"), "/attendance" if form is FORMS["/attendance"] else "/plans/preview", form)
    assert not ask.wrong, "\n".join(map(repr, ask.wrong))
    assert ask.asked > 70


BODIES = {
    "move": {"to": "2026-12-04T10:00"},
    "attendance": {"mark": "attended", "missed": ["{ref}"]},
    "consent": {"consent": raw()["consent"]},
    "verify": {"how": "read aloud"},
    "number": {"phone": "202-555-0177"},
    "opt-out": {"how": "voicemail", "received_on": "2026-11-30", "by": "front desk"},
    "end": {"because": "completed"},
    "note": {"note": "No answer."},
    "close": {"outcome": "done"},
    "{plan_id}": raw(plan={"ref": "{plan_ref}"}),
}
PLACES = {"plan": "plan_id", "patient": "patient_id", "appointment": "visit_id", "session": "session_id"}
PLACES |= {"task": "number", "site": "key"}
ASKED = [
    *("/plans?patient={patient_id}", "/log?plan={plan_id}", "/log?patient={patient_id}", "/texts?plan={plan_id}"),
    *("/appointments?plan={plan_id}", "/appointments?patient={patient_id}&names=true"),
    *("/appointments?session={session_id}", "/replies?patient={patient_id}&names=true", "/tasks?owner=staff:{login}"),
    "/plans?entered_by=staff:{login}",
]
SENT = [
    *(("/patients/search", {"search": f"{{{word}}}"}) for word in ("ref", "name", "phone", "whole", "plan_ref")),
    *(
        ("/plans/search", {name: f"{{{word}}}"})
        for name, word in (("ref", "plan_ref"), ("patient", "ref"), ("site", "key"))
    ),
    ("/preview", {"ref": "{plan_ref}"}),
    ("/preview", raw(patient={"ref": "{ref}"}, plan={"ref": "DC-7"})),
    ("/preview", raw(patient={"ref": "MRN-7"}, plan={"ref": "DC-7", "replaces": "{plan_ref}"})),
    ("/plans", raw(plan={"site": "{key}"})),
    ("/plans", raw(patient={"ref": "MRN-7"}, plan={"ref": "DC-7", "replaces": "{plan_ref}"})),
]


@pytest.mark.parametrize("scopes", [("read",), ("read", "people", "write", "operate")])
def test_s6_no_operation_of_the_api_tells_another_sites_row_from_no_ones(two, travel, scopes):
    program, ask = Program(two, make_key(two, *scopes, site="main")), Twice(two, travel)
    travel(THEN)
    program.get("/sites")  # what is made or noted once is
    for address, operations in program.caller.get("/api/openapi.json").json()["paths"].items():
        if "{" not in address:
            continue
        place = re.sub(r"\{(\w+)\}", lambda found: f"{{{PLACES.get(found[1], found[1])}}}", address)
        path = place.removeprefix("/api/v1")
        for method in operations:
            body = [BODIES.get(path.rsplit("/", 1)[1], {})] if method != "get" else []
            call = lambda at, *sent, how=method: program.ask(how.upper(), at, *sent)  # ruff: ignore[lambda-assignment]
            assert ask(call, path, *body) in {403, 404}, (method, path)
    for path in ASKED:
        ask(program.get, path)
    for path, body in SENT:
        ask(program.post, path, body)
    assert not ask.wrong, "\n".join(map(repr, ask.wrong))
    assert ask.asked > 45
