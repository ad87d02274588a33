"""Paging on-call: the rota by wall clock, its gaps and steps (C-7, C-8), and pages to a service on this machine."""

import asyncio
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time as clock_of_this_test
import tomllib
from datetime import UTC, datetime, time, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reminders import plans
from reminders.paging import Contact, Pager, Rota
from reminders.settings import load

ROOT = Path(__file__).resolve().parents[1]
HERE = "json://127.0.0.1:9000/"
NEW_YORK = "America/New_York"
MONDAY = datetime(2026, 11, 30, 10)
TO = "\N{EN DASH}"
TITLE, BODY = "Urgent task 1234", "Open urgent task 1234 now."


def entry(name, **more):
    return {"name": name, "page": HERE, **more}


def names(contacts):
    return [contact.name for contact in contacts]


def refusal(*entries):
    with pytest.raises(ValueError, match="on_call") as caught:
        Rota.parse(entries)
    return str(caught.value)


DAY = entry("day", hours=["08:00", "20:00"])
NIGHT = entry("night", hours=["20:00", "08:00"])
LEAD = entry("lead", days=[], supervisor=True)


# What an entry says.


def test_an_address_alone_is_on_call_always():
    rota = Rota.parse([HERE, "json://127.0.0.1:9001/"])
    assert rota.contacts == (
        Contact("on call 1", HERE, frozenset(range(1, 8)), time(0), time(0), supervisor=False, place=1),
        Contact(
            "on call 2", "json://127.0.0.1:9001/", frozenset(range(1, 8)), time(0), time(0), supervisor=False, place=2
        ),
    )
    assert names(rota.on_duty(MONDAY)) == ["on call 1", "on call 2"]


@pytest.mark.parametrize(
    ("days", "numbers"),
    [
        ("mon-fri", {1, 2, 3, 4, 5}),
        ("sat,sun", {6, 7}),
        (" Sat , SUN ", {6, 7}),
        ("fri-mon", {5, 6, 7, 1}),
        ("wed-wed", {3}),
        ("mon-tue,thu", {1, 2, 4}),
        (["mon", "thu-fri"], {1, 4, 5}),
        ("mon-sun", {1, 2, 3, 4, 5, 6, 7}),
    ],
)
def test_days_are_read_as_people_write_them(days, numbers):
    (contact,) = Rota.parse([entry("one", days=days)]).contacts
    assert contact.days == numbers


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (entry("one", days="mondy"), ["on_call no. 2.days: 'mondy' is no day", "mon-fri"]),
        (entry("one", days="mon-"), ["on_call no. 2.days", "mon-fri"]),
        (entry("one", days="mon-tue-wed"), ["on_call no. 2.days"]),
        (entry("one", days=[1, 2]), ["on_call no. 2.days: must be days"]),
        (entry("one", days=[]), ["on_call no. 2: days names no day", "supervisor"]),
        (entry("one", hours=["20:00"]), ["on_call no. 2.hours"]),
        (entry("one", hours=["8 pm", "08:00"]), ["on_call no. 2.hours no. 1", "such as 20:00"]),
        (entry("one", supervisor="perhaps"), ["on_call no. 2.supervisor: must be true or false"]),
        (entry(""), ["on_call no. 2.name"]),
        (entry("one", pgae="x"), ["on_call no. 2.pgae: unknown key", "did you mean page?"]),
        (entry("one", day="mon"), ["on_call no. 2.day: unknown key", "did you mean days?"]),
        ({"name": "one"}, ["on_call no. 2: give either page_env"]),
        (entry("one", page_env="ONCALL_1"), ["on_call no. 2: give either page_env"]),
        ({"page_env": "ONCALL_NOT_SET"}, ["on_call no. 2", "neither ONCALL_NOT_SET nor ONCALL_NOT_SET_FILE"]),
        ({"page_env": "REMINDERS_ONCALL"}, ["on_call no. 2", "not begin with REMINDERS_"]),
        (entry("one") | {"page": 5}, ["on_call no. 2.page: must be"]),
        (5, ["on_call no. 2: must be an address, or a table"]),
    ],
)
def test_a_wrong_entry_is_named_with_what_would_be_right(wrong, words):
    said = refusal(HERE, wrong)
    for word in words:
        assert word in said


def test_every_wrong_entry_is_named_at_once():
    said = refusal(entry("one", days="mondy"), HERE, "no address")
    assert len(said.splitlines()) == 2
    assert "no. 1" in said
    assert "no. 3" in said


@pytest.mark.parametrize(
    "address",
    ["hunter2", "hunter2://x/", "slack://hunter2", "pagerduty://hunter2", "mailto://x:hunter2@", "dbus://?hunter2", ""],
)
@pytest.mark.parametrize("shape", [lambda address: address, lambda address: {"page": address}])
def test_an_address_nobody_knows_is_refused_and_not_shown(address, shape, caplog):
    caplog.set_level(logging.DEBUG)
    said = refusal(shape(address))
    assert "no address that apprise knows" in said
    assert "hunter2" not in said + caplog.text


def test_an_address_in_the_place_of_a_variables_name_is_not_shown():
    assert "hunter2" not in refusal({"page_env": "mailto://ann:hunter2@example.org"})


def test_an_address_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("ONCALL_1", "json://127.0.0.1:9001/")
    (tmp_path / "address").write_text("json://127.0.0.1:9002/\n", encoding="utf-8")
    monkeypatch.setenv("ONCALL_2_FILE", str(tmp_path / "address"))
    rota = Rota.parse([{"page_env": "ONCALL_1"}, {"page_env": "ONCALL_2"}])
    assert [contact.url for contact in rota.contacts] == ["json://127.0.0.1:9001/", "json://127.0.0.1:9002/"]
    monkeypatch.setenv("ONCALL_2_FILE", str(tmp_path / "gone"))
    assert "ONCALL_2_FILE" in refusal({"page_env": "ONCALL_2"})
    monkeypatch.setenv("ONCALL_1", "hunter2")
    assert "ONCALL_1 holds no address" in (said := refusal({"page_env": "ONCALL_1"}))
    assert "hunter2" not in said


def test_a_contact_shows_no_address():
    (contact,) = Rota.parse(["json://ann:hunter2@127.0.0.1:9000/"]).contacts
    assert "hunter2" not in f"{contact!r} {contact}"


def test_what_the_settings_have_read_is_a_rota_too(tmp_path):
    environ = {"REMINDERS_SITE__ON_CALL": json.dumps([DAY, NIGHT, LEAD])}
    assert Rota.parse(load(environ, tmp_path).site.on_call) == Rota.parse([DAY, NIGHT, LEAD])


def test_the_rota_of_the_readme_is_accepted_and_has_no_gap(monkeypatch):
    example = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    for variable in ("ONCALL_DAY", "ONCALL_NIGHT", "ONCALL_LEAD"):
        monkeypatch.setenv(variable, HERE)
    rota = Rota.parse(tomllib.loads(example)["site"]["on_call"])
    assert names(rota.contacts) == ["Day nurse", "Night nurse", "Clinical lead"]
    assert rota.gaps() == ()


# Who is on call when.


@pytest.mark.parametrize(
    ("wall", "there"),
    [
        (datetime(2026, 12, 4, 19, 59), []),  # a Friday
        (datetime(2026, 12, 4, 20), ["friday night"]),
        (datetime(2026, 12, 4, 23, 59, 59), ["friday night"]),
        (datetime(2026, 12, 5, 7, 59), ["friday night"]),
        (datetime(2026, 12, 5, 8), []),
        (datetime(2026, 12, 5, 20), []),  # Saturday evening is not Friday's shift
        (datetime(2026, 12, 6, 8), ["sunday, round the clock"]),
        (datetime(2026, 12, 7, 7, 59), ["sunday, round the clock"]),  # over the end of the week
        (datetime(2026, 12, 7, 8), []),
    ],
)
def test_a_shift_belongs_to_the_day_it_starts_on(wall, there):
    rota = Rota.parse(
        [
            entry("friday night", days="fri", hours=["20:00", "08:00"]),
            entry("sunday, round the clock", days="sun", hours=["08:00", "08:00"]),
        ]
    )
    assert names(rota.on_duty(wall)) == there


@pytest.mark.parametrize("night", [datetime(2026, 10, 31, 16, tzinfo=UTC), datetime(2027, 3, 13, 16, tzinfo=UTC)])
def test_in_the_night_the_clocks_change_the_wall_clock_decides_and_nobody_is_missing(night):
    rota = Rota.parse([DAY, NIGHT])
    offsets = set()
    for minutes in range(0, 24 * 60, 10):
        instant = night + timedelta(minutes=minutes)
        wall = plans.to_wall(instant, NEW_YORK)
        offsets.add(wall - instant.replace(tzinfo=None))
        assert names(rota.on_duty(wall)) == (["day"] if 8 <= wall.hour < 20 else ["night"])
    assert len(offsets) == 2  # the clocks did change


def test_an_instant_is_no_wall_clock():
    with pytest.raises(ValueError, match="offset"):
        Rota.parse([HERE]).on_duty(datetime(2026, 11, 30, tzinfo=UTC))


# C-8: holes in the rota.


@pytest.mark.parametrize(
    ("entries", "gaps"),
    [
        ([], ("the whole week",)),
        ([LEAD], ("the whole week",)),
        ([HERE], ()),
        ([DAY, NIGHT], ()),
        ([DAY | {"days": "mon-fri"}, NIGHT | {"days": "mon-fri"}], ("Sat 08:00 to Mon 08:00",)),
        (
            [entry("weekdays", days="mon-fri"), entry("sundays", days="sun", hours=["08:00", "00:00"])],
            ("Sat 00:00 to Sun 08:00",),
        ),
        ([entry("one", days="mon", hours=["08:00", "20:00"])], ("Mon 20:00 to Mon 08:00",)),
        ([entry("one", days="sun", hours=["20:00", "08:00"])], ("Mon 08:00 to Sun 20:00",)),
        (
            [entry("one", days="mon,wed", hours=["00:00", "12:00"])],
            ("Mon 12:00 to Wed 00:00", "Wed 12:00 to Mon 00:00"),
        ),
        (
            [entry("one", days="mon-sat"), entry("two", days="sun", hours=["00:00", "12:00"])],
            ("Sun 12:00 to Mon 00:00",),
        ),
    ],
)
def test_c8_the_hours_without_anybody_are_named(entries, gaps):
    assert tuple(gap.replace(TO, " to ") for gap in Rota.parse(entries).gaps()) == gaps


some_contacts = st.lists(
    st.builds(
        Contact,
        name=st.just("one"),
        url=st.just(HERE),
        days=st.frozensets(st.integers(1, 7)),
        starts=st.times().map(lambda at: time(at.hour, at.minute)),
        ends=st.times().map(lambda at: time(at.hour, at.minute)),
        supervisor=st.booleans(),
    ),
    max_size=4,
)


def minute_of_week(text):
    day, at = text.split()
    hour, minute = map(int, at.split(":"))
    return ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun").index(day) * 1440 + hour * 60 + minute


@given(some_contacts, st.integers(0, 7 * 24 * 60 - 1))
def test_c8_a_minute_is_in_a_gap_just_when_nobody_is_on_call(contacts, minute):
    rota = Rota(tuple(contacts))
    monday = datetime(2026, 11, 30)
    gaps = rota.gaps()
    spans = [tuple(minute_of_week(end) for end in gap.split(TO)) for gap in gaps if gap != "the whole week"]
    edges = {edge % 10080 for span in spans for at in span for edge in (at - 1, at)}
    for one in {minute, *edges}:
        inside = gaps == ("the whole week",) or any((one - a) % 10080 < (b - a) % 10080 for a, b in spans)
        assert inside == (not rota.on_duty(monday + timedelta(minutes=one)))


# C-7: who is told next.


@pytest.mark.parametrize(
    ("entries", "steps"),
    [
        (["a", "b", "c", "LEAD"], ["a", "b", "c", "lead", "a b c lead", "a b c lead"]),
        (["a", "b", "LEAD"], ["a", "b", "a", "lead", "a b lead", "a b lead"]),
        (["a", "LEAD"], ["a", "a", "a", "lead", "a lead", "a lead"]),
        (["a", "b", "c", "d"], ["a", "b", "c", "d", "a b c d", "a b c d"]),
        (["a"], ["a", "a", "a", "a", "a", "a"]),
        (["off", "a", "LEAD"], ["a", "a", "a", "lead", "a lead", "a lead"]),
        (["off", "LEAD"], ["lead"] * 6),
        (["off", "off"], ["off off"] * 6),
        (["CHIEF", "a"], ["chief", "a", "chief", "chief", "chief a", "chief a"]),
        (["a", "LEAD", "CHIEF"], ["a", "chief", "a", "chief", "a chief", "a chief"]),
        ([], [""] * 6),
    ],
)
def test_c7_each_step_tells_the_next(entries, steps):
    special = {
        "LEAD": LEAD,
        "CHIEF": entry("chief", supervisor=True),
        "off": entry("off", days="sat"),
    }
    rota = Rota.parse([special.get(name) or entry(name) for name in entries])
    assert [" ".join(names(rota.at_step(MONDAY, step))) for step in range(6)] == steps


# Pages, to the test's own service.


class Service(ThreadingHTTPServer):
    """A webhook that accepts, refuses, redirects, or hangs: it gives `answers` in turn, and repeats the last one."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = [200]
        self.asked = []
        self.arrived = threading.Semaphore(0)
        self.over = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def address(self, path="/", schema="json"):
        return f"{schema}://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, request, client_address):
        """Print nothing about a caller that has hung up."""


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, body))
        self.server.arrived.release()
        answer = self.server.answers[0] if len(self.server.answers) == 1 else self.server.answers.pop(0)
        if answer == "hang":
            self.server.over.wait(30)
            return
        if answer == "drip":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not self.server.over.wait(0.1):
                self.wfile.write(b".")
            return
        if answer == "nonsense":
            self.wfile.write(b"hello\r\n\r\n")
            return
        self.send_response(answer)
        if answer in {302, 307}:
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/sign-in")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self):
        self.server.asked.append((self.path, b""))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def service(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    server = Service()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


def contact(url):
    return Contact("Night nurse", url, frozenset(range(1, 8)), time(0), time(0), supervisor=False, place=2)


def page(url, *, live=True, deadline=15.0):
    return asyncio.run(Pager(live=live, deadline=deadline).page(contact(url), TITLE, BODY))


@pytest.mark.parametrize("live", [True, False])
def test_c7_a_page_that_is_taken(service, live):
    assert page(service.address("/hook"), live=live) is True
    ((path, body),) = service.asked
    assert path == "/hook"
    sent = json.loads(body)
    assert (sent["title"], sent["message"], sent["type"]) == (TITLE, BODY, "failure")


@pytest.mark.parametrize("schema", ["xml", "form"])
def test_c7_the_other_webhooks(service, schema):
    assert page(service.address(schema=schema), live=False) is True
    ((_, body),) = service.asked
    assert b"1234" in body


@pytest.mark.parametrize("answer", [500, 503, 404, 401, 302, 307, "nonsense"])
def test_c7_a_page_that_is_refused(service, answer):
    service.answers = [answer]
    assert page(service.address()) is False
    assert len(service.asked) == 1


@pytest.mark.parametrize(
    ("answer", "options"),
    [
        (500, "?retry=3&wait=0"),  # the caller repeats, not the library
        (500, "?optional=yes"),  # every page must be sent
        (302, "?redirect=yes"),  # a page that asks to sign in says 200 as well
    ],
)
def test_c7_an_address_cannot_soften_what_accepted_means(service, answer, options):
    service.answers = [answer]
    assert page(service.address(options)) is False
    assert len(service.asked) == 1


@pytest.mark.parametrize("answer", ["hang", "drip"])
def test_c7_a_service_that_hangs_costs_no_more_than_the_deadline(service, answer):
    service.answers = [answer]
    before = clock_of_this_test.monotonic()
    assert page(service.address("/?rto=30"), deadline=0.6) is False
    assert 0.5 < clock_of_this_test.monotonic() - before < 3
    assert len(service.asked) == 1


def test_c7_services_that_hang_keep_no_other_page_waiting(service):
    service.answers = [*["hang"] * 40, 200]
    slow, quick = contact(service.address("/slow?rto=30")), contact(service.address("/quick"))

    async def night():
        pager = Pager(live=True, deadline=20)
        hanging = [asyncio.ensure_future(pager.page(slow, TITLE, BODY)) for _ in range(40)]
        for _ in hanging:
            assert await asyncio.to_thread(service.arrived.acquire, timeout=10)
        taken = await asyncio.wait_for(pager.page(quick, TITLE, BODY), 5)
        waiting = [one for one in hanging if not one.done()]
        for one in hanging:
            one.cancel()
        return taken, len(waiting)

    assert asyncio.run(night()) == (True, 40)


def test_c7_a_page_repeated_until_accepted_comes_through_when_the_service_comes_back(service):
    service.answers = [503, "nonsense", 200]
    tries = 1
    while not page(service.address()):
        tries += 1
        assert tries < 5
    assert (tries, len(service.asked)) == (3, 3)


def test_c7_a_service_that_is_down_or_unknown_is_an_answer_not_an_error(service):
    service.shutdown()
    service.server_close()
    assert page(service.address()) is False
    for url in ("hunter2://x", "", "slack://hunter2", "dbus://?hunter2"):
        assert page(url) is False


def test_a_page_that_hangs_does_not_keep_the_process_from_ending(service):
    service.answers = ["hang"]
    code = (
        "import asyncio\nfrom datetime import time\nfrom reminders.paging import Contact, Pager\n"
        f"one = Contact('one', {service.address('/?rto=60')!r}, frozenset(), time(0), time(0), supervisor=False)\n"
        "print(asyncio.run(Pager(live=True, deadline=3).page(one, 't', 'b')))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True, env=os.environ
    )
    assert run.stdout == "False\n"
    assert len(service.asked) == 1


# While not live, no one is paged.


@pytest.mark.parametrize(
    "url",
    [
        "json://198.51.100.7:9/",
        "json://localhost.example.org/",
        "json://example.org/127.0.0.1",
        "json://127.0.0.1@example.org/",
        "mailto://ann:hunter2@localhost",
        "gotify://127.0.0.1/hunter2hunter2",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/",
    ],
)
def test_while_not_live_a_page_leaves_this_machine_for_nobody(url, caplog):
    caplog.set_level(logging.INFO, "reminders.paging")  # whatever a test before set
    assert page(url, live=False) is True
    assert caplog.messages == ["page to contact no. 2 not made: twilio.live is false"]


def test_while_not_live_no_proxy_is_asked_to_carry_a_page(service, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{service.server_port}")
    elsewhere = "json://127.0.0.1:9/hook"
    assert page(elsewhere, live=False) is True
    assert service.asked == []
    page(elsewhere, live=True)
    assert len(service.asked) == 1  # so it would have gone there
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert page(service.address("/own"), live=False) is True
    assert service.asked[1][0] == "/own"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1"])
def test_this_machine_by_its_names(service, host):
    assert page(f"json://{host}:{service.server_port}/", live=False) is True
    assert len(service.asked) == 1


# Nothing appears in a log.


@pytest.mark.parametrize("answer", [200, 500, "nonsense", "hang", 302])
@pytest.mark.parametrize("live", [True, False])
def test_neither_address_nor_text_is_logged(service, caplog, capfd, answer, live):
    caplog.set_level(logging.DEBUG)
    page(service.address())  # every logger there will be is there
    for name in list(logging.root.manager.loggerDict):
        caplog.set_level(logging.DEBUG, logger=name)
    caplog.clear()
    service.answers = [answer]
    secret = service.address("/hunter2?+X-Token=hunter3&-key=hunter4&rto=30").replace("//", "//ann:hunter5@")
    taken = page(secret, live=live, deadline=1)
    assert taken is (answer == 200)
    said = caplog.text + "".join(capfd.readouterr())
    for word in ("hunter", "1234", "Urgent", "Open", "Night nurse", "127.0.0.1", str(service.server_port)):
        assert word not in said
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("reminders")]
    assert ours == ([] if taken else ["page to contact no. 2 not accepted"])


def test_what_does_not_page_does_not_wait_for_apprise(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\nimport reminders.cli, reminders.paging\n"
        f"from reminders.settings import load\nload({{}}, Path({str(tmp_path)!r}))\nprint('apprise' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
