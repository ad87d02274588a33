"""One page to one contact, through apprise: email, Slack, PagerDuty, a webhook, or any other configured way (C-7)."""

import asyncio
import contextlib
import logging
from threading import Thread
from urllib.request import getproxies, proxy_bypass

from reminders.paging.rota import Contact
from reminders.settings import is_webhook_here, messenger

log = logging.getLogger(__name__)

DEADLINE = 15.0
"""Seconds for a whole page. Each service has its own shorter deadlines for connecting and reading."""


class Pager:
    """Pages contacts. While `live` is false, only a webhook on this machine is called.

    Any other page then counts as accepted, since it would be repeated until it is.
    """

    def __init__(self, *, live: bool, deadline: float = DEADLINE) -> None:
        self._live = live
        self._deadline = deadline

    async def page(self, contact: Contact, title: str, body: str) -> bool:
        """Whether the contact's service accepted the page within the deadline. One try: the caller repeats it.

        A service that answers later may still have accepted it, so a page can come twice, but never not at all. Address
        and text are not logged, and no failure of a service is raised.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bool | None] = loop.create_future()

        def tell() -> None:
            took = self._tell(contact.url, title, body)

            def settle() -> None:
                if not answer.done():
                    answer.set_result(took)

            with contextlib.suppress(RuntimeError):  # the loop has been closed, so no one waits any more
                loop.call_soon_threadsafe(settle)

        # A separate thread: in a shared pool a few hanging services would delay every other page, and an ordinary
        # thread would keep the process from ending.
        Thread(target=tell, name="page", daemon=True).start()
        try:
            async with asyncio.timeout(self._deadline):
                took = await answer
        except TimeoutError:
            took = False
        if took is None:
            log.info("page to contact no. %d not made: twilio.live is false", contact.place)
            return True
        if not took:
            log.warning("page to contact no. %d not accepted", contact.place)
        return took

    def _tell(self, url: str, title: str, body: str) -> bool | None:
        """Whether the service accepted it; None if it must not be called because we are not live."""
        try:
            service = messenger(url)
            if service is None:
                return False
            if not self._live and not (is_webhook_here(service) and _reached_directly(str(service.host))):
                return None
            from apprise import Apprise, NotifyFormat, NotifyType

            to = Apprise(service, asset=service.asset)
            return bool(to.notify(body, title, notify_type=NotifyType.FAILURE, body_format=NotifyFormat.TEXT))
        except Exception:  # ruff: ignore[blind-except]  150 services raise what they like; any of it is: not accepted
            return False


def _reached_directly(host: str) -> bool:
    """Whether there is no proxy from the environment between us and `host`; one may be on another machine."""
    return not getproxies().keys() & {"http", "https", "all"} or bool(proxy_bypass(host))
