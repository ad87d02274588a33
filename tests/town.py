"""A clinic on a Monday morning, served on this machine: patients, a group, an urgent reply, a failed text.

The browser journeys use it. The house is real, its clock is set to NOW, and the phones are the simulator's, whose
callbacks reach the served pages like Twilio's.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import uvicorn
from conftest import NOW, PretendTwilio, free_port, open_context, send
from people import document, one_off

from reminders import clock, queries
from reminders.service import AppContext, planning
from reminders.service.operations import runs
from reminders.service.replies import inbound
from reminders.sms import InboundText
from reminders.web import create_app

SENDER = "+15005550006"
NAMES = (
    "Jordan Alvarez", "Lucia Ferrer", "Dana Petrov", "Robin Castellano", "Sam Okafor", "Ines Moreau", "Theo Lindqvist",
    "Mina Haddad", "Noor Rahman", "Alex Brandt", "Kim Sato", "Rosa Delgado", "Emil Novak", "Ada Fraser",
)  # fmt: skip
GROUP = "oak-monday-group"
IN_TROUBLE, FAILED, CALM = 0, 1, 2


def phone(number: int) -> str:
    """The phone of the patient of that number."""
    return f"+1202555{100 + number:04}"


@contextmanager
def served(context: AppContext):
    """The pages of `context` on its own address, in a thread of this process."""
    port = int(context.settings.web.public_url.rsplit(":", 1)[1])
    server = uvicorn.Server(
        uvicorn.Config(create_app(context), host="127.0.0.1", port=port, log_config=None, access_log=False)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < until, "the pages are not served"
        time.sleep(0.02)
    try:
        yield context.settings.web.public_url
    finally:
        server.should_exit = True
        thread.join(20)


def elsewhere(work):
    """Run it in a separate thread, since the browser's driver has an event loop in this one."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(work).result()


class Town:
    """The clinic: `context`, `url` of its pages, and the pretend Twilio behind it."""

    def __init__(self, database_url: str, folder: Path) -> None:
        clock.correct(NOW - clock.machine())
        self.twilio = PretendTwilio()
        self.context = open_context(
            database_url,
            folder,
            twilio__api_base_url=self.twilio.url,
            twilio__phones_url=self.twilio.phones_url,
            web__demo="true",
            twilio__segments_per_second="0",
            twilio__deadline_seconds="5",
            web__public_url=f"http://127.0.0.1:{free_port()}",
        )
        self._served = served(self.context)
        self.url = self._served.__enter__()
        self._people()
        self._failure()
        self._reply(IN_TROUBLE, "I can't do this anymore. I want to die")
        self._reply(CALM, "Can I bring my sister on Thursday?")
        elsewhere(lambda: runs.run(self.context, "watch"))

    def _people(self) -> None:
        for number, name in enumerate(NAMES):
            series = [
                one_off(
                    "group",
                    "2026-11-30T18:00:00",
                    kind="therapy_group",
                    repeats="FREQ=WEEKLY;COUNT=8",
                    minutes=90,
                    session=GROUP,
                    **{"with": "Dr. Lee"},
                    leads=["1d@17:00", "7h"],
                )
            ]
            if number in {IN_TROUBLE, FAILED, CALM}:
                series.append(one_off("first", "2026-12-03T15:00:00", minutes=50, place="Room 4"))
            planning.accept(
                self.context,
                document(
                    plan={"ref": f"DC-{number + 1}", "discharged_on": "2026-11-28"},
                    patient={"ref": f"MRN-{number + 1}", "name": name, "phone": phone(number)},
                    series=series,
                ),
                clock.now(),
                who="test",
            )

    def _failure(self) -> None:
        self.twilio.rule(to=phone(FAILED), error_code=30005, after=0.0)
        clock.correct(NOW + timedelta(hours=1, minutes=1) - clock.machine())  # the group's text of today opens
        elsewhere(lambda: send(self.context))
        self.wait(self._has_failed)

    def _has_failed(self) -> bool:
        wanted = queries.texts.LogFilter(state="undelivered")
        return bool(self.context.database.read(lambda tx: queries.texts.log(tx, wanted)))

    def _reply(self, number: int, body: str) -> None:
        sid = f"SM{number:032x}"
        taken = inbound.take_in(self.context, InboundText(sid, phone(number), SENDER, body, None), clock.now())
        elsewhere(lambda: runs.answer_now(self.context, taken))

    @staticmethod
    def wait(until, seconds: float = 15) -> None:
        """Wait until that is true."""
        ends = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < ends, "it did not come"
            time.sleep(0.05)

    def go_on(self) -> None:
        """Set this process's clock to the town's, for a later test."""
        clock.correct(NOW + timedelta(hours=1, minutes=5) - clock.machine())

    def close(self) -> None:
        """Stop the town."""
        with suppress(Exception):
            self._served.__exit__(None, None, None)
        self.context.close()
        self.twilio.close()
        clock.correct(timedelta(0))
