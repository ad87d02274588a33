"""On-call in tests: a pretend pager on this machine, and a house with a rota that uses it."""

import json
import threading
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from conftest import free_port, open_context
from people import document

from reminders import clock, queries
from reminders.service import AppContext, planning
from reminders.service.operations import runs
from reminders.service.replies import inbound
from reminders.sms import InboundText

PHONE = "+12025550143"
STRANGER = "+12025550178"
SENDER = "+15005550006"


@dataclass(frozen=True)
class Paged:
    """A page that arrived: for whom, when by the house's clock, and its content."""

    contact: str
    at: datetime
    said: str


class Pager(ThreadingHTTPServer):
    """A webhook for pages. It gives `answers` in turn, and repeats the last one."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages: list[Paged] = []
        self.answers = [200]
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def contact(self, name, **more):
        """An entry of the rota that pages here."""
        return {"name": name, "page": f"json://127.0.0.1:{self.server_port}/{name.replace(' ', '-')}", **more}

    def called(self):
        """Return who was paged, oldest first, and forget it."""
        pages, self.pages[:] = list(self.pages), []
        return [page.contact for page in pages]

    def close(self):
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        words = f"{said['title']} | {said['message']}"
        self.server.pages.append(Paged(self.path.strip("/").replace("-", " "), clock.now(), words))
        answers = self.server.answers
        self.send_response(answers[0] if len(answers) == 1 else answers.pop(0))
        self.end_headers()

    def log_message(self, *_):
        """Print nothing about a page on stderr."""


class Clinic:
    """A house with its pager and its pretend Twilio; phones text it, and a test runs its jobs."""

    def __init__(self, url, folder, travel, twilio, *contacts, **more):
        self.pager = Pager()
        self.travel, self.twilio = travel, twilio
        rota = [self.pager.contact(name, **hours) for name, hours in contacts]
        settings = {
            "twilio__api_base_url": twilio.url,
            "twilio__segments_per_second": "0",
            "twilio__deadline_seconds": "2",
            "sending__lease_seconds": "20",
            "sending__settle_seconds": "10",
            "web__public_url": f"http://127.0.0.1:{free_port()}",
            "site__on_call": json.dumps(rota),
        }
        self.context: AppContext = open_context(url, folder, **settings | more)

    def accept(self, number=1, phone=PHONE, **more):
        """The plan of an invented patient."""
        more = {"plan": {}, "patient": {}} | more
        more["plan"] = {"ref": f"DC-{number}"} | more["plan"]
        more["patient"] = {"ref": f"MRN-{number}", "phone": phone} | more["patient"]
        return planning.accept(self.context, document(**more), clock.now(), who="test")

    def text(self, body, phone=PHONE, *, heard=True):
        """Text us from a pretend phone, with its webhook; Twilio obeys the words too."""
        made = self.twilio.do(lambda simulator: simulator.text_from(phone, SENDER, body, clock.now()))
        text = InboundText(made.sid, phone, SENDER, body, None)
        return self.hear(text) if heard else text

    def hear(self, text):
        """Process a webhook, and do urgent work right after the commit, like the web process."""
        taken = inbound.take_in(self.context, text, clock.now())
        runs.answer_now(self.context, taken)
        return taken

    def page(self):
        """One run of the `page` job."""
        runs._page(self.context, clock.now())

    def watch(self):
        """One run of the `watch` job; how many tasks it opened."""
        before = len(queries.tasks.list_tasks(self.context.database, closed=None))
        runs._watch(self.context, clock.now())
        return len(queries.tasks.list_tasks(self.context.database, closed=None)) - before

    def tasks(self, kind=None, *, closed=False):
        return queries.tasks.list_tasks(self.context.database, closed=closed, kind=kind)

    def kinds(self):
        """The kinds of the open tasks, the urgent first."""
        return [task.kind for task in self.tasks()]

    def story(self, number):
        return queries.tasks.show(self.context.database, number, clock.now(), who="test")[1]

    def received(self, phone=PHONE):
        """Our texts on that phone, oldest first."""
        self.twilio.do(lambda simulator: simulator.forward(60, clock.now()))
        return [one.body for one in self.twilio.do(lambda simulator: list(simulator.phones[phone]))]

    def texts(self, class_="answer"):
        wanted = queries.texts.LogFilter(limit=1000)
        found = self.context.database.read(lambda tx: queries.texts.log(tx, wanted))
        return [text for text in found[::-1] if text.class_ == class_]

    def close(self):
        self.context.close()
        self.pager.close()
