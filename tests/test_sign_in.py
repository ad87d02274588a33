"""Signing in: password and second factor, invitations, how long it lasts, failed tries, and signing out."""

import json
import re
import shutil
from contextlib import closing
from datetime import timedelta

import pyotp
import pytest
import routes
import staff
from argon2 import Type
from conftest import NOW, OWN_HASHER, environment, open_context
from fastapi import Depends, Request
from test_web_pages import Page
from typer.testing import CliRunner
from web_caller import Caller

from reminders import clock, queries, store
from reminders.cli import app
from reminders.service.office import accounts, signing_in
from reminders.store.database import schema
from reminders.web import access
from reminders.web.access import Needs
from reminders.web.forms import Form

PASSWORD = "copper teapot under rain"
BROWSER = {"sec-fetch-site": "same-origin", "accept": "text/html"}


@pytest.fixture
def here(sqlite_template, tmp_path, travel):
    """A house on SQLite at NOW, for what does not depend on the database."""
    shutil.copy(sqlite_template, tmp_path / "here.db")
    opened = open_context(f"sqlite:///{tmp_path / 'here.db'}", tmp_path)
    yield opened
    opened.close()


class Browser(Caller):
    """A browser that fills in forms: `fill` posts the form with that action, with its hidden fields."""

    def open(self, path: str, **more):
        self.answer = self.page(path, **more)
        return self._follow()

    def _follow(self):
        while self.answer.status_code == 303:
            self.answer = self.page(self.answer.headers["location"])
        return self.answer

    def fill(self, action: str, **fields: str):
        """Post the form of the page that goes to `action`."""
        form = hidden(self.answer, action) | fields
        self.answer = self.request("POST", action, data=form, headers=BROWSER)
        return self._follow()

    @property
    def said(self) -> str:
        return " ".join(Page(self.answer).said("main"))


def hidden(answer, action: str) -> dict[str, str]:
    """The hidden fields of the form that goes to `action`."""
    (form,) = re.findall(rf'<form[^>]*action="{re.escape(action)}".*?</form>', answer.text, re.DOTALL)[:1]
    inputs = re.findall(r"<input[^>]*>", form)
    found = {}
    for one in inputs:
        if 'type="hidden"' in one:
            found[re.search(r'name="([^"]*)"', one)[1]] = re.search(r'value="([^"]*)"', one)[1]
    return found


def code(secret: str) -> str:
    return pyotp.TOTP(secret).at(clock.now())


def secret_of(context, login: str) -> str:
    def read(tx):
        return store.accounts.factor_of(tx, store.accounts.by_login(tx, login))

    return context.database.read(read)


def audited(context) -> list[tuple[str, str]]:
    query = schema.audit.select().order_by(schema.audit.c.id)
    return [(row.who, row.what) for row in context.database.read(lambda tx: tx.all(query))]


def enrolled(context, login: str = "ana.reyes", role: str = "coordinator") -> tuple[Browser, list[str]]:
    """Someone who has accepted their invitation: their browser, and their recovery codes."""
    invitation = accounts.invite(context, login, "Ana Reyes", role, clock.now(), who="test")
    browser = Browser(context)
    browser.open(invitation.path)
    browser.fill(invitation.path, password=PASSWORD)
    key = "".join(Page(browser.answer).said("code"))
    browser.fill("/enrol", code=code(key))
    return browser, Page(browser.answer).said("code")


def password_given(context, login: str = "ana.reyes", password: str = PASSWORD, **more) -> Browser:
    browser = Browser(context, **more)
    browser.open("/sign-in")
    browser.fill("/sign-in", login=login, password=password)
    return browser


# In and out


def test_from_the_invitation_to_the_second_day(context, travel):
    browser, codes = enrolled(context)
    assert len(set(codes)) == 10
    assert "shown only now" in browser.said
    assert browser.open("/log").status_code == 200
    assert browser.request("POST", "/sign-out", headers=BROWSER).headers["clear-site-data"] == '"cache", "storage"'
    assert browser.page("/log").headers["location"] == "/sign-in?next=/log"

    travel(NOW + timedelta(days=1))
    browser = Browser(context)
    assert "Sign in" in browser.open("/log?state=sent").text
    browser.fill("/sign-in", login=" Ana.Reyes ", password=PASSWORD)
    before = dict(browser.cookies)
    assert browser.page("/log").headers["location"] == "/sign-in/code?next=/log"  # the password alone lets no one in
    browser.fill("/sign-in/code", code=code(secret_of(context, "ana.reyes")))
    assert str(browser.answer.url).endswith("/log?state=sent")
    assert dict(browser.cookies) != before  # another token
    assert browser.page("/log").status_code == 200
    assert [row for row in audited(context) if row[0].startswith("staff")] == [
        ("staff:ana.reyes", "password chosen"),
        ("staff:ana.reyes", "second factor set up"),
        ("staff:ana.reyes", "signed in"),
        ("staff:ana.reyes", "signed out"),
        ("staff:ana.reyes", "signed in"),
    ]


def test_the_database_holds_nothing_that_lets_somebody_in(context):
    browser, codes = enrolled(context)
    token = next(iter(browser.cookies.values()))
    held = []
    for table in (schema.staff, schema.sign_ins, schema.recovery_codes, schema.sign_in_failures):
        held += context.database.read(lambda tx, table=table: [str(row) for row in tx.all(table.select())])
    text = "\n".join(held)
    for secret in (token, PASSWORD, secret_of(context, "ana.reyes"), *codes, *(one.replace("-", "") for one in codes)):
        assert secret not in text
    assert "$argon2id$" in text


def test_a_guess_costs_what_owasp_asks_for():
    assert OWN_HASHER.type is Type.ID
    assert OWN_HASHER.memory_cost >= 19 * 1024  # KiB
    assert OWN_HASHER.time_cost >= 2


def test_a_code_is_good_once_and_not_for_long(context, travel):
    enrolled(context)
    secret = secret_of(context, "ana.reyes")
    travel(NOW + timedelta(minutes=5))
    used = code(secret)
    assert password_given(context).fill("/sign-in/code", code=used).status_code == 200
    refused = password_given(context)
    assert refused.fill("/sign-in/code", code=used).status_code == 422
    assert refused.page("/log").status_code == 303
    travel(NOW + timedelta(minutes=6))
    at = pyotp.TOTP(secret).at
    for seconds, status in ((-60, 422), (60, 422), (-30, 200), (30, 200)):
        entered = password_given(context).fill("/sign-in/code", code=at(clock.now() + timedelta(seconds=seconds)))
        assert entered.status_code == status, seconds


def test_a_recovery_code_is_good_once(context, travel):
    _, codes = enrolled(context)
    travel(NOW + timedelta(minutes=5))
    typed = codes[3].upper().replace("-", " ")
    assert password_given(context).fill("/sign-in/code", code=typed).url.path != "/sign-in/code"
    assert password_given(context).fill("/sign-in/code", code=codes[3]).status_code == 422
    left = context.database.read(
        lambda tx: queries.accounts.recovery_codes_left(tx, store.accounts.by_login(tx, "ana.reyes").id)
    )
    assert left == 9


def test_an_invitation_is_good_once_and_for_three_days(context, travel):
    invitation = accounts.invite(context, "ana.reyes", "Ana Reyes", "ops", clock.now(), who="test")
    first, second = Browser(context), Browser(context)
    for browser in (first, second):
        browser.open(invitation.path)
    assert first.fill(invitation.path, password=PASSWORD).url.path == "/enrol"
    assert second.fill(invitation.path, password="another one altogether").status_code == 404
    again = accounts.reset(context, "ana.reyes", clock.now(), who="test")
    travel(NOW + timedelta(hours=72, minutes=1))
    assert Browser(context).open(again.path).status_code == 404
    assert Browser(context).open("/invitation/x").status_code == 404


def test_a_reset_password_does_not_go_round_the_second_factor(context, travel):
    enrolled(context)
    travel(NOW + timedelta(hours=1))
    again = accounts.reset(context, "ana.reyes", clock.now(), who="test")
    assert password_given(context).answer.status_code == 422  # the old one
    browser = Browser(context)
    browser.open(again.path)
    assert browser.fill(again.path, password="brass kettle over snow").url.path == "/sign-in/code"
    assert browser.fill("/sign-in/code", code=code(secret_of(context, "ana.reyes"))).status_code == 200
    lost = accounts.reset(context, "ana.reyes", clock.now(), who="test", factor=True)
    browser.open(lost.path)
    assert browser.fill(lost.path, password="tin saucer beside sun").url.path == "/enrol"


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("", "12 characters or more"),
        ("short", "12 characters or more"),
        ("x" * 201, "200 characters or fewer"),
        ("aaaaaaaaaaaaaaaa", "harder to guess"),
        ("ana.reyes.reyes.ana", "harder to guess"),
        ("123456789012", "harder to guess"),
        ("Password2026!!", "harder to guess"),
        ("qwertyuiopasdfghjkl", "harder to guess"),
        ("Welcome-Welcome-1", "harder to guess"),
        ("abababababababab", "harder to guess"),
    ],
)
def test_a_password_that_is_no_good_says_what_to_do(here, password, said):
    invitation = accounts.invite(here, "ana.reyes", "Ana Reyes", "ops", clock.now(), who="test")
    browser = Browser(here)
    browser.open(invitation.path)
    assert browser.fill(invitation.path, password=password).status_code == 422
    assert said in browser.said
    assert Page(browser.answer).by_id("password")["autocomplete"] == "new-password"


@pytest.mark.parametrize(
    "password",
    [
        "påske møter Ωmega ﬁsh",
        " spaces at both ends ",
        "🙂 four little smileys 🙂",
        "a winding lane of many plain words " * 5,
    ],
)
def test_any_characters_and_many_of_them_make_a_password(here, password):
    invitation = accounts.invite(here, "ana.reyes", "Ana Reyes", "ops", clock.now(), who="test")
    half = signing_in.take_up(here, invitation.path.rsplit("/", 1)[1], password, clock.now(), where="127.0.0.1")
    assert not half.enrolled
    assert signing_in.sign_in(here, "ana.reyes", password, clock.now(), where="127.0.0.1")


def test_when_everybody_signs_in_at_once_some_try_again(here):
    enrolled(here)
    browser = Browser(here)
    browser.open("/sign-in")
    taken = []
    while signing_in._WAITING.acquire(blocking=False):
        taken.append(True)
    try:
        assert browser.fill("/sign-in", login="ana.reyes", password=PASSWORD).status_code == 429
        assert "Many people are signing in" in browser.said
    finally:
        for _ in taken:
            signing_in._WAITING.release()
    assert browser.fill("/sign-in", login="ana.reyes", password=PASSWORD).status_code == 200


def test_password_managers_and_assistive_tools_are_told_what_a_field_is(here):
    browser = Browser(here)
    page = Page(browser.open("/sign-in"))
    assert page.by_id("login")["autocomplete"] == "username"
    assert page.by_id("password")["autocomplete"] == "current-password"
    enrolled(here)
    page = Page(password_given(here).answer)
    assert page.by_id("code")["autocomplete"] == "one-time-code"
    assert not {"onpaste", "maxlength", "pattern"} & page.by_id("code").keys()


# How long it lasts


def test_it_ends_when_nothing_is_done_and_at_the_latest_after_twelve_hours(context, travel):
    browser = Browser(context, role="ops")
    travel(NOW + timedelta(minutes=14, seconds=59))
    assert browser.page("/log").status_code == 200
    travel(NOW + timedelta(minutes=29))
    assert browser.page("/log").status_code == 200  # the limit began again
    travel(NOW + timedelta(minutes=45))
    assert browser.page("/log").status_code == 303
    browser = Browser(context, role="ops")
    for quarter in range(1, 200):
        travel(NOW + timedelta(minutes=45 + 14 * quarter))
        if browser.page("/log").status_code != 200:
            break
    assert timedelta(hours=11, minutes=40) < timedelta(minutes=14 * quarter) <= timedelta(hours=12, minutes=14)


def test_a_page_that_refreshes_itself_does_not_hold_off_the_end(here, travel):
    browser = Browser(here, role="ops")
    for minute in range(1, 15):
        travel(NOW + timedelta(minutes=minute))
        assert browser.get("/log", headers={"x-refresh": "1"}).status_code == 200
    travel(NOW + timedelta(minutes=15, seconds=30))
    assert browser.get("/log", headers={"x-refresh": "1"}).status_code == 303


def test_that_somebody_is_there_is_written_at_most_once_a_minute(here, travel):
    browser = Browser(here, role="ops")
    seen = set()
    for second in range(0, 150, 10):
        travel(NOW + timedelta(seconds=second))
        browser.page("/log")
        seen.add(
            here.database.read(
                lambda tx: tx.value(schema.sign_ins.select().with_only_columns(schema.sign_ins.c.seen_at))
            )
        )
    assert len(seen) == 3


def test_signing_out_ends_it_for_a_copied_cookie_too(context):
    browser, copy = Browser(context, role="ops"), Browser(context)
    copy.cookies.update(browser.cookies)
    assert copy.page("/log").status_code == 200
    assert browser.request("POST", "/sign-out", headers=BROWSER).headers["location"] == "/sign-in"
    assert copy.page("/log").status_code == 303


def test_ending_access_ends_sign_ins_and_keys_at_once(context):
    one, other = Browser(context, role="ops"), Browser(context, role="ops")
    somebody = Browser(context, role="admin")
    actor = staff.actor(context, "ops")
    key = {"id": 1, "name": "k", "prefix": "k", "secret": "k", "scopes": [], "made_by": actor.id, "made_at": NOW}
    context.database.write(lambda tx: tx.run(schema.api_keys.insert(), key))
    accounts.end_access(context, actor.login, clock.now(), who="test")
    assert {browser.page("/log").status_code for browser in (one, other)} == {303}
    assert somebody.page("/log").status_code == 200
    assert context.database.read(lambda tx: tx.first(schema.api_keys.select())).ended_at is not None
    with pytest.raises(signing_in.NotSignedIn):
        staff.actor(context, "ops")


def test_all_other_sign_ins_end_and_this_one_stays(context):
    here, there = Browser(context, role="ops"), Browser(context, role="ops")
    assert here.request("POST", "/sign-out/others", headers=BROWSER).status_code == 303
    assert (here.page("/log").status_code, there.page("/log").status_code) == (200, 303)


# Failed tries


def test_wrong_tries_wait_longer_and_longer_and_nobody_learns_what_was_wrong(context, travel):
    enrolled(context)
    said = []
    for login in ("ana.reyes", "nobody.known"):
        travel(NOW + timedelta(hours=2))
        statuses = [password_given(context, login, "wrong").answer.status_code for _ in range(7)]
        assert statuses == [422] * 5 + [429] * 2
        assert password_given(context, login).answer.status_code == 429  # the right one waits too
        travel(NOW + timedelta(hours=2, minutes=1))
        for _ in range(2):
            browser = password_given(context, login, "wrong")
            said.append(browser.said.replace(login, ""))
        assert browser.answer.status_code == 429
        assert 4 < int(browser.answer.headers["retry-after"]) <= 8
        assert re.search(r"Too many wrong tries. Wait \d seconds, then try again", browser.said)
    assert said[0] == said[2]
    travel(NOW + timedelta(hours=2, minutes=2))
    assert password_given(context).answer.status_code == 200


def test_nobody_can_lock_out_somebody_else_for_long(here, travel):
    enrolled(here)
    for number in range(40):
        travel(NOW + timedelta(minutes=1, seconds=31 * number))
        there = Browser(here, client=f"198.51.100.{number}")
        with pytest.raises(LookupError):
            here_is_no_way(there)
        signing_in.sign_in(here, "ana.reyes", "wrong", clock.now(), where=f"198.51.100.{number}")
    travel(clock.now() + timedelta(seconds=31))
    assert password_given(here).answer.status_code == 200


def here_is_no_way(browser) -> None:
    """Over plain HTTP from elsewhere, no password is taken."""
    browser.open("/sign-in")
    if browser.fill("/sign-in", login="ana.reyes", password="wrong").status_code == 403:
        raise LookupError


def test_an_address_that_tries_many_logins_waits(here):
    for number in range(20):
        assert signing_in.sign_in(here, f"somebody{number}", "wrong", clock.now(), where="198.51.100.7") is None
    with pytest.raises(signing_in.TooManyTries):
        signing_in.sign_in(here, "another", "wrong", clock.now(), where="198.51.100.7")
    assert signing_in.sign_in(here, "another", "wrong", clock.now(), where="198.51.100.8") is None


def test_the_second_factor_cannot_be_guessed(here, travel):
    enrolled(here)
    travel(NOW + timedelta(minutes=5))
    browser = password_given(here)
    statuses = [browser.fill("/sign-in/code", code=f"{number:06}").status_code for number in range(8)]
    assert statuses == [422] * 5 + [429] * 3
    assert browser.fill("/sign-in/code", code=code(secret_of(here, "ana.reyes"))).status_code == 429


def test_strange_logins_and_codes_are_only_wrong(context):
    for odd in ("\0", "a" * 10_000, "👻", "' OR 1=1 --", "٠١٢٣٤٥"):
        assert password_given(context, odd, odd).answer.status_code == 422
    enrolled(context)
    browser = password_given(context)
    for odd in ("\0", "a" * 10_000, "👻"):
        assert browser.fill("/sign-in/code", code=odd).status_code == 422


def test_behind_a_proxy_of_ours_the_address_is_the_one_it_names(sqlite_template, tmp_path, travel):
    shutil.copy(sqlite_template, tmp_path / "here.db")
    url = f"sqlite:///{tmp_path / 'here.db'}"
    more = {"web__public_url": "https://texts.example.org", "web__proxies": '["10.0.0.7"]'}
    context = open_context(url, tmp_path, **more)
    caller = Caller(context, client="10.0.0.7", host="texts.example.org")
    caller.app.add_api_route("/where", where)

    def said(*hops: str) -> str:
        return caller.get("/where", headers={"x-forwarded-for": ", ".join(hops)}).json()

    assert said("198.51.100.7") == "198.51.100.7"
    assert said("203.0.113.5", "198.51.100.7") == "198.51.100.7"  # earlier entries are the caller's own claim
    assert said("198.51.100.7", "10.0.0.7") == "198.51.100.7"
    assert said("nonsense") == "unknown"
    assert caller.get("/where").json() == "10.0.0.7"
    caller.client = "198.51.100.9"
    assert said("203.0.113.5") == "198.51.100.9"  # no proxy of ours
    context.close()


def where(request: Request) -> str:
    return access.address_of(request)


# A half-filled form


@pytest.fixture
def typing(here):
    """A browser at a page with one of our forms."""
    browser = Browser(here, role="coordinator")
    saved = []

    def save(form: Form) -> dict[str, object]:
        saved.append((form["name"], form.all("kinds")))
        return {"saved": True}

    browser.app.add_api_route("/typed", save, methods=["POST"], dependencies=[Depends(Needs("plan"))])
    browser.saved = saved
    return browser


def sign_in_again(browser, role: str, travel) -> None:
    """As `role`, on the page that is shown now."""
    login = staff.member(browser.context, role)

    def set_up(tx):
        member = store.accounts.by_login(tx, login)
        store.accounts.change(tx, member.id, password=signing_in._hash(PASSWORD))
        store.accounts.keep_factor(tx, member.id, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", 0, clock.now())

    browser.context.database.write(set_up)
    browser.fill("/sign-in", login=login, password=PASSWORD)
    browser.fill("/sign-in/code", code=code("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"))


FORM = {"name": 'Ana "half" <typed>', "kinds": ["one", "two"]}


def test_what_was_typed_when_the_sign_in_ended_is_kept(typing, travel):
    travel(NOW + timedelta(minutes=20))
    typing.answer = typing.request("POST", "/typed", data=FORM, headers=BROWSER)
    assert typing.answer.status_code == 401
    assert "What you had typed is kept" in typing.said
    assert "half" not in typing.answer.text.replace("half-filled", "")
    sign_in_again(typing, "coordinator", travel)
    assert "Carry on where you were" in typing.said
    assert typing.saved == []
    page = Page(typing.answer)
    fields = [(one["name"], one["value"]) for one in page.all("input")]
    typing.request("POST", "/typed", data=fields_of(fields), headers=BROWSER)
    assert typing.saved == [(FORM["name"], FORM["kinds"])]


def fields_of(pairs) -> dict[str, list[str]]:
    return {name: [value for key, value in pairs if key == name] for name, _ in pairs}


def test_what_was_typed_is_for_nobody_else_and_not_for_long(typing, travel):
    travel(NOW + timedelta(minutes=20))
    typing.answer = typing.request("POST", "/typed", data=FORM, headers=BROWSER)
    kept = typing.answer
    sign_in_again(typing, "admin", travel)
    assert "Carry on" not in typing.said
    typing.request("POST", "/sign-out", headers=BROWSER)
    travel(NOW + timedelta(minutes=81))
    typing.answer = kept
    sign_in_again(typing, "coordinator", travel)
    assert "Carry on" not in typing.said


def test_of_a_strangers_form_nothing_is_kept(typing):
    typing.cookies.clear()
    answer = typing.request("POST", "/typed", data=FORM, headers=BROWSER)
    assert answer.status_code == 401
    assert not hidden(answer, "/sign-in")["kept"]


@pytest.mark.parametrize(
    "there", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", "", "/a b", "/x\r\ny"]
)
def test_after_the_sign_in_nobody_is_sent_elsewhere(here, there):
    browser = Browser(here, role="ops")
    assert browser.get("/sign-in", params={"next": there}).headers["location"] == "/"


# Requests that another site makes


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "cross-site", "origin": "https://evil.example"}, False),
        ({"origin": "http://127.0.0.1:8000"}, True),
        ({"origin": "null"}, False),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "http://127.0.0.1:8000.evil.example"}, False),
        ({"origin": "http://127.0.0.1:9999"}, False),
        ({}, False),
    ],
)
def test_only_our_own_pages_change_anything(here, headers, passes):
    browser = Browser(here, role="ops")
    browser.headers.clear()
    answer = browser.request("POST", "/sign-out", headers=headers)
    assert answer.status_code == (303 if passes else 403)
    assert (browser.page("/log").status_code == 303) is passes


def test_no_address_but_webhooks_is_left_out_of_that_check(here):
    caller = Caller(here, role="admin")
    caller.headers.clear()
    for route in routes.walk(caller.app):
        if route.method == "POST" and not route.path.startswith(("/sms/", "/api/")):
            answer = caller.request(
                "POST", re.sub(r"\{.*?\}", "1", route.path), headers={"origin": "https://evil.example"}
            )
            assert answer.status_code == 403, route
            assert "Another site asked" in answer.text


# Cookies


@pytest.mark.parametrize("public_url", ["http://127.0.0.1:8000", "https://texts.example.org"])
def test_the_cookie_is_out_of_the_reach_of_scripts_and_of_other_sites(sqlite_template, tmp_path, travel, public_url):
    shutil.copy(sqlite_template, tmp_path / "here.db")
    context = open_context(f"sqlite:///{tmp_path / 'here.db'}", tmp_path, web__public_url=public_url)
    accounts.invite(context, "ana.reyes", "Ana Reyes", "ops", clock.now(), who="test")
    https = public_url.startswith("https")
    browser = Browser(context, client="198.51.100.7", host="texts.example.org") if https else Browser(context)
    invitation = accounts.reset(context, "ana.reyes", clock.now(), who="test")
    answer = browser.request("POST", invitation.path, data={"password": PASSWORD}, headers=BROWSER)
    cookie = {part.strip().partition("=")[0].lower() for part in answer.headers["set-cookie"].split(";")}
    assert {"httponly", "path", "samesite"} <= cookie
    assert "SameSite=lax" in answer.headers["set-cookie"]
    assert ({"secure", "__host-reminders"} <= cookie) is https
    assert "max-age" not in cookie
    assert "domain" not in cookie
    context.close()


# The demo


@pytest.fixture
def demo(sqlite_template, tmp_path, travel):
    shutil.copy(sqlite_template, tmp_path / "here.db")
    opened = open_context(f"sqlite:///{tmp_path / 'here.db'}", tmp_path, web__demo="true")
    accounts.keep_demo_staff(opened, clock.now())
    accounts.keep_demo_staff(opened, clock.now())
    yield opened
    opened.close()


def test_in_the_demo_anybody_at_this_machine_comes_in_as_any_role(demo):
    browser = Browser(demo)
    words = browser.open("/sign-in?next=/log").text
    assert all(name in words for name, _ in accounts.DEMO_STAFF.values())
    assert {role for _, role in accounts.DEMO_STAFF.values()} == set(accounts.PERMISSIONS)
    for login in accounts.DEMO_STAFF:
        browser = Browser(demo)
        browser.open("/sign-in?next=/log")
        answer = browser.request("POST", "/sign-in/demo", data={"login": login, "next": "/log"}, headers=BROWSER)
        assert answer.headers["location"] == "/log"
        assert browser.page("/log").status_code == 200


def test_the_demos_staff_is_for_the_demo_alone(demo, here, tmp_path):
    far = Browser(demo, client="198.51.100.7", host="texts.example.org")
    assert "Ana Reyes" not in far.open("/sign-in").text
    assert far.request("POST", "/sign-in/demo", data={"login": "ana.reyes"}, headers=BROWSER).status_code == 404
    accounts.invite(demo, "some.body", "Some Body", "admin", clock.now(), who="test")
    near = Browser(demo)
    assert near.request("POST", "/sign-in/demo", data={"login": "some.body"}, headers=BROWSER).status_code == 404
    no_demo = Browser(open_context(f"sqlite:///{tmp_path / 'here.db'}", tmp_path))
    assert "Ana Reyes" not in no_demo.open("/sign-in").text
    assert no_demo.request("POST", "/sign-in/demo", data={"login": "ana.reyes"}, headers=BROWSER).status_code == 404
    no_demo.context.close()


# Who may


def test_every_route_says_whom_it_lets_in(here):
    found = routes.walk(Caller(here).app)
    assert len(found) > 15
    assert [str(route) for route in found if route.lets_in is None] == []
    public = {route.path for route in found if route.lets_in == "anybody"}
    assert public == {
        *("/healthz", "/readyz", "/sms/status/{ref}", "/sms/inbound"),
        *("/sign-in", "/sign-in/code", "/sign-in/demo", "/enrol", "/invitation/{token}", "/sign-out", "/help"),
    }
    assert {route.path for route in found if route.lets_in == "local"} == {"/metrics"}


def test_who_has_no_role_is_told_so(context):
    browser = Browser(context, role="ops")
    accounts.set_role(context, staff.member(context, "ops"), None, clock.now(), who="test")
    answer = browser.page("/log")
    assert answer.status_code == 403
    assert "Your role (none) does not let you see this page" in answer.text


def test_what_a_role_may_do_at_one_site_it_may_not_at_another(context):
    one, two = context.database.write(lambda tx: two_sites(tx, context))
    login = staff.member(context, "coordinator", "main")
    accounts.set_role(context, login, "read_only", clock.now(), who="test", site="north")
    actor = staff.actor(context, "coordinator", "main")
    assert actor.roles == {one: "coordinator", two: "read_only"}
    assert (actor.sites("plan"), actor.sites("people"), actor.sites("administer")) == ({one}, {one, two}, frozenset())
    assert (actor.may("plan"), actor.may("plan", one), actor.may("plan", two)) == (True, True, False)
    assert actor.who == f"staff:{login}"
    everywhere = staff.actor(context, "admin")
    assert everywhere.sites("administer") == {one, two}


def two_sites(tx, context) -> tuple[int, int]:
    store.people.keep_default_site(tx, context.settings, clock.now())
    site = tx.first(schema.sites.select())
    tx.run(schema.sites.insert(), site._asdict() | {"id": site.id + 1, "key": "north"})
    return site.id, site.id + 1


def test_the_last_administrator_stays(context):
    only = staff.member(context, "admin")
    for verb in (
        lambda: accounts.end_access(context, only, clock.now(), who="test"),
        lambda: accounts.set_role(context, only, "ops", clock.now(), who="test"),
        lambda: accounts.set_role(context, only, None, clock.now(), who="test"),
    ):
        with pytest.raises(accounts.Refused, match="the last administrator"):
            verb()
    accounts.invite(context, "second", "A Second", "admin", clock.now(), who="test")
    accounts.end_access(context, only, clock.now(), who="test")
    assert [(one.login, one.state(clock.now())) for one in accounts.everybody(context)] == [
        (only, "ended"),
        ("second", "invited"),
    ]


def test_s16_the_last_administrator_who_can_sign_in_stays_while_the_others_are_only_invited(context):
    first, _ = enrolled(context, "first", "admin")
    accounts.invite(context, "second", "A Second", "admin", clock.now(), who="test")
    for verb in (
        lambda: accounts.end_access(context, "first", clock.now(), who="test"),
        lambda: accounts.set_role(context, "first", "ops", clock.now(), who="test"),
        lambda: accounts.set_role(context, "first", None, clock.now(), who="test"),
    ):
        with pytest.raises(accounts.Refused, match="who can sign in"):
            verb()
    assert first.page("/users").status_code == 200
    accounts.end_access(context, "second", clock.now(), who="test")  # an invitation may always be withdrawn
    enrolled(context, "third", "admin")
    accounts.end_access(context, "first", clock.now(), who="test")
    assert first.page("/users").status_code == 303


@pytest.mark.parametrize(
    ("login", "name", "role", "site", "said"),
    [
        ("a", "Ana", "ops", None, "2 to 50"),
        ("ana reyes", "Ana", "ops", None, "2 to 50"),
        ("ana", " ", "ops", None, "Give the name"),
        ("ana", "A" * 81, "ops", None, "Give the name"),
        ("ana", "Ana", "boss", None, "boss is no role"),
        ("ana", "Ana", "ops", "nowhere", "no site nowhere"),
        ("taken", "Ana", "ops", None, "is taken"),
    ],
)
def test_a_member_of_staff_that_cannot_be_says_why(context, login, name, role, site, said):
    accounts.invite(context, "taken", "Somebody", "ops", clock.now(), who="test")
    with pytest.raises(accounts.Refused, match=said):
        accounts.invite(context, login, name, role, clock.now(), who="test", site=site)
    assert len(accounts.everybody(context)) == 1


# By command


def test_the_first_administrator_comes_by_command(database_url, tmp_path, monkeypatch, travel):
    for name, value in environment(database_url).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    def run(*arguments, code=0):
        done = CliRunner().invoke(app, ["users", *arguments])
        assert done.exit_code == code, done.output
        return done

    assert "reminders users add" in run("list").stderr
    added = run("add", "Ana.Reyes", "--name", "Ana Reyes", "--role", "admin")
    path = added.stdout.strip()
    assert re.fullmatch(r"/invitation/[\w-]{43}", path)
    assert "is taken" in run("add", "ana.reyes", "--name", "Ana", "--role", "ops", code=1).stderr
    (listed,) = map(json.loads, run("list", "--json").stdout.splitlines())
    assert listed["roles"] == [{"role": "admin", "site": None}]
    assert (listed["login"], listed["state"], listed["seen_at"]) == ("ana.reyes", "invited", None)
    assert path not in run("list").stdout
    again = json.loads(run("reset", "ana.reyes", "--json").stdout)["path"]
    assert again != path
    run("role", "ana.reyes", "ops", code=1)
    run("role", "nobody", "ops", code=3)
    assert "last administrator" in run("end", "ana.reyes", code=1).stderr
    run("add", "ben", "--name", "Ben", "--role", "admin")
    run("role", "ana.reyes", "ops")
    run("end", "ana.reyes")
    states = {one["login"]: one["state"] for one in map(json.loads, run("list", "--json").stdout.splitlines())}
    assert states == {"ana.reyes": "ended", "ben": "invited"}
    with closing(open_context(database_url, tmp_path)) as context:
        assert Browser(context).open(again).status_code == 404
