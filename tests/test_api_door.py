"""Access to the API: who, how often, with how much; what is refused and how; repeated requests."""

import json
import shutil
import threading
from datetime import timedelta
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa
from api_caller import Program, make_key
from conftest import NOW, open_context
from people import one_off, raw
from two_sites import accept, hear, open_north

from reminders import clock, queries, store
from reminders.service.office import api_keys
from reminders.service.operations import runs
from reminders.store.database import schema
from reminders.web.api import manual, problems

ALL = "7531234567890123456"  # an id of nothing


@pytest.fixture
def api(sqlite_template, tmp_path, travel):
    """A program that may do everything, on SQLite at NOW, for what does not depend on the database."""
    shutil.copy(sqlite_template, tmp_path / "here.db")
    context = open_context(f"sqlite:///{tmp_path / 'here.db'}", tmp_path)
    yield Program(context, make_key(context))
    context.close()


@pytest.fixture
def both(context, travel):
    """The same on each database."""
    return Program(context, make_key(context))


def operations(api):
    """Every operation of the API: method, address with an id of nothing, scopes, and a body that fits."""
    for path, methods in manual.document(api.caller.app.routes[-2].app)["paths"].items():
        for method, one in methods.items():
            at = path.removeprefix("/api/v1").replace("{on}", "2026-12-01")
            for name in ("plan", "patient", "appointment", "session", "text", "task", "site"):
                at = at.replace(f"{{{name}}}", ALL)
            body = one["requestBody"]["content"]["application/json"]["example"] if "requestBody" in one else None
            yield method.upper(), at, one["security"][0]["key"], body


def audited(context):
    """What is on record of keys: (who, what, table)."""
    query = sa.select(schema.audit.c.who, schema.audit.c.what, schema.audit.c["table"]).order_by(schema.audit.c.id)
    return [(row.who, row.what, row.table) for row in context.database.read(lambda tx: tx.all(query))]


def of_keys(context):
    return [(what, table) for who, what, table in audited(context) if who.startswith("key:")]


def test_every_operation_asks_for_a_key_and_for_its_scopes(api):
    context = api.caller.context
    weak = {
        scope: Program(context, make_key(context, *(api_keys.SCOPES.keys() - {scope})), api.caller)
        for scope in api_keys.SCOPES
    }
    stranger = Program(context, None, api.caller)
    seen = set()
    for method, path, scopes, body in operations(api):
        seen.add((method, path))
        answer = stranger.ask(method, path, body)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert scopes
        for scope in scopes:
            refused = weak[scope].ask(method, path, body)
            assert refused.status_code == 403, (method, path)
            assert scope in refused.json()["detail"]
        assert api.ask(method, path, body).status_code not in {401, 403}
    assert len(seen) > 40


def test_a_key_is_kept_as_a_fingerprint_alone(both):
    row = both.caller.context.database.read(lambda tx: tx.first(sa.select(schema.api_keys)))
    prefix, secret = both.key.split("_", 2)[1:]
    assert row.prefix == prefix
    assert secret not in json.dumps([str(value) for value in row._mapping.values()])


@pytest.mark.parametrize(
    "wrong",
    ["", "Bearer", "Bearer x", "Basic eDp5", "Bearer rk_aaaaaaaa_" + "a" * 43, "Bearer rk_é_x", "Bearer " + "x" * 9000],
)
def test_who_has_no_key_is_no_one(api, wrong):
    answer = api.caller.request("GET", "/api/v1/plans", headers={"authorization": wrong.encode()})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {"type": "/api/docs#no-key", "title": "A key is needed", "status": 401}


def test_a_right_prefix_with_another_secret_is_no_key(api):
    other = make_key(api.caller.context)
    mixed = f"rk_{api.key.split('_', 2)[1]}_{other.split('_', 2)[2]}"
    assert Program(api.caller.context, mixed, api.caller).get("/plans").status_code == 401


def test_a_key_ends_by_date_by_hand_and_with_its_makers_account(both, travel):
    context = both.caller.context

    def account(tx):
        one = {"id": 7, "login": "ana", "name": "Ana", "shortcuts": True, "made_at": NOW}
        tx.run(schema.staff.insert(), one)

    context.database.write(account)
    dated = Program(context, make_key(context, expires_at=NOW + timedelta(hours=1)), both.caller)
    anas = Program(context, make_key(context, made_by="ana"), both.caller)
    assert [one.get("/sites").status_code for one in (dated, anas, both)] == [200, 200, 200]
    travel(NOW + timedelta(hours=1))
    assert dated.get("/sites").status_code == 401
    context.database.write(lambda tx: tx.run(schema.staff.update().values(ended_at=NOW)))
    assert anas.get("/sites").status_code == 401
    prefix = both.key.split("_")[1]
    assert api_keys.end(context, prefix, clock.now(), who="test") is True
    assert api_keys.end(context, prefix, clock.now(), who="test") is False
    assert api_keys.end(context, "nonesuch", clock.now(), who="test") is None
    assert both.get("/sites").status_code == 401
    with pytest.raises(ValueError, match="no account"):
        make_key(context, made_by="ana")


def test_a_cookie_opens_nothing(api):
    answer = api.caller.request("GET", "/api/v1/plans", headers={"cookie": f"session={api.key}; key={api.key}"})
    assert answer.status_code == 401
    assert "set-cookie" not in api.get("/plans").headers


def test_when_a_key_was_seen_last_is_kept(api, travel):
    travel(NOW + timedelta(minutes=3))
    api.get("/sites")
    (row,) = api_keys.listed(api.caller.context)
    assert NOW + timedelta(minutes=3) <= row.seen_at < NOW + timedelta(minutes=4)


# Other sites do not exist.


@pytest.fixture
def two(context, travel):
    """Programs of either site, and the ids of what there is at `north`."""
    open_north(context)
    series = [one_off("g", "2026-12-03T15:00:00", kind="therapy_group", session="oak")]
    accept(context, 1, series=series)
    accept(context, 2, site="north", series=series)
    hear(context, "can someone call me", 2)
    here = Program(context, make_key(context, site="main"))
    return here, Program(context, make_key(context, site="north"), here.caller)


def test_ids_of_another_site_are_not_found(two):
    here, north = two
    first = lambda path: north.get(path).json()["items"][0]  # ruff: ignore[lambda-assignment]  one line of a test
    hers = {
        "plan": first("/plans")["id"],
        "patient": first("/patients")["id"],
        "appointment": first("/appointments")["id"],
        "session": first("/sessions")["id"],
        "text": first("/texts")["text"],
        "task": str(first("/tasks")["id"]),
        "site": "north",
    }
    paths = manual.document(here.caller.app.routes[-2].app)["paths"]
    asked = 0
    for path, methods in paths.items():
        if "{" not in path:
            continue
        at = path.removeprefix("/api/v1").replace("{on}", "2026-12-03")
        for name, value in hers.items():
            at = at.replace(f"{{{name}}}", value)
        for method, one in methods.items():
            body = one["requestBody"]["content"]["application/json"]["example"] if "requestBody" in one else None
            assert here.ask(method.upper(), at, body).status_code == 404, (method, at)
            asked += 1
    assert asked > 25
    assert here.get("/plans/~DC-north-2").status_code == 404
    for filter_ in ({"plan": hers["plan"]}, {"plan": "~DC-north-2"}, {"patient": hers["patient"]}):
        assert here.get(f"/log?{urlencode(filter_)}").status_code == 404
    assert here.get(f"/plans?patient={hers['patient']}").json()["items"] == []
    assert here.get("/plans?ref=DC-north-2").json()["items"] == []
    # And nothing of it was changed.
    plan = north.get(f"/plans/{hers['plan']}").json()
    assert (plan["status"], plan["version"]) == ("active", 1)
    assert north.get("/sites").json()["items"][0]["paused_at"] is None


def test_lists_hold_the_keys_own_site_alone(two):
    here, north = two
    for path in ("/plans", "/patients", "/appointments", "/sessions", "/texts", "/log", "/sites"):
        items = here.get(path).json()["items"]
        assert items, path
        assert not {one.get("id") or one["text"] for one in items} & {
            one.get("id") or one["text"] for one in north.get(path).json()["items"]
        }
    assert here.get("/replies").json()["items"] == here.get("/tasks").json()["items"] == []
    assert len(north.get("/replies").json()["items"]) == len(north.get("/tasks").json()["items"]) == 1
    assert here.get("/stats").json()["texts"]["scheduled"] == 3
    assert here.get("/stats").json()["troubles"] is None


def test_a_plan_for_another_site_is_refused_and_its_own_site_is_taken_for_granted(two):
    here, north = two
    answer = here.post(
        "/plans", raw(plan={"ref": "X-1", "site": "north"}, patient={"ref": "M-9", "phone": "202-555-0199"})
    )
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"where": "plan.site", "problem": "must be one of main"}]
    taken = north.post("/plans", raw(plan={"ref": "X-1"}, patient={"ref": "M-9", "phone": "202-555-0199"}))
    assert taken.status_code == 201
    assert taken.json()["plan"]["site"] == "north"


def test_two_sites_may_use_one_reference(context, travel):
    open_north(context)
    accept(context, 1, plan={"ref": "SAME"})
    accept(context, 1, site="north", plan={"ref": "SAME"}, patient={"phone": "202-555-0102"})
    everywhere = Program(context, make_key(context))
    assert everywhere.post("/plans/~SAME/pause").status_code == 409
    here = Program(context, make_key(context, site="main"), everywhere.caller)
    assert here.post("/plans/~SAME/pause").status_code == 200
    statuses = {one["site"]: one["status"] for one in everywhere.get("/plans").json()["items"]}
    assert statuses == {"main": "paused", "north": "active"}


# How often, how much, and what else.


def test_a_key_may_ask_so_often_a_minute(database_url, tmp_path, travel):
    context = open_context(database_url, tmp_path, web__api_per_minute="3")
    program = Program(context, make_key(context))
    answers = [program.get("/sites") for _ in range(4)]
    assert [one.status_code for one in answers] == [200, 200, 200, 429]
    assert [one.headers.get("ratelimit") for one in answers] == [f'"key";r={left};t=60' for left in (2, 1, 0)] + [None]
    assert answers[3].headers["ratelimit-policy"] == '"key";q=3;w=60'
    wait = int(answers[3].headers["retry-after"])
    assert 19 <= wait <= 21
    assert answers[3].json()["type"] == "/api/docs#too-many"
    travel(clock.now() + timedelta(seconds=wait))
    assert program.get("/sites").status_code == 200
    assert program.get("/sites").status_code == 429
    assert Program(context, make_key(context), program.caller).get("/sites").status_code == 200  # each for itself
    context.close()


def test_a_clock_set_back_lets_nobody_ask_more(database_url, tmp_path, travel):
    context = open_context(database_url, tmp_path, web__api_per_minute="2")
    program = Program(context, make_key(context))
    assert [program.get("/sites").status_code for _ in range(3)] == [200, 200, 429]
    travel(NOW - timedelta(hours=1))
    assert program.get("/sites").status_code == 429
    context.close()


def test_a_body_that_is_too_large_or_no_json_is_not_read(api):
    headers = {"authorization": f"Bearer {api.key}", "content-type": "application/json"}

    def send(content, **more):
        return api.caller.request("POST", "/api/v1/plans", content=content, headers=headers | more)

    assert send(b" " * (api.caller.context.settings.web.api_bytes + 1)).status_code == 413
    for body in (b"", b"[]", b"1", b"{", b"\xff", b'{"a": 1, "a": 2}', b'{"a": NaN}', b"[" * 100_000):
        answer = send(body)
        assert answer.status_code == 400, body[:20]
        assert answer.json()["errors"], body[:20]
    assert send(b"{}", **{"content-type": "text/plain"}).status_code == 415
    assert send(b"{}").status_code == 422


@pytest.mark.parametrize(
    ("query", "where", "problem"),
    [
        ("limit=0", "query.limit", "must be 1 or more"),
        ("limit=x", "query.limit", "must be a whole number"),
        ("limit=1000", "query.limit", "must be 200 or less"),
        ("status=gone", "query.status", "must be one of 'active', 'paused' or 'ended'"),
        ("discharged_since=yesterday", "query.discharged_since", "must be a date, such as 2026-12-01"),
        ("discharged_since=0.0", "query.discharged_since", "must be a date, such as 2026-12-01"),
        ("names=perhaps", "query.names", "must be true or false"),
        ("ref=%00", "query.ref", "holds a sign that it cannot have"),
        ("statsu=active", "query.statsu", "is unknown here; there is blocked, cursor, "),
    ],
)
def test_a_filter_that_is_none_is_named(api, query, where, problem):
    answer = api.get(f"/plans?{query}")
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["where"] == where
    assert error["problem"].startswith(problem)


@pytest.mark.parametrize("cursor", ["a", "x" * 200, "WyJhIiwxXQ", "Wy1d", "WyIyMDI2LTEyLTAxIiwiMSJd", "bnVsbA", "MQ"])
def test_a_cursor_that_is_none_of_ours(api, cursor):
    for path in ("/plans", "/patients", "/appointments", "/sessions", "/log", "/texts", "/replies", "/tasks"):
        assert api.get(f"{path}?cursor={cursor}").status_code == 400, path


def test_what_there_is_not_is_a_problem_too(api):
    for path in ("/nothing", "/plans/x", "/plans/~", "/plans/" + "9" * 30, "/sessions/1/soon", "/sessions/1/20261201"):
        answer = api.get(path)
        assert (answer.status_code, answer.json()["type"]) == (404, "/api/docs#not-found"), path
    answer = api.ask("DELETE", "/plans")
    assert (answer.status_code, answer.json()["type"]) == (405, "/api/docs#no-method")
    assert "GET" in answer.headers["allow"]
    for answer in (api.get("/nothing"), api.ask("DELETE", "/plans"), api.get("/plans")):
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_bug_of_ours_says_nothing(api, monkeypatch, caplog):
    monkeypatch.setattr(store.people, "all_sites", lambda _: 1 / 0)
    answer = api.get("/sites")
    assert (answer.status_code, answer.json()["type"]) == (500, "/api/docs#broken")
    assert "ZeroDivisionError" in caplog.text
    assert "division" not in answer.text


def test_a_database_that_is_away_is_a_problem_with_a_wait(api, monkeypatch):
    def away(_):
        raise store.Unavailable("gone")

    monkeypatch.setattr(store.people, "all_sites", away)
    answer = api.get("/sites")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["type"] == "/api/docs#away"


# A repeated request.


def test_a_request_made_again_is_answered_the_same_and_done_once(both):
    first = both.post("/plans", raw(), idempotency_key="a")
    again = both.post("/plans", raw(), idempotency_key="a")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert first.headers["etag"] == again.headers["etag"]
    assert first.headers["location"] == again.headers["location"]
    assert both.post("/plans", raw()).status_code == 200
    assert [what for what, _ in of_keys(both.caller.context)] == ["plan accepted", "repeated answer read"]


def test_the_same_idempotency_key_for_another_request_is_refused(api):
    api.post("/plans", raw(), idempotency_key="a")
    answer = api.post("/plans", raw(plan={"ref": "DC-2"}), idempotency_key="a")
    assert (answer.status_code, answer.json()["type"]) == (422, "/api/docs#key-reused")
    assert api.post("/preview", raw(), idempotency_key="a").status_code == 422
    # Another program's is another one.
    other = Program(api.caller.context, make_key(api.caller.context), api.caller)
    assert other.post("/plans", raw(), idempotency_key="a").status_code == 200


def test_refusals_are_kept_and_failures_are_not(api, monkeypatch):
    wrong = api.post("/plans", raw(patient={"phone": "1"}), idempotency_key="w")
    assert wrong.status_code == 422
    assert api.post("/plans", raw(patient={"phone": "1"}), idempotency_key="w").json() == wrong.json()
    whole = queries.plans.find_plan
    monkeypatch.setattr(queries.plans, "find_plan", lambda *_, **__: 1 / 0)
    assert api.post("/plans", raw(), idempotency_key="f").status_code == 500
    monkeypatch.setattr(queries.plans, "find_plan", whole)
    assert api.post("/plans", raw(), idempotency_key="f").status_code == 200


def test_a_request_that_is_being_done_is_not_begun_again(both, travel):
    context = both.caller.context
    caller = api_keys.admit(context, both.key, NOW)
    asked = json.dumps(["/api/v1/preview", "", None]).encode() + b"\n{}"
    assert api_keys.begin(context, caller, "b", asked, NOW) is None
    headers = {"authorization": f"Bearer {both.key}", "content-type": "application/json", "idempotency-key": "b"}
    ask = lambda: both.caller.request("POST", "/api/v1/preview", content=b"{}", headers=headers)  # ruff: ignore[lambda-assignment]  one line
    answer = ask()
    assert (answer.status_code, answer.json()["type"]) == (409, "/api/docs#being-done")
    travel(NOW + api_keys.LOST_AFTER + timedelta(seconds=1))  # its process died
    assert ask().json()["type"] == "/api/docs#refused"


def test_two_at_once_are_done_once(both):
    answers = []

    def post():
        answers.append(both.post("/plans", raw(), idempotency_key="t"))

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one.status_code for one in answers} <= {201, 409}
    done = [what for what, _ in of_keys(both.caller.context)]
    assert [what for what in done if what != "repeated answer read"] == ["plan accepted"]


def test_an_answer_is_kept_for_a_day_and_sealed(both, travel):
    both.post("/patients/search", {"search": "nobody"}, idempotency_key="k")
    context = both.caller.context
    sealed = context.database.read(lambda tx: tx.value(sa.select(schema.api_answers.c.body_sealed)))
    assert b"items" not in sealed
    count = sa.select(sa.func.count()).select_from(schema.api_answers)
    runs.run(context, "plan")
    assert context.database.read(lambda tx: tx.value(count)) == 1
    travel(NOW + api_keys.KEPT_FOR + timedelta(minutes=1))
    runs.run(context, "plan")
    assert context.database.read(lambda tx: tx.value(count)) == 0


@pytest.mark.parametrize("key", ["", "é".encode("latin-1"), "x" * 129, "a b"])
def test_an_idempotency_key_that_is_none(api, key):
    headers = {"authorization": f"Bearer {api.key}", "idempotency-key": key}
    assert api.caller.request("POST", "/api/v1/plans", json=raw(), headers=headers).status_code == 400


# What is on record.


def test_reading_names_and_changing_things_is_put_on_record(both):
    context = both.caller.context
    plan = both.post("/plans", raw()).json()["plan"]
    before = of_keys(context)
    for path in ("/plans", "/patients", "/appointments", "/texts", "/log", "/replies", "/tasks", "/stats", "/sites"):
        both.get(path)
    both.get(f"/plans/{plan['id']}")
    seen = of_keys(context)[len(before) :]  # references show who is a patient, so these are on record too (SEC-5)
    assert ("plans read", "sites") in seen
    assert all(what.endswith("read") for what, _ in seen)
    before = of_keys(context)
    both.get("/plans?names=true")
    both.get(f"/plans/{plan['id']}?names=true")
    both.get(f"/plans/{plan['id']}/document")
    both.get(f"/plans/{plan['id']}/preview")
    both.get("/patients?names=true")
    both.get(f"/patients/{plan['patient_id']}?names=true")
    both.post("/patients/search", {"search": "alvarez"})
    both.get("/appointments?names=true")
    both.get("/replies?names=true")  # there is none
    both.post(f"/plans/{plan['id']}/pause")
    both.post("/sites/main/pause")
    assert of_keys(context)[len(before) :] == [
        ("plans read", "sites"),
        ("plan read", "plans"),
        ("plan document read", "plans"),
        ("texts read", "plans"),
        ("patients read", "sites"),
        ("patient read", "patients"),
        ("patients read", "sites"),
        ("appointments read", "sites"),
        ("plan paused", "plans"),
        ("sending paused", "sites"),
    ]
    weak = Program(context, make_key(context, "read"), both.caller)
    for path in ("/plans", "/patients", "/appointments", "/replies", f"/patients/{plan['patient_id']}"):
        assert weak.get(f"{path}?names=true").status_code == 403, path


def test_no_key_stands_in_a_log_line(api, caplog):
    caplog.set_level("DEBUG")
    api.get("/plans")
    api.post("/plans", raw())
    assert api.key.split("_", 2)[2] not in caplog.text
    assert "Jordan" not in caplog.text


def test_every_problem_is_explained_where_its_type_points(api):
    page = api.caller.get("/api/docs").text
    for kind in problems.KINDS:
        assert f'id="{kind}"' in page
