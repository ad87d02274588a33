"""How long the certificate of `web.public_url` holds: Twilio refuses to call an address whose certificate does not.

It is looked at from a job only, never in a transaction, and never for longer than a few seconds.
"""

import asyncio
import logging
import ssl
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from cryptography import x509

from reminders import store
from reminders.app_context import AppContext
from reminders.service.operations.health_rules import CERTIFICATE

log = logging.getLogger(__name__)

EVERY = timedelta(hours=1)
DEADLINE = 10.0  # seconds
_LOOKED = "cert looked at"


def look(context: AppContext, now: datetime, trusted: ssl.SSLContext | None = None) -> datetime | None:
    """Note until when the certificate holds, once an hour; that moment, or None where it was not looked at.

    One that is not trusted holds no longer. An address that does not answer says nothing of its certificate.
    """
    parts = urlsplit(context.settings.web.public_url)
    if parts.scheme != "https" or parts.hostname is None:
        return None
    last = context.database.read(store.backup.all_marks).get(_LOOKED)
    if last is not None and timedelta(0) <= now - last < EVERY:
        return None
    try:
        until = asyncio.run(_until(parts.hostname, parts.port or 443, now, trusted))
    except (OSError, TimeoutError, ValueError) as error:
        log.warning("the certificate of web.public_url cannot be looked at: %s", type(error).__name__)
        until = None

    def note(tx: store.Transaction) -> None:
        store.backup.set_mark(tx, _LOOKED, now)
        if until is not None:
            store.backup.set_mark(tx, CERTIFICATE, until)

    context.database.write(note, again=True)
    return until


async def _until(host: str, port: int, now: datetime, trusted: ssl.SSLContext | None) -> datetime:
    async with asyncio.timeout(DEADLINE):
        try:
            return _ends(await _shown(host, port, trusted or ssl.create_default_context()))
        except ssl.SSLCertVerificationError:
            blind = ssl.create_default_context()
            blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
            return min(now, _ends(await _shown(host, port, blind)))


async def _shown(host: str, port: int, how: ssl.SSLContext) -> bytes:
    _, line = await asyncio.open_connection(host, port, ssl=how, server_hostname=host)
    try:
        shown = line.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        line.transport.abort()
    return bytes(shown)


def _ends(shown: bytes) -> datetime:
    return x509.load_der_x509_certificate(shown).not_valid_after_utc
