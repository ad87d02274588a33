"""SEC-4: an unconfigured proxy is reported, and a neighbor behind it locks out no browser that signed in before."""

import asyncio
from datetime import timedelta

import pytest
from conftest import NOW, open_context
from fastapi import Response
from staff import member
from test_sign_in import PASSWORD as KNOWN
from test_sign_in import enrolled
from web_caller import Caller

from reminders import clock, store
from reminders.service import AppContext
from reminders.service.office import signing_in
from reminders.service.operations import health, health_checks, proxies
from reminders.store.database import schema
from reminders.web import access

PASSWORD = "seven quiet herons wade"
LOGIN = "coordinator.everywhere"
SHARED = "10.0.0.7"


@pytest.fixture
def here(context, travel):
    """Someone with a password, and a browser in which they signed in before."""
    travel(NOW)
    member(context, "coordinator")
    hashed = signing_in._hash(PASSWORD)

    def work(tx):
        staff_id = store.accounts.by_login(tx, LOGIN).id
        store.accounts.change(tx, staff_id, password=hashed)
        return signing_in.open_for(tx, store.accounts.by_id(tx, staff_id), NOW, where=SHARED, how="test")

    actor = signing_in.enter(context, context.database.write(work), NOW)
    return context, signing_in.device_token(context, actor, NOW)


def tried(context, password="wrong", device="", login=LOGIN, where=SHARED):
    try:
        half = signing_in.sign_in(context, login, password, clock.now(), where=where, device=device)
    except signing_in.TooManyTries:
        return "wait"
    return "wrong" if half is None else "right"


def a_neighbor_guesses(context) -> None:
    assert [tried(context) for _ in range(8)][-1] == "wait"
    for number in range(40):
        tried(context, login=f"somebody{number}")
    assert tried(context, PASSWORD) == "wait"


def test_s4_a_neighbor_cannot_lock_out_a_browser_that_signed_in_before(here):
    context, device = here
    a_neighbor_guesses(context)
    assert tried(context, PASSWORD, device) == "right"


def test_s4_the_browser_that_signed_in_before_has_a_limit_of_its_own(here):
    context, device = here
    assert [tried(context, device=device) for _ in range(7)] == ["wrong"] * 5 + ["wait"] * 2
    assert tried(context, PASSWORD, device) == "wait"
    assert tried(context, PASSWORD) == "right"  # it counted against no one else


def wrong_devices(device: str) -> list[str]:
    whose, ends, chance, mark = device.split(".")
    return [
        "",
        "...",
        "nonsense",
        "é.1.2.3",
        f"{whose}.{int(ends) + 1}.{chance}.{mark}",
        f"{int(whose) + 1}.{ends}.{chance}.{mark}",
        f"{whose}.{ends}.{chance}.{mark[:-1]}{'0' if mark[-1] != '0' else '1'}",
    ]


def test_s4_a_wrong_device_token_is_worth_nothing(here):
    context, device = here
    a_neighbor_guesses(context)
    assert {tried(context, PASSWORD, one) for one in wrong_devices(device)} == {"wait"}
    assert tried(context, device=device, login="somebody1") == "wait"  # and another login's cookie does not help


@pytest.mark.parametrize("how", ["password", "access", "time"])
def test_s4_a_device_token_ends_with_password_access_and_time(here, travel, how):
    context, device = here
    staff_id = context.database.read(lambda tx: store.accounts.by_login(tx, LOGIN).id)
    if how == "time":
        travel(NOW + signing_in.DEVICE_FOR)
    a_neighbor_guesses(context)
    if how == "password":
        fresh = signing_in._hash(PASSWORD)
        context.database.write(lambda tx: store.accounts.change(tx, staff_id, password=fresh))
    if how == "access":
        context.database.write(lambda tx: store.accounts.change(tx, staff_id, ended_at=clock.now()))
    assert tried(context, PASSWORD, device) == "wait"


def test_s4_the_device_cookie_comes_with_a_whole_sign_in_and_stays_when_it_ends(context, travel):
    browser, _ = enrolled(context)
    device = browser.cookies["reminders-device"]
    browser.request("POST", "/sign-out", headers={"sec-fetch-site": "same-origin"})
    assert browser.cookies["reminders-device"] == device
    assert [tried(context, login="ana.reyes", where="127.0.0.1") for _ in range(8)][-1] == "wait"
    browser.open("/sign-in")
    assert browser.fill("/sign-in", login="ana.reyes", password="wrong").status_code == 422
    assert browser.fill("/sign-in", login="ana.reyes", password=KNOWN).status_code == 200


@pytest.mark.parametrize("https", [True, False])
def test_s4_the_device_cookie_is_kept_from_scripts_and_other_sites(here, https):
    context, _ = here
    address = "https://texts.example.org" if https else "http://127.0.0.1:8000"
    web = context.settings.web.model_copy(update={"public_url": address})
    there = AppContext(context.settings.model_copy(update={"web": web}), context.secrets, context.database)
    answer = Response()

    def work(tx):
        return signing_in.open_for(tx, store.accounts.by_login(tx, LOGIN), NOW, where=SHARED, how="test")

    access.give_device(answer, there, context.database.write(work))
    name, *said = answer.headers["set-cookie"].split("; ")
    parts = {part.lower() for part in said}
    assert name.startswith("__Host-reminders-device=" if https else "reminders-device=")
    assert {"httponly", "samesite=strict", "path=/", "max-age=7776000"} <= parts
    assert ("secure" in parts) is https


# Proxies


def said_of_proxies(context) -> tuple[bool, bool, str]:
    """Whether the doctor and the health page are green, and what `status` says."""
    (check,) = (one for one in asyncio.run(health.doctor(context)) if one.check == "proxies")
    (light,) = (one for one in health_checks.lights(context, clock.now()) if one.name == "Proxies")
    return (
        check.ok,
        light.state == "ok",
        "\n".join(one for one in health.status(context, clock.now()).troubles if "proxy" in one),
    )


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "CF-Connecting-IP"])
def test_s4_a_proxy_that_is_not_named_shows_everywhere_with_what_to_write(context, travel, header):
    Caller(context, client=SHARED).get("/sign-in", headers={header: "203.0.113.9"})
    doctor, light, status = said_of_proxies(context)
    assert not doctor
    assert not light
    assert f'web.proxies = ["{SHARED}"]' in status
    kept = context.database.read(lambda tx: tx.all(schema.forwarders.select()))
    assert "203.0.113.9" not in str(kept)
    travel(NOW + timedelta(days=1, hours=1))
    assert said_of_proxies(context) == (True, True, "")
    proxies.forget(context, clock.now())
    assert context.database.read(lambda tx: tx.all(schema.forwarders.select())) == []


def test_s4_a_proxy_that_is_named_must_say_it_in_the_header_we_believe(database_url, tmp_path, travel):
    context = open_context(database_url, tmp_path, web__proxies=f'["{SHARED}"]')
    caller = Caller(context, client=SHARED)
    caller.get("/sign-in", headers={"X-Forwarded-For": "203.0.113.9", "X-Real-IP": "203.0.113.9"})
    assert said_of_proxies(context) == (True, True, "")
    caller.get("/sign-in", headers={"X-Real-IP": "203.0.113.9"})
    assert "no X-Forwarded-For" in said_of_proxies(context)[2]
    context.close()


def test_s4_a_stranger_on_the_internet_turns_nothing_red_but_a_signed_call_through_them_does(context, travel):
    caller = Caller(context, client="9.9.9.9")
    caller.headers["x-forwarded-for"] = "203.0.113.9"
    caller.get("/sign-in")
    caller.post("/sms/inbound", [("From", "+12025550177")], "forged")
    assert said_of_proxies(context) == (True, True, "")
    form = {"From": "+12025550177", "To": "+15005550006", "Body": "hello", "MessageSid": f"SM{1:032x}"}
    assert caller.twilio("/sms/inbound", **form).status_code == 200
    assert 'web.proxies = ["9.9.9.9"]' in said_of_proxies(context)[2]
