"""The link in a page: one tap acknowledges the alarm, without a sign-in, from a phone in the night.

It is signed with `REMINDERS_SECRET_KEY` and stands for one task and one contact for twelve hours. The holder can
say "I have it" and see nothing. A program that looks at links must not acknowledge, so the link shows one button.

The same page proves that a contact hears us: when each was last reached is kept, by a print of its address.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from reminders import store
from reminders.app_context import AppContext
from reminders.paging import Contact, Rota
from reminders.service.tasks import handling

HOLDS_FOR = timedelta(hours=12)
TEST = 0  # the task of a test page
_TAKEN, _PROVEN = "page taken", "page read"
_MAC = 15  # bytes, which need no padding in base64

State = Literal["rings", "acknowledged", "newer", "over", "test"]


class NoSuchLink(Exception):  # ruff: ignore[error-suffix-on-exception-name]  it says what is the matter
    """The link is not ours, or it has expired."""


@dataclass(frozen=True, slots=True)
class Link:
    """What a link stands for: a task (or TEST), a contact by the print of its address, and when it was made."""

    task_id: int
    contact: str
    made_at: datetime


def print_of(context: AppContext, contact: Contact) -> str:
    """What a contact is known by here: its address is a secret, and its name is no one's for ever."""
    return _mac(context, f"contact {contact.url}").hex()[:8]


def address(context: AppContext, contact: Contact, task_id: int, now: datetime) -> str | None:
    """The link for a page to this contact; None where `web.public_url` is not https and the link could be read."""
    base = context.settings.web.public_url
    if not base.startswith("https://"):
        return None
    return f"{base}/on-call/{token(context, Link(task_id, print_of(context, contact), now))}"


def token(context: AppContext, link: Link) -> str:
    """The signed part of a link."""
    said = f"{link.task_id}.{link.contact}.{int(link.made_at.timestamp())}"
    return f"{said}.{base64.urlsafe_b64encode(_mac(context, f'page {said}')[:_MAC]).decode()}"


def read(context: AppContext, said: str, now: datetime) -> Link:
    """What a link stands for. Raises NoSuchLink."""
    body, _, mac = said.rpartition(".")
    right = base64.urlsafe_b64encode(_mac(context, f"page {body}")[:_MAC])
    if not hmac.compare_digest(mac.encode(), right):
        raise NoSuchLink("no link of ours")
    task_id, contact, at = body.split(".")
    link = Link(int(task_id), contact, datetime.fromtimestamp(int(at), UTC))
    if now - link.made_at > HOLDS_FOR:
        raise NoSuchLink("it has expired")
    return link


def _mac(context: AppContext, said: str) -> bytes:
    return hmac.new(context.secrets.secret_key.encode(), said.encode(), hashlib.sha256).digest()


def state(context: AppContext, link: Link) -> State:
    """How the alarm of a link stands."""
    if link.task_id == TEST:
        return "test"
    return context.database.read(lambda tx: _state(tx, link))


def _state(tx: store.Transaction, link: Link) -> State:
    task = store.tasks.by_number(tx, link.task_id)
    if task is None or task.closed_at is not None:
        return "over"
    if task.acknowledged_at is not None:
        return "acknowledged"
    # A link is made to the second; an alarm that began again since has pages, and links, of its own.
    began_after = task.rung_at is not None and task.rung_at - link.made_at > timedelta(seconds=1)
    return "newer" if began_after else "rings"


def acknowledge(context: AppContext, link: Link, now: datetime) -> State:
    """Acknowledge the alarm of a link, and note that its contact was reached; how the alarm stood before.

    The task becomes that contact's: pages stop and nothing escalates, as with `tasks take`.
    """
    before = state(context, link)
    context.database.write(lambda tx: store.backup.set_mark(tx, _mark(_PROVEN, link.contact), now), again=True)
    if before == "rings":
        try:
            handling.take(context, link.task_id, now, who=f"on call: {_name(context, link.contact)}")
        except (handling.Settled, store.tasks.NoSuchTask):
            return "over"
    return before


def taken(context: AppContext, tx: store.Transaction, contact: Contact, now: datetime) -> None:
    """A contact's service took a page."""
    store.backup.set_mark(tx, _mark(_TAKEN, print_of(context, contact)), now)


@dataclass(frozen=True, slots=True)
class Proof:
    """When a contact's service last took a page, and when the contact last said to have it."""

    contact: Contact
    rota: str
    taken_at: datetime | None
    read_at: datetime | None


def proofs(context: AppContext) -> list[Proof]:
    """What is known of each contact of both rotas, in their order."""
    marks = context.database.read(store.backup.all_marks)
    return [
        Proof(
            contact,
            rota,
            marks.get(_mark(_TAKEN, print_of(context, contact))),
            marks.get(_mark(_PROVEN, print_of(context, contact))),
        )
        for rota, contact in _contacts(context)
    ]


def _contacts(context: AppContext) -> Iterator[tuple[str, Contact]]:
    rotas: Mapping[str, Rota] = {
        name: Rota.parse(getattr(context.settings.site, name)) for name in ("on_call", "on_call_ops")
    }
    for name, rota in rotas.items():
        for contact in rota.contacts:
            yield name, contact


def _name(context: AppContext, known_by: str) -> str:
    found = (contact.name for _, contact in _contacts(context) if print_of(context, contact) == known_by)
    return next(found, "someone no longer on the rota")


def _mark(what: str, known_by: str) -> str:
    return f"{'t' if what == _TAKEN else 'r'} page {known_by}"
