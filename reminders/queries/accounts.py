"""Staff as the users page and their own page show them."""

from datetime import datetime

import sqlalchemy as sa

from reminders.store.database.engine import Transaction
from reminders.store.database.schema import recovery_codes, sign_ins, staff
from reminders.store.records import SignInRow


def names(tx: Transaction) -> dict[str, str]:
    """Login → name, of all staff there ever were."""
    return {row.login: row.name for row in tx.all(sa.select(staff.c.login, staff.c.name))}


def recovery_codes_left(tx: Transaction, staff_id: int) -> int:
    """How many codes are unused."""
    unused = sa.and_(recovery_codes.c.staff_id == staff_id, recovery_codes.c.used_at.is_(None))
    return int(tx.value(sa.select(sa.func.count()).where(unused)))


def sign_ins_of(tx: Transaction, staff_id: int, since: datetime) -> list[SignInRow]:
    """A member of staff's sign-ins that were proved, have not been ended and were seen since then; newest first."""
    holding = sa.and_(sign_ins.c.proved_at.is_not(None), sign_ins.c.ended_at.is_(None), sign_ins.c.seen_at > since)
    query = sa.select(sign_ins).where(sign_ins.c.staff_id == staff_id, holding)
    return tx.all_as(SignInRow, query.order_by(sign_ins.c.started_at.desc()))
