"""Pages, metrics, and the headers of every answer: for this machine only, revealing nothing about anyone."""

import logging
import re
import shutil
from datetime import timedelta
from html.parser import HTMLParser
from importlib.resources import files
from itertools import chain

import pytest
from conftest import NOW, logged, open_context
from people import document, one_off
from prometheus_client.parser import text_string_to_metric_families
from web_caller import Caller, without_values

from reminders import clock
from reminders.lifecycle import State
from reminders.service import planning
from reminders.service.operations import health, runs
from reminders.store.database import schema
from reminders.web.app import HEADERS

SOON = "2026-11-30T11:30:00"
CANARIES = ("Jordan", "Alvarez", "5550143", "555-0143", "Quimby", "Room 4", "Esther", "5550144", "Reyes", "1994")


@pytest.fixture
def here(sqlite_template, tmp_path, travel):
    """A house on SQLite at NOW, for what does not depend on the database."""
    shutil.copy(sqlite_template, tmp_path / "here.db")
    opened = open_context(f"sqlite:///{tmp_path / 'here.db'}", tmp_path)
    yield opened
    opened.close()


def accept(context, **changes) -> None:
    changes.setdefault("series", [one_off("visit", SOON, leads=["90m"])])
    planning.accept(context, document(**changes), clock.now(), who="test")


def set_texts(context, **values) -> None:
    context.database.write(lambda tx: tx.run(schema.texts.update().values(**values)))


class Page(HTMLParser):
    """A page taken apart: its elements with their attributes, and the words of some."""

    def __init__(self, answer) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(answer.text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "input", "br", "img"}:
            self._open.append(tag)
            self.words.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        for tag in self._open:
            self.words[tag][-1] += data

    def said(self, tag: str) -> list[str]:
        return [" ".join(words.split()) for words in self.words.get(tag, [])]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def by_id(self, wanted: str) -> dict[str, str | None]:
        (found,) = [attributes for _, attributes in self.elements if attributes.get("id") == wanted]
        return found


# Strangers


@pytest.mark.parametrize("path", ["/", "/log", "/metrics", "/statusz"])
@pytest.mark.parametrize(
    ("client", "host", "header"),
    [
        ("203.0.113.9", "127.0.0.1:8000", None),
        ("10.0.0.7", "localhost", None),
        ("::ffff:203.0.113.9", "localhost", None),
        ("testclient", "localhost", None),
        ("127.0.0.1", "texts.example.org", None),
        ("127.0.0.1", "127.0.0.1.example.org", None),
        ("127.0.0.1", "", None),
        ("127.0.0.1", "[", None),
        ("127.0.0.1", "testserver", None),
        ("127.0.0.1", "localhost", "X-Forwarded-For"),
        ("127.0.0.1", "localhost", "X-Forwarded-Proto"),
        ("127.0.0.1", "localhost", "X-Real-IP"),
        ("127.0.0.1", "localhost", "Forwarded"),
        ("127.0.0.1", "localhost", "Via"),
    ],
)
def test_a_stranger_sees_no_page_and_no_figures(here, path, client, host, header):
    accept(here)
    answer = Caller(here, client=client, host=host).get(path, headers={header: "127.0.0.1"} if header else {})
    if path in {"/metrics", "/statusz"}:
        assert answer.status_code == 403
    else:
        assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/sign-in")
    assert "DC-1" not in answer.text


def test_a_header_of_its_own_does_not_make_a_stranger_local(here):
    for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "Host"):
        answer = Caller(here, client="203.0.113.9").get("/metrics", headers={name: "127.0.0.1"})
        assert answer.status_code == 403


@pytest.mark.parametrize(
    ("client", "host"),
    [
        ("127.0.0.1", "127.0.0.1:8000"),
        ("127.9.9.9", "LOCALHOST:8000"),
        ("::1", "[::1]:8000"),
        ("::ffff:127.0.0.1", "[::1]:8000"),
    ],
)
def test_this_machine_sees_figures(here, client, host):
    assert Caller(here, client=client, host=host).get("/metrics").status_code == 200


def test_who_is_signed_in_sees_pages_wherever_they_are(here):
    caller = Caller(here, role="read_only", client="203.0.113.9", host="texts.example.org")
    assert caller.get("/log").status_code == 200
    assert caller.get("/").status_code == 200


def test_strangers_may_ask_whether_it_is_up(here):
    stranger = Caller(here, client="203.0.113.9", host="texts.example.org")
    assert stranger.get("/healthz").status_code == 200
    assert stranger.get("/readyz").status_code == 200
    assert stranger.get("/static/app.css").headers["content-type"].startswith("text/css")


# The headers of every answer


def test_every_answer_carries_the_headers(here):
    caller = Caller(here, role="ops")

    def boom() -> None:
        raise RuntimeError("Jordan Alvarez")

    caller.app.add_api_route("/boom", boom)
    asked = {
        ("GET", "/"): 200,
        ("GET", "/log"): 200,
        ("GET", "/help"): 200,
        ("GET", "/log?state=no"): 422,
        ("GET", "/healthz"): 200,
        ("GET", "/readyz"): 200,
        ("GET", "/statusz"): 503,
        ("GET", "/metrics"): 200,
        ("POST", "/sms/status/{ref}"): 403,
        ("POST", "/sms/inbound"): 403,
        ("GET", "/sms/inbound"): 405,
        ("GET", "/static/app.css"): 200,
        ("GET", "/static/nothing"): 404,
        ("GET", "/static/../app.py"): 404,
        ("GET", "/static/%2e%2e/app.py"): 404,
        ("GET", "/nothing"): 404,
        ("GET", "/docs"): 404,
        ("GET", "/openapi.json"): 404,
        ("GET", "/log/"): 404,
        ("DELETE", "/log"): 405,
        ("GET", "/boom"): 500,
    }
    for (method, path), status in asked.items():
        for accept_ in ("text/html", "*/*"):
            answer = caller.request(method, path, headers={"accept": accept_})
            assert answer.status_code == status, path
            assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS, path
            assert "Jordan" not in answer.text


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere():
    policy = dict(part.split(" ", 1) for part in HEADERS["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert set(policy.values()) == {"'none'", "'self'"}
    assert policy["script-src"] == policy["style-src"] == "'self'"  # and so nothing inline, and no eval


def test_pages_keep_to_the_policy(here):
    accept(here)
    for path in ("/log", "/log?state=no&plan=%00&code=x", "/log?plan=none", "/nothing"):
        page = Page(Caller(here, role="ops").page(path))
        for tag, attributes in page.elements:
            assert tag not in {"style", "iframe", "object"}
            assert tag != "script" or attributes["src"].startswith("/static/")
            assert not {name for name in attributes if name.startswith("on") or name == "style"}
            for name in ("href", "src", "action"):
                assert re.match(r"[/#](?!/)", attributes.get(name) or "/"), attributes
        assert len(page.all("main")) == len(page.all("h1")) == 1
        assert page.all("html") == [{"lang": "en"}]
        for link in (one["href"] for one in page.all("link")):
            assert Caller(here, role="ops").get(link).status_code == 200


def test_problems_are_pages_for_browsers_and_lines_for_others(here):
    assert Page(Caller(here, role="ops").page("/nothing")).said("h1") == ["Page not found"]
    assert Caller(here, role="ops").get("/nothing").headers["content-type"].startswith("text/plain")


# What a page reveals


def test_promise_5_no_page_url_or_title_names_anybody(here):
    quimby = {"with": "Dr. Quimby", "for": ["self", "esther-quimby"]}
    accept(
        here,
        patient={"born_on": "1994-05-17"},
        recipients=[
            {
                "key": "esther-quimby",
                "role": "supporter",
                "phone": "(202) 555-0144",
                "part2_consent_on": "2026-11-29",
                "consent": {
                    "said": "yes",
                    "on": "2026-11-29",
                    "how": "form",
                    "by": "A. Reyes",
                    "categories": ["appointments"],
                },
            }
        ],
        series=[one_off("visit", SOON, leads=["90m"], place="Room 4") | quimby],
    )
    assert len(logged(here)) == 2
    answer = Caller(here, role="ops").page("/log")
    page = Page(answer)
    told = answer.text.lower()
    assert [word for word in (*CANARIES, "esther", "quimby") if word.lower() in told] == []
    assert page.said("title") == ["Delivery log · Aftercare reminders"]
    assert "ending in 0143" in " ".join(page.said("td"))
    assert "a supporter or guardian" in " ".join(page.said("td"))
    links = [one["href"] for tag in ("a", "link") for one in page.all(tag)]
    assert all(re.fullmatch(r"[#/][a-z#./-]*([0-9]*|[?][a-z0-9=_&]*)", link) for link in links), links


def test_nothing_of_a_page_is_logged(here, caplog):
    accept(here)
    with caplog.at_level(logging.DEBUG):
        Caller(here, role="ops").page("/log?plan=Alvarez")
    ours = [one.getMessage() for one in caplog.records if not one.name.startswith(("httpx", "asyncio"))]
    assert not [line for line in ours if "Alvarez" in line or "/log" in line]


# Colors

STYLE = "".join(
    sheet.read_text(encoding="utf-8")
    for sheet in sorted((files("reminders.web") / "static").iterdir(), key=lambda sheet: sheet.name)
    if sheet.name.endswith(".css")
)


def colours(scheme: str) -> dict[str, str]:
    light, dark = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6,8})", light))
    return found | (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6,8})", dark)) if scheme == "dark" else {})


def luminance(colour: str) -> float:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_can_be_read(scheme):
    palette = colours(scheme)
    words_on = {
        "paper": ("ink", "soft", "link", "bad"),
        "desk": ("ink", "soft", "link", "bad"),
        "tint": ("ink", "soft", "link", "bad"),
        "out": ("ink",),
        "in": ("ink",),
        "act": ("act-ink",),
        "danger": ("danger-ink",),
        **dict.fromkeys(("top", "top-hover", "top-here"), ("top-ink",)),
        **{f"{name}-bg": (name,) for name in ("good", "bad", "wait", "flat")},
    }
    seen_on = dict.fromkeys(("paper", "desk"), ("bad-edge", "line-1", "line-2", "line-3", "line-4"))
    seen_on["top"] = ("mark",)
    named = {*words_on, *chain.from_iterable([*words_on.values(), *seen_on.values()])}
    assert set(palette) - {"edge", "shade", "shown"} == named
    for ground, marks in seen_on.items():
        for mark in marks:
            assert contrast(palette[mark], palette[ground]) >= 3, (mark, ground)
    for ground, inks in words_on.items():
        for ink in inks:
            assert contrast(palette[ink], palette[ground]) >= 4.5, (ink, ground)


def test_the_scale_of_contrast_is_the_standards():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_every_colour_of_the_style_is_a_named_one():
    rules = re.sub(r":root \{.*?\}", "", STYLE, flags=re.DOTALL)
    assert not re.search(r"#[0-9a-f]{3,8}\b|rgb|hsl|: *(?:white|black|gr[ae]y)\b", rules)
    assert set(re.findall(r"var\(--([\w-]+)\)", rules)) <= set(colours("light"))


# Monitoring


def test_healthz_answers(here):
    assert Caller(here).get("/healthz").json() == {"ok": True}


def all_jobs_succeed(context) -> None:
    for job in health.job_intervals(context):
        runs.succeeded(context, job)


def test_readyz_is_about_this_process_and_statusz_about_the_service(context, travel):
    caller = Caller(context, role="ops")
    jobs = ["send", "settle", "plan", "ask", "poll", "page", "watch", "tally", "chain", "health"]
    answer = caller.get("/statusz")
    assert answer.status_code == 503
    assert answer.json()["troubles"] == [f"the {job} job has not succeeded yet" for job in jobs]
    assert caller.get("/readyz").json() == {"ok": True, "troubles": []}
    all_jobs_succeed(context)
    answer = caller.get("/statusz")
    assert (answer.status_code, answer.json()["ok"], answer.json()["troubles"]) == (200, True, [])
    said = health.status(context, clock.now()).as_json()
    assert answer.json().keys() == said.keys()
    assert answer.json()["queue"] == said["queue"]
    travel(NOW + timedelta(minutes=5))
    answer = caller.get("/statusz")
    assert (answer.status_code, answer.json()["troubles"]) == (
        503,
        [
            f"the {job} job has not succeeded lately"
            for job in ("send", "settle", "poll", "page", "tally", "chain", "health")
        ],
    )
    answer = caller.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "troubles": []})


def test_while_sending_is_paused_replies_must_still_find_us(context, travel):
    accept(context)
    all_jobs_succeed(context)
    health.pause_site(context, None, clock.now(), pause=True, who="test")
    assert Caller(context).get("/statusz").status_code == 503
    assert Caller(context).get("/readyz").status_code == 200


def test_readyz_and_statusz_name_a_missing_schema(tmp_path):
    context = open_context(f"sqlite:///{tmp_path / 'empty.db'}", tmp_path)
    for path in ("/readyz", "/statusz"):
        answer = Caller(context).get(path)
        assert answer.status_code == 503
        assert "migrate" in answer.json()["troubles"][0]
    context.close()


def figures(context) -> dict[tuple[str, str], float]:
    answer = Caller(context).get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_the_figures_are_those_of_the_log_and_of_status(context, travel):
    assert figures(context)["reminders_job_age_seconds", "send"] == float("inf")
    all_jobs_succeed(context)
    accept(context)
    accept(context, plan={"ref": "DC-2"}, patient={"ref": "MRN-2", "phone": "(202) 555-0199"}, consent={"said": "no"})
    seen = figures(context)
    for state in State:
        assert seen["reminders_texts", state.value] == len(logged(context, state=state.value))
    assert (
        seen["reminders_texts", "scheduled"] == seen["reminders_texts", "suppressed"] == seen["reminders_due", ""] == 1
    )
    assert seen["reminders_ok", ""] == 1
    assert 0 <= seen["reminders_job_age_seconds", "send"] < 60
    travel(NOW + timedelta(minutes=10))
    seen = figures(context)
    assert seen["reminders_ok", ""] == 0
    assert seen["reminders_oldest_due_seconds", ""] == pytest.approx(600, abs=5)


def test_promise_5_no_figure_names_anybody(here):
    accept(here)
    answer = without_values(Caller(here).get("/metrics").text)
    assert [word for word in (*CANARIES, "DC-1", "MRN") if word in answer] == []
