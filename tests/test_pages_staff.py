"""The pages about staff: users, a person's own account, and the audit."""

import csv
import io
import re
import shutil
from datetime import timedelta

import pytest
import staff
from conftest import NOW, open_context
from people import document
from test_sign_in import BROWSER, PASSWORD, Browser, audited, code, enrolled, password_given, secret_of
from test_web_pages import Page
from web_caller import Caller

from reminders import clock, store
from reminders.service import planning
from reminders.service.office import accounts, audit
from reminders.store.database import schema


@pytest.fixture
def here(sqlite_template, tmp_path, travel):
    """A house on SQLite at NOW."""
    shutil.copy(sqlite_template, tmp_path / "here.db")
    opened = open_context(f"sqlite:///{tmp_path / 'here.db'}", tmp_path)
    opened.database.write(lambda tx: store.people.keep_default_site(tx, opened.settings, clock.now()))
    yield opened
    opened.close()


@pytest.fixture
def admin(here) -> Browser:
    return Browser(here, role="admin")


def member(context, login: str) -> accounts.Member:
    return next(one for one in accounts.everybody(context) if one.login == login)


# Users


def test_somebody_is_invited_comes_in_and_is_ended(admin, here):
    admin.open("/users/new")
    admin.fill("/users/new", name="Ben Okonkwo", login="Ben.Okonkwo", role="clinician", site="main")
    (address,) = Page(admin.answer).said("code")
    assert address.startswith("http://127.0.0.1:8000/invitation/")
    their = Browser(here)
    assert "Welcome, Ben Okonkwo" in their.open(address.removeprefix("http://127.0.0.1:8000")).text
    ben = member(here, "ben.okonkwo")
    assert ben.roles == {"main": "clinician"}
    page = admin.open(f"/users/{ben.id}")
    assert "invited" in page.text
    admin.fill(f"/users/{ben.id}/role", site="main", role="read_only")
    assert "holds from their next click on" in admin.said
    assert member(here, "ben.okonkwo").roles == {"main": "read_only"}
    admin.fill(f"/users/{ben.id}/role", site="main", role="none")
    assert member(here, "ben.okonkwo").roles == {}
    admin.open(f"/users/{ben.id}/do/end")
    assert "0 sign-ins end" in admin.said
    admin.fill(f"/users/{ben.id}/do/end")
    assert "Their access has ended" in admin.said
    assert their.open(address.removeprefix("http://127.0.0.1:8000")).status_code == 404
    assert "Ben Okonkwo" in admin.open("/users").text
    assert [what for who, what in audited(here) if who == "staff:admin.everywhere"][1:] == [
        "staff invited",
        "role changed",
        "role changed",
        "access ended",
    ]


@pytest.mark.parametrize(
    ("typed", "field", "said"),
    [
        ({"name": ""}, "name", "Enter the name of the person"),
        ({"login": "a"}, "login", "Enter a login of 2 to 50"),
        ({"login": "admin.everywhere"}, "login", "is taken. Choose another one"),
        ({"role": ""}, "role", "Choose a role"),
    ],
)
def test_an_invitation_that_cannot_be_keeps_what_was_typed(admin, typed, field, said):
    form = {"name": "Ben Okonkwo", "login": "ben", "role": "ops", "site": "*"} | typed
    admin.open("/users/new")
    assert admin.fill("/users/new", **form).status_code == 422
    page = Page(admin.answer)
    assert page.said("title")[0].startswith("Error: ")
    assert said in " ".join(page.said("li"))
    assert page.by_id(field)["aria-describedby"].split()[-1] == f"{field}-problem"
    if field != "name":
        assert page.by_id("name")["value"] == "Ben Okonkwo"


def test_the_last_administrator_is_told_so(admin, here):
    me = member(here, "admin.everywhere")
    admin.open(f"/users/{me.id}/do/end")
    assert admin.fill(f"/users/{me.id}/do/end").status_code == 422
    assert "You cannot remove the last administrator" in admin.said
    admin.open(f"/users/{me.id}")
    assert admin.fill(f"/users/{me.id}/role", site="*", role="ops").status_code == 422
    assert admin.open("/users").status_code == 200


def test_sign_ins_are_ended_and_factors_reset(admin, here, travel):
    their, _ = enrolled(here)
    ana = member(here, "ana.reyes")
    assert "1 browser" in " ".join(Page(admin.open(f"/users/{ana.id}")).said("dd"))
    admin.open(f"/users/{ana.id}/do/sign-ins")
    assert "1 sign-in ends" in admin.said
    admin.fill(f"/users/{ana.id}/do/sign-ins")
    assert their.page("/log").status_code == 303
    admin.open(f"/users/{ana.id}/do/reset-factor")
    admin.fill(f"/users/{ana.id}/do/reset-factor")
    (address,) = Page(admin.answer).said("code")
    path = address.removeprefix("http://127.0.0.1:8000")
    their.open(path)
    assert their.fill(path, password=PASSWORD).url.path == "/enrol"


# One's own account


@pytest.fixture
def ana(here, travel):
    """Someone who came in by password and second factor, a while ago."""
    browser, codes = enrolled(here)
    travel(NOW + timedelta(minutes=5))
    browser.codes = codes
    return browser


def test_a_new_password_takes_the_old_one_and_ends_the_other_sign_ins(ana, here, travel):
    other = password_given(here)
    other.fill("/sign-in/code", code=code(secret_of(here, "ana.reyes")))
    assert other.page("/log").status_code == 200
    travel(NOW + timedelta(minutes=6))
    ana.open("/account/do/password")
    ana.fill(
        "/account/do/password",
        password=PASSWORD,
        new="brass kettle over snow",
        code=code(secret_of(here, "ana.reyes")),
    )
    assert "Your password is changed" in ana.said
    assert (ana.page("/log").status_code, other.page("/log").status_code) == (200, 303)
    assert password_given(here).answer.status_code == 422
    assert password_given(here, password="brass kettle over snow").answer.status_code == 200


@pytest.mark.parametrize(
    ("typed", "field", "said"),
    [
        ({"password": ""}, "password", "Enter your password"),
        ({"code": ""}, "code", "Enter the code"),
        ({"new": "short"}, "new", "12 characters or more"),
        ({"password": "wrong"}, "password", "Check both"),
        ({"code": "000000"}, "password", "Check both"),
    ],
)
def test_nothing_changes_without_password_and_code(ana, here, typed, field, said):
    form = {"password": PASSWORD, "new": "brass kettle over snow", "code": code(secret_of(here, "ana.reyes"))}
    ana.open("/account/do/password")
    assert ana.fill("/account/do/password", **form | typed).status_code == 422
    assert said in " ".join(Page(ana.answer).said("span"))
    assert f"{field}-problem" in ana.answer.text
    assert password_given(here).answer.status_code == 200


def test_s16_the_phone_in_use_stays_until_another_one_has_shown_a_code(ana, here, travel):
    before = secret_of(here, "ana.reyes")
    ana.open("/account/do/factor")
    ana.fill("/account/do/factor", password=PASSWORD, code=code(before))
    key = "".join(Page(ana.answer).said("code"))
    assert ana.fill("/account/factor", code="000000").status_code == 422
    assert "".join(Page(ana.answer).said("code")) == key
    assert secret_of(here, "ana.reyes") == before  # a person who turns back now can still sign in
    assert ana.page("/log").status_code == 200
    travel(NOW + timedelta(minutes=6))
    other = password_given(here)
    assert other.fill("/sign-in/code", code=ana.codes[1]).status_code == 200
    form = Page(ana.answer)
    sealed = next(one["value"] for one in form.all("input") if one.get("name") == "sealed")
    theirs = {"data": {"sealed": sealed, "code": code(key)}, "headers": {"Sec-Fetch-Site": "same-origin"}}
    assert other.request("POST", "/account/factor", **theirs).status_code == 404  # it was offered in another browser
    ana.fill("/account/factor", code=code(key))
    assert len(Page(ana.answer).said("code")) == 10
    assert secret_of(here, "ana.reyes") == key != before
    assert (ana.page("/log").status_code, other.page("/log").status_code) == (200, 303)
    travel(NOW + timedelta(minutes=10))
    assert password_given(here).fill("/sign-in/code", code=ana.codes[0]).status_code == 422  # those are gone too


def test_new_recovery_codes_replace_the_old_ones(ana, here, travel):
    ana.open("/account/do/recovery-codes")
    ana.fill("/account/do/recovery-codes", password=PASSWORD, code=ana.codes[0])
    fresh = Page(ana.answer).said("code")
    assert len(fresh) == 10
    assert password_given(here).fill("/sign-in/code", code=ana.codes[1]).status_code == 422
    assert password_given(here).fill("/sign-in/code", code=fresh[1]).status_code == 200


def test_the_account_shows_where_one_is_signed_in(ana, here):
    password_given(here).fill("/sign-in/code", code=code(secret_of(here, "ana.reyes")))
    page = Page(ana.open("/account"))
    assert page.said("td")[3::4].count("this one") == 1
    assert len(page.said("td")) == 8
    assert "10 left" in " ".join(page.said("dd"))
    ana.fill("/sign-out/others")
    assert len(Page(ana.open("/account")).said("td")) == 4


def test_the_keys_of_the_pages_can_be_switched_off(ana):
    assert "data-no-shortcuts" not in ana.open("/account").text
    ana.fill("/account/shortcuts")
    assert "data-no-shortcuts" in ana.answer.text
    ana.fill("/account/shortcuts")
    assert "data-no-shortcuts" not in ana.answer.text


# The audit


@pytest.fixture
def auditor(here) -> Browser:
    planning.accept(here, document(), clock.now(), who="staff:ana.reyes")
    patient = here.database.read(lambda tx: tx.first(schema.patients.select())).id

    def read(tx):
        for minutes in range(3):
            at = clock.now() + timedelta(minutes=minutes)
            values = {"what": "patient read", "table": "patients", "row": patient, "now": at}
            store.audit_log.note(tx, who="staff:ben.okonkwo", **values)

    here.database.write(read)
    return Browser(here, role="read_only")


def test_the_audit_is_shown_filtered_and_taken_out(auditor, here):
    page = Page(auditor.open("/audit?who=staff:ben.okonkwo&kind=seen"))
    assert page.said("caption") == ["3 entries, newest first"]
    assert page.said("td")[1:5] == ["ben.okonkwo", "patient read", "a patient", "MRN-1"]
    assert "No patient here has this reference" in auditor.open("/audit?patient=MRN-9").text
    (export,) = [one["href"] for one in page.all("a") if one["href"].startswith("/audit.csv")]
    answer = auditor.get(export)
    assert answer.headers["content-disposition"] == 'attachment; filename="audit-2026-11-30.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["what"], row["patient"], row["before"]) for row in rows] == [("patient read", "MRN-1", "")] * 3
    assert ("staff:read_only.everywhere", "audit exported") in audited(here)
    days = Page(auditor.open("/audit?since=2026-11-30&until=2026-11-30&who=staff:ben.okonkwo"))
    assert len(days.said("tr")) == 4
    assert "No entry matches" in auditor.open("/audit?since=2026-12-01").text


def test_what_stood_before_and_after_is_seen_one_by_one_and_noted(auditor, here):
    page = auditor.open("/audit?what=plan+accepted")
    assert "555" not in page.text
    (link,) = [one["href"] for one in Page(page).all("a") if re.fullmatch(r"/audit/\d+", one["href"])]
    assert "therapy" in auditor.open(link).text
    assert audited(here)[-1] == ("staff:read_only.everywhere", "audit read")


@pytest.mark.parametrize(
    "query", ["since=yesterday", "until=2026-13-01", "since=0001-01-01", "kind=odd", f"who={'x' * 65}", "patient=%00"]
)
def test_a_filter_that_makes_no_sense_says_what_to_do(auditor, query):
    answer = auditor.open(f"/audit?{query}")
    assert answer.status_code == 422
    assert Page(answer).said("title")[0].startswith("Error: Audit")
    assert auditor.get(f"/audit.csv?{query}").status_code == 422


def test_every_entry_can_be_reached_by_going_back(auditor, here):
    def many(tx):
        for _ in range(250):
            store.audit_log.note(tx, who="x", what="y", table="marks", row=0, now=clock.now())

    here.database.write(many)
    path, seen = "/audit?who=x", []
    while path is not None and len(seen) < 4:
        page = Page(auditor.page(path))
        seen.append(len(page.said("tr")) - 1)
        path = next((one["href"] for one in page.all("a") if one.get("rel") == "next"), None)
    assert seen == [100, 100, 50]
    for place in ("x", "-1", "9" * 20, "٣"):
        assert len(Page(auditor.get("/audit", params={"who": "x", "before": place})).said("tr")) == 101


def test_the_chain_is_walked_from_the_page(auditor, here, travel):
    travel(NOW + timedelta(minutes=1))
    audit.chain(here, clock.now())
    auditor.open("/audit")
    auditor.fill("/audit/verify")
    assert "The audit is whole" in auditor.said
    here.database.write(lambda tx: tx.run(schema.audit.update().where(schema.audit.c.place == 1).values(who="x")))
    auditor.answer = auditor.page("/audit")
    auditor.fill("/audit/verify")
    assert "The audit is broken" in auditor.said
    assert "Row 1 was changed" in auditor.said
    assert audited(here)[-1] == ("staff:read_only.everywhere", "audit verified")


def test_an_auditor_of_one_site_sees_that_site_alone(auditor, here):
    def another_site(tx):
        site = tx.first(schema.sites.select())
        tx.run(schema.sites.insert(), site._asdict() | {"id": site.id + 1, "key": "north"})

    here.database.write(another_site)
    north = Caller(here, role="read_only", site="north")
    assert "Nothing was done yet" in north.page("/audit").text
    assert north.request("POST", "/audit/verify", headers=BROWSER).status_code == 404
    main = Caller(here, role="read_only", site="main")
    assert len(Page(main.page("/audit")).said("tr")) == 5
    assert staff.actor(here, "read_only", "main").sites("audit")
