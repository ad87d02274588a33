"""Keys of other programs: make one, end it, let its holder in, and answer a repeated request as the first time.

A key is `rk_<prefix>_<secret>`. It is shown once; kept is a fingerprint of the secret, which is random and long enough
that guessing at the fingerprint is hopeless. It ends by date, by hand, or with the account of who made it.
"""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from reminders import store
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.store.office.api_keys import ApiKey

SCOPES = {
    "read": "look at everything that is not sealed",
    "people": "see names, replies, notes and plan documents; each look is put on record",
    "write": "enter and change plans, visits, sessions, consents and tasks",
    "operate": "stop and start sending",
}
KEPT_FOR = timedelta(hours=24)
LOST_AFTER = timedelta(minutes=5)  # a request that is being done for so long was lost with its process
_KEY = re.compile(r"rk_([a-z2-7]{8})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Made:
    """A new key. `text` is all of it, shown this once."""

    prefix: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a key that holds, with its scopes and the ids and keys of its sites; `left` requests may follow now.

    `home` is the key of the site that a plan without one belongs to.
    """

    key_id: int
    prefix: str
    scopes: frozenset[str]
    sites: Mapping[int, str]
    home: str
    every_site: bool
    left: int

    @property
    def who(self) -> str:
        """As it stands in the audit."""
        return f"key:{self.prefix}"


class NoKey(Exception):  # ruff: ignore[error-suffix-on-exception-name]  it says what is missing
    """There is no such key, or it holds no more."""


class TooMany(Exception):  # ruff: ignore[error-suffix-on-exception-name]  it says what is the matter
    """The key has asked too often; `wait` is how long until it may ask again."""

    def __init__(self, wait: timedelta) -> None:
        super().__init__()
        self.wait = wait


def make(
    context: AppContext,
    name: str,
    scopes: Collection[str],
    now: datetime,
    *,
    who: str,
    site: str | None = None,
    expires_at: datetime | None = None,
    made_by: str | None = None,
) -> Made:
    """Make a key for a program called `name`, for one site or for all; it ends with the account of the login `made_by`.

    Raises ValueError, in words, for what there is not.
    """
    if unknown := set(scopes) - SCOPES.keys():
        raise ValueError(f"there is no scope {', '.join(sorted(unknown))}; there is {', '.join(SCOPES)}")
    if not scopes:
        raise ValueError(f"a key needs a scope: {', '.join(SCOPES)}")
    if not name.strip() or len(name) > 80 or not name.isprintable():
        raise ValueError("a key needs a name of at most 80 letters, such as the program's")
    if expires_at is not None and expires_at <= now:
        raise ValueError("it would have expired already")
    prefix = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(8))
    secret = secrets.token_urlsafe(32)

    def work(tx: store.Transaction) -> Made:
        store.people.keep_default_site(tx, context.settings, now)
        at = store.people.site_by_key(tx, site) if site is not None else None
        if site is not None and at is None:
            raise ValueError(f"there is no site {site}; there is {', '.join(store.people.site_keys(tx))}")
        maker = store.api_keys.maker(tx, made_by) if made_by is not None else None
        if made_by is not None and maker is None:
            raise ValueError("there is no account of that login")
        key_id = store.api_keys.add(
            tx,
            now,
            name=name.strip(),
            prefix=prefix,
            secret=_fingerprint(secret),
            scopes=[scope for scope in SCOPES if scope in scopes],
            site_id=at.id if at is not None else None,
            made_by=maker,
            expires_at=expires_at,
        )
        store.audit_log.note(tx, who=who, what=Action.API_KEY_MADE, table="api_keys", row=key_id, now=now, after=prefix)
        return Made(prefix, f"rk_{prefix}_{secret}")

    return context.database.write(work)


def listed(context: AppContext) -> list[ApiKey]:
    """Every key, the newest first."""
    return context.database.read(store.api_keys.listed)


def end(context: AppContext, prefix: str, now: datetime, *, who: str) -> bool | None:
    """End a key for good; whether it held until now, None where there is none."""

    def work(tx: store.Transaction) -> bool | None:
        row = store.api_keys.by_prefix(tx, prefix)
        if row is None:
            return None
        if row.ended_at is not None:
            return False
        store.api_keys.change(tx, row.id, ended_at=now)
        store.audit_log.note(
            tx, who=who, what=Action.API_KEY_ENDED, table="api_keys", row=row.id, now=now, after=prefix
        )
        return True

    return context.database.write(work, again=True)


def admit(context: AppContext, text: str, now: datetime) -> Caller:
    """Let the holder of a key in, and count the request. Raises NoKey and TooMany.

    The count is a bucket on the key's row, the same in every process: it holds a minute's worth and fills steadily.
    """
    shape = _KEY.fullmatch(text)
    if shape is None:
        raise NoKey

    def opens(row: ApiKey | None) -> bool:
        return row is not None and hmac.compare_digest(row.secret, _fingerprint(shape[2])) and holds(row, now)

    # A stranger takes no lock: they could keep everyone else from writing.
    if not opens(context.database.read(lambda tx: store.api_keys.by_prefix(tx, shape[1], lock=False))):
        raise NoKey

    def work(tx: store.Transaction) -> Caller:
        row = store.api_keys.by_prefix(tx, shape[1])
        if row is None or not opens(row):
            raise NoKey
        most = float(context.settings.web.api_per_minute)
        waited = max(timedelta(0), now - row.counted_at) if row.counted_at is not None else timedelta(minutes=1)
        allowance = min(most, row.allowance + most * (waited / timedelta(minutes=1)))
        if allowance < 1:
            raise TooMany(timedelta(minutes=(1 - allowance) / most))
        store.api_keys.change(tx, row.id, allowance=allowance - 1, counted_at=now, seen_at=now)
        every = {site.id: site.key for site in store.people.all_sites(tx)}
        mine = every if row.site_id is None else {row.site_id: every[row.site_id]}
        return Caller(
            key_id=row.id,
            prefix=row.prefix,
            scopes=frozenset(row.scopes),
            sites=mine,
            home=row.site or context.settings.site.key,
            every_site=row.site_id is None,
            left=int(allowance - 1),
        )

    return context.database.write(work, again=True)


def holds(row: ApiKey, now: datetime) -> bool:
    """Whether a key of the list opens anything yet."""
    expired = row.expires_at is not None and row.expires_at <= now
    return row.ended_at is None and row.maker_ended_at is None and not expired


def _fingerprint(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


# A request that is made again (draft-ietf-httpapi-idempotency-key-header).


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered: the status, the headers that matter, and the body."""

    status: int
    headers: Mapping[str, str]
    body: str = field(repr=False)


class Repeated(Exception):  # ruff: ignore[error-suffix-on-exception-name]  it says what is the matter
    """The Idempotency-Key was used before: for another request, or (`busy`) for the same one, which is being done."""

    def __init__(self, *, busy: bool) -> None:
        super().__init__()
        self.busy = busy


def begin(context: AppContext, caller: Caller, key: str, request: bytes, now: datetime) -> Answer | None:
    """Begin a request that carries an Idempotency-Key: None to do it, or what it was answered before.

    `request` is all of it that matters. Raises Repeated.
    """
    mark = hashlib.sha256(request).hexdigest()

    def work(tx: store.Transaction) -> Answer | None:
        row = store.api_keys.begin_answer(tx, caller.key_id, key, mark, now)
        if row is None:
            return None
        lost = row.status is None and now - row.made_at > LOST_AFTER
        if lost or now - row.made_at > KEPT_FOR:
            store.api_keys.take_over(tx, row, mark, now)
            return None
        if row.request != mark:
            raise Repeated(busy=False)
        if row.status is None:
            raise Repeated(busy=True)
        said = json.loads(store.api_keys.open_answer(tx, row))
        return Answer(row.status, said["headers"], said["body"])

    return context.database.write(work)


def keep(context: AppContext, caller: Caller, key: str, answer: Answer) -> None:
    """Keep what was answered, for a day."""
    said = json.dumps({"headers": dict(answer.headers), "body": answer.body})
    context.database.write(
        lambda tx: store.api_keys.keep_answer(tx, caller.key_id, key, answer.status, said), again=True
    )


def give_up(context: AppContext, caller: Caller, key: str) -> None:
    """The request was not done, so it may be made again."""
    context.database.write(lambda tx: store.api_keys.drop_answer(tx, caller.key_id, key), again=True)


def forget(context: AppContext, now: datetime) -> int:
    """Forget answers that are a day old; how many."""
    return context.database.write(lambda tx: store.api_keys.drop_answers(tx, now - KEPT_FOR), again=True)
