"""One page to one contact, through apprise: e-mail, Slack, PagerDuty, a webhook, whatever the site has set (C-7)."""

import asyncio
import contextlib
import logging
from threading import Thread
from urllib.request import getproxies, proxy_bypass

from reminders.paging.rota import Contact
from reminders.settings import is_webhook_here, messenger

log = logging.getLogger(__name__)

DEADLINE = 15.0
"""Seconds for a whole page. Each way out has shorter deadlines of its own for connecting and reading."""


class Pager:
    """Tells contacts. While `live` is false no one is woken: only a webhook on this machine is called.

    A page that is not made for that reason counts as accepted, since it would be repeated until it is.
    """

    def __init__(self, *, live: bool, deadline: float = DEADLINE) -> None:
        self._live = live
        self._deadline = deadline

    async def page(self, contact: Contact, title: str, body: str) -> bool:
        """Whether the contact's service took the page within the deadline. One try: the caller repeats it.

        A service that answers later may still have taken it, so that a page can come twice, never not at all. Neither
        address nor text is logged, and nothing a service does is raised.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bool | None] = loop.create_future()

        def tell() -> None:
            took = self._tell(contact.url, title, body)

            def settle() -> None:
                if not answer.done():
                    answer.set_result(took)

            with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile: no one waits any more
                loop.call_soon_threadsafe(settle)

        # A thread of its own: in a shared pool a few services that hang would keep every other page waiting, and an
        # ordinary thread would keep the process from ending.
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
        """Whether the service took it; None where it may not be called while not live."""
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
    """Whether no proxy of the environment stands between us and `host`; one may be another machine."""
    return not getproxies().keys() & {"http", "https", "all"} or bool(proxy_bypass(host))
