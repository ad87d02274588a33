"""A dead man's switch: an address outside is told again and again that the service works, and notices when it is not.

In the style of healthchecks: `jobs.heartbeat_url` is called after good scans, and with `/fail` behind it while a job
fails. The call carries nothing. It is made in a thread of its own, so that no job and no transaction ever waits for it.
"""

import asyncio
import logging
import threading
import time

import aiohttp

log = logging.getLogger(__name__)

EVERY = 60.0  # seconds between two calls of one sort
DEADLINE = 10.0  # seconds for a whole call


class Heartbeat:
    """Tells `url` how the jobs of this process do; without an address it does nothing."""

    def __init__(self, url: str | None, *, every: float = EVERY, deadline: float = DEADLINE) -> None:
        self._url, self._every, self._deadline = url, every, deadline
        self._failing: set[str] = set()
        self._wanted: set[str] = set()
        self._told: dict[str, float] = {}
        self._lock = threading.Lock()
        self._stirred = threading.Event()
        self._stop = False
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        if self._url is not None:
            self._thread.start()

    def stop(self) -> None:
        """Make no more calls. One that is under way is not waited for."""
        self._stop = True
        self._stirred.set()

    def good(self, job: str) -> None:
        """A job succeeded. Only a scan for due texts is a heartbeat, and only while no other job fails."""
        with self._lock:
            self._failing.discard(job)
            if job == "send" and not self._failing:
                self._want("")

    def bad(self, job: str) -> None:
        """A job failed."""
        with self._lock:
            self._failing.add(job)
            self._want("/fail")

    def _want(self, what: str) -> None:
        if self._url is not None and time.monotonic() - self._told.get(what, float("-inf")) >= self._every:
            # After a failure the next good scan is told at once.
            self._told = {what: time.monotonic()}
            self._wanted = {what}
            self._stirred.set()

    def _run(self) -> None:
        while not self._stop:
            self._stirred.wait()
            with self._lock:
                wanted, self._wanted = self._wanted, set()
                self._stirred.clear()
            for what in () if self._stop else wanted:
                try:
                    asyncio.run(self._call(f"{self._url}{what}"))
                except (OSError, TimeoutError, ValueError, aiohttp.ClientError) as error:
                    log.warning("jobs.heartbeat_url could not be told: %s", type(error).__name__)

    async def _call(self, url: str) -> None:
        limit = aiohttp.ClientTimeout(total=self._deadline)
        async with (
            aiohttp.ClientSession(timeout=limit, headers={"User-Agent": "reminders"}) as session,
            session.post(url, allow_redirects=False) as answer,
        ):
            if not 200 <= answer.status < 300:
                log.warning("jobs.heartbeat_url answers %d", answer.status)
