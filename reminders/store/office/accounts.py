"""Who may come in: staff and what they may do where, their sign-ins, and wrong tries. Tokens stand as fingerprints."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from reminders.store.database.engine import Transaction
from reminders.store.database.ids import new_id
from reminders.store.database.schema import api_keys, grants, recovery_codes, sign_in_failures, sign_ins, sites, staff
from reminders.store.database.sealing import Place
from reminders.store.records import SignInRow, StaffRow


def add(tx: Transaction, login: str, name: str, now: datetime) -> int | None:
    """A new member of staff; None where the login is taken."""
    staff_id = new_id(now)
    values = {"id": staff_id, "login": login, "name": name, "shortcuts": True, "made_at": now}
    return staff_id if tx.insert_new(staff, values) else None


def by_login(tx: Transaction, login: str) -> StaffRow | None:
    """The member of staff of that login."""
    return tx.first_as(StaffRow, sa.select(staff).where(staff.c.login == login))


def by_id(tx: Transaction, staff_id: int) -> StaffRow | None:
    """The member of staff of that id."""
    return tx.first_as(StaffRow, sa.select(staff).where(staff.c.id == staff_id))


def by_invitation(tx: Transaction, mark: str, now: datetime) -> StaffRow | None:
    """Whom an invitation that still holds is for."""
    query = sa.select(staff).where(staff.c.invited == mark, staff.c.invited_until > now, staff.c.ended_at.is_(None))
    return tx.first_as(StaffRow, query)


def everybody(tx: Transaction) -> list[StaffRow]:
    """All staff, by login; those whose access has ended too."""
    return tx.all_as(StaffRow, sa.select(staff).order_by(staff.c.login))


def change(tx: Transaction, staff_id: int, **values: Any) -> None:
    """Change columns of a member of staff."""
    tx.run(staff.update().where(staff.c.id == staff_id).values(**values))


def keep_factor(tx: Transaction, staff_id: int, secret: str, step: int, now: datetime) -> None:
    """Put a second factor to use; `step` is the one it was confirmed with, so that its code is used up."""
    place = Place("staff", "totp_sealed", staff_id)
    change(tx, staff_id, totp_sealed=tx.seal(place, secret), totp_step=step, enrolled_at=now)


def factor_of(tx: Transaction, member: StaffRow) -> str | None:
    """The second factor's secret."""
    return tx.open(Place("staff", "totp_sealed", member.id), member.totp_sealed) if member.totp_sealed else None


def use_step(tx: Transaction, staff_id: int, step: int) -> bool:
    """Use up a step of the second factor; whether it had not been used before, nor one after it."""
    unused = sa.or_(staff.c.totp_step.is_(None), staff.c.totp_step < step)
    return tx.run(staff.update().where(staff.c.id == staff_id, unused).values(totp_step=step)) == 1


# Grants


def grant(tx: Transaction, staff_id: int, site_id: int | None, role: str, now: datetime) -> None:
    """From now on that role at that site, or at every one; it stands in for the one they had there."""
    there = _grant_at(staff_id, site_id)
    if not tx.run(grants.update().where(there).values(role=role)):
        tx.run(grants.insert(), {"id": new_id(now), "staff_id": staff_id, "site_id": site_id, "role": role})


def withdraw(tx: Transaction, staff_id: int, site_id: int | None) -> bool:
    """Take a grant away; whether there was one."""
    return tx.run(grants.delete().where(_grant_at(staff_id, site_id))) > 0


def _grant_at(staff_id: int, site_id: int | None) -> sa.ColumnElement[bool]:
    return sa.and_(
        grants.c.staff_id == staff_id, grants.c.site_id.is_(None) if site_id is None else grants.c.site_id == site_id
    )


def grants_of(tx: Transaction, staff_ids: Collection[int]) -> dict[int, dict[int | None, str]]:
    """By member of staff: site id → role."""
    found: dict[int, dict[int | None, str]] = {staff_id: {} for staff_id in staff_ids}
    for row in tx.all(sa.select(grants).where(grants.c.staff_id.in_(staff_ids))):
        found[row.staff_id][row.site_id] = row.role
    return found


def site_ids(tx: Transaction) -> list[int]:
    """Every site's id."""
    return [row.id for row in tx.all(sa.select(sites.c.id))]


def lock_administrators(tx: Transaction) -> dict[int, bool]:
    """Who may administer every site and whose access holds, and whether they can sign in and once did.

    Locked, so that the last two cannot remove each other.
    """
    works = sa.and_(staff.c.password.is_not(None), staff.c.enrolled_at.is_not(None), staff.c.seen_at.is_not(None))
    held = sa.select(staff.c.id, works.label("works")).join(grants, grants.c.staff_id == staff.c.id)
    everywhere = held.where(grants.c.site_id.is_(None), grants.c.role == "admin", staff.c.ended_at.is_(None))
    return {row.id: bool(row.works) for row in tx.all(everywhere.order_by(staff.c.id).with_for_update())}


# Recovery codes


def keep_recovery_codes(tx: Transaction, staff_id: int, marks: Iterable[str], now: datetime) -> None:
    """These codes in place of all that were there."""
    tx.run(recovery_codes.delete().where(recovery_codes.c.staff_id == staff_id))
    rows = [{"id": new_id(now), "staff_id": staff_id, "fingerprint": mark} for mark in marks]
    tx.run_many(recovery_codes.insert(), rows)


def use_recovery_code(tx: Transaction, staff_id: int, mark: str, now: datetime) -> bool:
    """Use a code up; whether it was one that had not been used."""
    of = sa.and_(recovery_codes.c.staff_id == staff_id, recovery_codes.c.fingerprint == mark)
    return tx.run(recovery_codes.update().where(of, recovery_codes.c.used_at.is_(None)).values(used_at=now)) == 1


# Sign-ins


def begin(tx: Transaction, staff_id: int, mark: str, now: datetime, *, where: str | None, proved: bool = False) -> int:
    """A sign-in whose token has that fingerprint; its id."""
    sign_in_id = new_id(now)
    values = {"id": sign_in_id, "token": mark, "staff_id": staff_id, "where": where}
    tx.run(sign_ins.insert(), values | {"started_at": now, "seen_at": now, "proved_at": now if proved else None})
    return sign_in_id


def sign_in_of(tx: Transaction, mark: str) -> SignInRow | None:
    """The sign-in whose token has that fingerprint, whether it still holds or not."""
    return tx.first_as(SignInRow, sa.select(sign_ins).where(sign_ins.c.token == mark))


def prove(tx: Transaction, sign_in_id: int, mark: str, now: datetime) -> None:
    """The second factor was shown: the sign-in holds from now on, under a new token."""
    fresh = {"token": mark, "started_at": now, "seen_at": now, "proved_at": now}
    tx.run(sign_ins.update().where(sign_ins.c.id == sign_in_id).values(**fresh))


def seen(tx: Transaction, sign_in_id: int, now: datetime) -> None:
    """Someone did something: the idle limit begins again."""
    tx.run(sign_ins.update().where(sign_ins.c.id == sign_in_id, sign_ins.c.seen_at < now).values(seen_at=now))


def end(
    tx: Transaction,
    now: datetime,
    *,
    sign_in_id: int | None = None,
    staff_id: int | None = None,
    but: int | None = None,
) -> int:
    """End one sign-in, or all of a member of staff but one; how many had not ended."""
    which: sa.ColumnElement[bool] = sign_ins.c.ended_at.is_(None)
    if sign_in_id is not None:
        which &= sign_ins.c.id == sign_in_id
    if staff_id is not None:
        which &= sign_ins.c.staff_id == staff_id
    if but is not None:
        which &= sign_ins.c.id != but
    return tx.run(sign_ins.update().where(which).values(ended_at=now))


def end_keys(tx: Transaction, staff_id: int, now: datetime) -> int:
    """End the API keys that a member of staff made; how many had not ended."""
    theirs = sa.and_(api_keys.c.made_by == staff_id, api_keys.c.ended_at.is_(None))
    return tx.run(api_keys.update().where(theirs).values(ended_at=now))


# Wrong tries


def wrong_tries(tx: Transaction, sources: Iterable[str], since: datetime) -> Mapping[str, tuple[int, datetime]]:
    """By source: how many wrong tries since then, and when the last one was."""
    table = sign_in_failures
    query = (
        sa.select(
            table.c.source, sa.func.count().label("many"), sa.func.max(table.c.at, type_=table.c.at.type).label("last")
        )
        .where(table.c.source.in_(list(sources)), table.c.at > since)
        .group_by(table.c.source)
    )
    return {row.source: (row.many, row.last) for row in tx.all(query)}


def note_try(tx: Transaction, sources: Iterable[str], now: datetime, *, forget: datetime) -> list[int]:
    """Count a try from each of these sources as a wrong one, until `forgive`; those before `forget` go."""
    tx.run(sign_in_failures.delete().where(sign_in_failures.c.at < forget))
    tried = {new_id(now): source for source in sources}
    tx.run_many(sign_in_failures.insert(), [{"id": key, "source": source, "at": now} for key, source in tried.items()])
    return list(tried)


def forgive(tx: Transaction, tries: Collection[int], source: str) -> None:
    """The right one was shown: these tries were none, and what went before from that source is forgotten."""
    tried = sign_in_failures.c.id.in_(list(tries))
    tx.run(sign_in_failures.delete().where(sa.or_(tried, sign_in_failures.c.source == source)))
