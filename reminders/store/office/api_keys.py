"""Other programs' keys: who may ask for what, how often, and what they were answered to a request they may repeat."""

from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from reminders.store.database.engine import Transaction
from reminders.store.database.ids import new_id
from reminders.store.database.schema import api_answers, api_keys, sites, staff
from reminders.store.database.sealing import Place
from reminders.store.records import ApiAnswerRow


def add(tx: Transaction, now: datetime, **values: Any) -> int:
    """A new key; its id."""
    key_id = new_id(now)
    tx.run(api_keys.insert(), {"id": key_id, "made_at": now, **values})
    return key_id


class ApiKey(NamedTuple):
    """Another program's right to ask, with the key of its site and the login of who made it."""

    id: int
    name: str
    prefix: str
    secret: str
    scopes: list[str]
    site_id: int | None
    made_by: int | None
    made_at: datetime
    seen_at: datetime | None
    expires_at: datetime | None
    ended_at: datetime | None
    allowance: float
    counted_at: datetime | None
    site: str | None
    maker: str | None
    maker_ended_at: datetime | None


def listed(tx: Transaction) -> list[ApiKey]:
    """Every key, the newest first."""
    return tx.all_as(ApiKey, _keys().order_by(api_keys.c.id.desc()))


def by_prefix(tx: Transaction, prefix: str, *, lock: bool = True) -> ApiKey | None:
    """The key of that prefix, locked unless told otherwise; as `listed` shows it."""
    query = _keys().where(api_keys.c.prefix == prefix)
    return tx.first_as(ApiKey, query.with_for_update(of=api_keys) if lock else query)


def _keys() -> sa.Select[Any]:
    return (
        sa.select(
            api_keys,
            sites.c.key.label("site"),
            staff.c.login.label("maker"),
            staff.c.ended_at.label("maker_ended_at"),
        )
        .outerjoin(sites, sites.c.id == api_keys.c.site_id)
        .outerjoin(staff, staff.c.id == api_keys.c.made_by)
    )


def change(tx: Transaction, key_id: int, **values: Any) -> None:
    """Write what became of a key: `seen_at`, `allowance` with `counted_at`, `ended_at`."""
    tx.run(api_keys.update().where(api_keys.c.id == key_id).values(**values))


def maker(tx: Transaction, login: str) -> int | None:
    """The id of the staff account of that login that has not ended."""
    found = tx.value(sa.select(staff.c.id).where(staff.c.login == login, staff.c.ended_at.is_(None)))
    return int(found) if found is not None else None


# What was answered.


def begin_answer(tx: Transaction, key_id: int, key: str, request: str, now: datetime) -> ApiAnswerRow | None:
    """Note that a request with that Idempotency-Key is being done; None, or the row of the one that came before it."""
    row = {"id": new_id(now), "api_key_id": key_id, "key": key, "request": request, "made_at": now}
    if tx.insert_new(api_answers, row):
        return None
    return tx.first_as(ApiAnswerRow, _answer(key_id, key).with_for_update())


def take_over(tx: Transaction, answer: ApiAnswerRow, request: str, now: datetime) -> None:
    """Let this request be done in place of an earlier one."""
    anew = {"request": request, "status": None, "body_sealed": None, "made_at": now}
    tx.run(api_answers.update().where(api_answers.c.id == answer.id).values(**anew))


def keep_answer(tx: Transaction, key_id: int, key: str, status: int, said: str) -> None:
    """Keep what was answered, sealed."""
    row = tx.first_as(ApiAnswerRow, _answer(key_id, key))
    if row is not None:
        sealed = tx.seal(Place("api_answers", "body_sealed", row.id), said)
        tx.run(api_answers.update().where(api_answers.c.id == row.id).values(status=status, body_sealed=sealed))


def open_answer(tx: Transaction, answer: ApiAnswerRow) -> str:
    """What was answered."""
    assert answer.body_sealed is not None
    return tx.open(Place("api_answers", "body_sealed", answer.id), answer.body_sealed)


def drop_answer(tx: Transaction, key_id: int, key: str) -> None:
    """The request was not done, so it may be made again."""
    tx.run(api_answers.delete().where(api_answers.c.api_key_id == key_id, api_answers.c.key == key))


def drop_answers(tx: Transaction, before: datetime) -> int:
    """Forget what was answered before then; how many."""
    return tx.run(api_answers.delete().where(api_answers.c.made_at < before))


def empty_answers(tx: Transaction, said: str, status: int) -> int:
    """Put `said` in the place of everything that was answered; how many.

    The rows stay, so that a request which is made again is not done again.
    """
    emptied = 0
    for row in tx.all(sa.select(api_answers.c.id).where(api_answers.c.body_sealed.is_not(None))):
        sealed = tx.seal(Place("api_answers", "body_sealed", row.id), said)
        tx.run(api_answers.update().where(api_answers.c.id == row.id).values(status=status, body_sealed=sealed))
        emptied += 1
    return emptied


def _answer(key_id: int, key: str) -> sa.Select[Any]:
    return sa.select(api_answers).where(api_answers.c.api_key_id == key_id, api_answers.c.key == key)
