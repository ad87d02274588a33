"""Who did what, and the proof that no one has changed it since (45 CFR 164.312 (b) and (c), ASVS 16.4.2).

The chain alone shows a changed or missing row in its middle. That its end was cut off, or that all of it was written
again, shows only against a *head* that was taken out of the database before: its place and hash, signed.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from reminders import store
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.store.office.audit import Head

SETTLED_AFTER = timedelta(seconds=10)  # by then a transaction that was under way has written its row
BATCH = 1_000
MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a walk along the chain found. `problems` are in words, the first ones; empty when all is as it was."""

    rows: int
    head: Head
    problems: tuple[str, ...]
    erased: int
    waiting: int

    @property
    def ok(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.problems


class NoHead(Exception):  # ruff: ignore[error-suffix-on-exception-name]  it says what happened
    """A file that holds no head of ours; the text says what is the matter with it."""


def chain(context: AppContext, now: datetime) -> int:
    """Chain what is new in the audit; how many rows."""
    done = 0
    while many := context.database.write(lambda tx: store.audit.chain(tx, now - SETTLED_AFTER, BATCH), again=True):
        done += many
        if many < BATCH:
            break
    return done


def verify(context: AppContext, *exported: Head) -> Verdict:
    """Walk along the chain and check every row; and that each exported head still stands in it."""
    gone = context.database.read(store.audit.erased_patients)
    last, rows, erased = Head(0, store.audit.START), 0, 0
    problems: list[str] = []
    while links := context.database.read(partial(store.audit.walk, after=last, limit=BATCH, gone=gone)):
        for one in links:
            rows += 1
            erased += one.erased
            if one.wrong is not None and len(problems) < MOST_PROBLEMS:
                problems.append(one.wrong)
        last = Head(links[-1].place, links[-1].hash)
    for head in exported:
        there = context.database.read(partial(store.audit.hash_at, place=head.place))
        if there is None:
            problems.append(
                f"the head was taken at row {head.place}, and the chain ends at row {last.place}: its end was cut "
                "off, or an older backup was restored"
            )
        elif there != head.hash:
            problems.append(f"row {head.place} is not the one that the head was taken at: the chain was written again")
    return Verdict(rows, last, tuple(problems), erased, context.database.read(store.audit.waiting))


def note_verified(context: AppContext, verdict: Verdict, now: datetime, *, who: str) -> None:
    """Put on record that someone walked along the chain, and what came out."""
    said = "whole" if verdict.ok else "; ".join(verdict.problems)
    context.database.write(
        lambda tx: store.audit_log.note(
            tx, who=who, what=Action.AUDIT_VERIFIED, table="audit", row=0, now=now, after=said
        ),
        again=True,
    )


def export_head(context: AppContext, now: datetime) -> dict[str, Any] | None:
    """The head of the chain, signed, to be kept outside of the database; None before there is one."""
    head = context.database.read(store.audit.head)
    if not head.place:
        return None
    said = {"place": head.place, "hash": head.hash.hex(), "at": now.isoformat(timespec="seconds")}
    key = _signing_key(context)
    return said | {"key": key.public_key().public_bytes_raw().hex(), "signature": key.sign(_signed(said)).hex()}


def read_head(context: AppContext, text: str) -> Head:
    """A head that was exported. Raises NoHead for one that was not signed by this service."""
    try:
        said = json.loads(text)
        head = Head(int(said["place"]), bytes.fromhex(said["hash"]))
        key, signature = bytes.fromhex(said["key"]), bytes.fromhex(said["signature"])
        Ed25519PublicKey.from_public_bytes(key).verify(signature, _signed(said))
    except InvalidSignature:
        raise NoHead("its signature is wrong: the file was changed") from None
    except (ValueError, KeyError, TypeError):
        raise NoHead("it holds no head as `reminders audit head` writes it") from None
    if key != _signing_key(context).public_key().public_bytes_raw():
        raise NoHead("it was signed by another REMINDERS_SECRET_KEY than the one that is set now")
    return head


def _signed(said: Mapping[str, Any]) -> bytes:
    return json.dumps([said["place"], said["hash"], said["at"]]).encode()


def _signing_key(context: AppContext) -> Ed25519PrivateKey:
    seed = hashlib.sha256(f"the audit's head|{context.secrets.secret_key}".encode()).digest()
    return Ed25519PrivateKey.from_private_bytes(seed)
