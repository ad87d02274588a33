"""The sender thread: one long-lived event loop thread in each worker. The `send` job wakes it; it sends until nothing
is due (sending rule 9).
"""

import asyncio
import gc
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from reminders import clock
from reminders.service import AppContext
from reminders.service.operations import runs
from reminders.service.sending import backlog
from reminders.service.sending.dispatch import MOST_SKEW, Dispatch

log = logging.getLogger(__name__)

STAMP_EVERY = 2.0  # seconds between two records of success
TIME_EVERY = 60.0  # seconds between two measurements of the database's clock


class Line:
    """Sends due texts each time it is woken, until it is stopped."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._wakened = threading.Event()
        self._stop = threading.Event()
        self._stamped = self._timed = float("-inf")
        self._skewed = False
        self._thread = threading.Thread(target=self._run, name="line")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Look for due texts now."""
        self._wakened.set()

    def stop_claiming(self) -> None:
        """Claim nothing from now on."""
        self._stop.set()
        self._wakened.set()

    def stop(self) -> None:
        """Claim nothing, finish the texts on the wire, and end: within the deadline of a request plus five seconds."""
        self.stop_claiming()
        self._thread.join(self._context.settings.twilio.deadline_seconds + 5)
        if self._thread.is_alive():
            log.error("the line did not end in time; leases bring its texts to the look-up")

    def _run(self) -> None:
        with ThreadPoolExecutor(1, "line-database") as executor, asyncio.Runner() as runner:
            gateway = self._context.gateway()
            dispatch = Dispatch(self._context, gateway, executor, self._stop, scanned=self._scanned)
            gc.freeze()  # these objects stay until the end; scanning them again cost a tenth of a text
            while not self._stop.is_set():
                self._wakened.wait()
                self._wakened.clear()
                if self._stop.is_set():
                    break
                try:
                    executor.submit(self._keep_time).result()
                    if self._skewed:
                        continue
                    executor.submit(backlog.check, self._context, clock.now()).result()
                    runner.run(dispatch.drain())
                except Exception as error:  # ruff: ignore[blind-except]  no failure of any length may end this loop
                    executor.submit(runs.failed, self._context, "send", error).result()
            runner.run(gateway.close())

    def _keep_time(self) -> None:
        if time.monotonic() - self._timed < TIME_EVERY:
            return
        ahead = self._context.keep_time()
        self._timed = time.monotonic()
        self._skewed = abs(ahead) > MOST_SKEW.total_seconds()
        if self._skewed:
            log.error("this machine's clock is %.1f s off the database's: not sending", -ahead)

    def _scanned(self) -> None:
        """Record a successful scan, in the database thread."""
        if time.monotonic() - self._stamped >= STAMP_EVERY:
            runs.succeeded(self._context, "send")
            self._stamped = time.monotonic()
